"""An ASGI app: what a server and a framework say to each other."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]  # what it is about: "type", and for "http" the request without its body
Message: TypeAlias = dict[str, Any]  # what happens then: "type", and whatever belongs to that
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


class _JsonResponse:
    """An answer that is whole before anything of it is sent."""

    def __init__(self, status: int, value: Any) -> None:
        self._status = status
        self._body = json.dumps(value, allow_nan=False).encode()

    def start(self) -> Message:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._body)).encode()),
        ]
        return {"type": "http.response.start", "status": self._status, "headers": headers}

    def body(self) -> Message:
        return {"type": "http.response.body", "body": self._body}

    async def send_to(self, send: Send) -> None:
        await send(self.start())
        await send(self.body())


async def send_json(send: Send, status: int, value: Any) -> None:
    """Answer with status and with value as JSON: a start with its headers, then a body, the last one.

    The headers are content-type, application/json, and content-length, in octets. The text is UTF-8.
    What is no JSON is a TypeError, or a ValueError (NaN, a list in itself), and then nothing is sent.
    """
    await _JsonResponse(status, value).send_to(send)


class _BodyParts:
    """The parts of a request's body, as they come; no message is asked for after the last one."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._more:
            raise StopAsyncIteration
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise EOFError("the client has gone before its request was whole")
        self._more = message.get("more_body", False)
        return message.get("body", b"")


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request, in however many messages it comes, and receive no more.

    Raises EOFError where the client has gone before it was whole.
    """
    return b"".join([part async for part in _BodyParts(receive)])


class _Phase:
    """The startup, or the shutdown: something to do, and to tell the server of."""

    def __init__(self, name: str, function: Callable[[], Awaitable[object]], send: Send) -> None:
        self._name = name
        self._function = function
        self._send = send

    async def run(self) -> bool:
        """Do it, and tell what became of it; return whether it is complete."""
        try:
            await self._function()
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        else:
            failure = None
        if failure is None:
            await self._send({"type": f"{self._name}.complete"})
        else:
            await self._send({"type": f"{self._name}.failed", "message": failure})
        return failure is None


async def lifespan(
    receive: Receive,
    send: Send,
    startup: Callable[[], Awaitable[object]],
    shutdown: Callable[[], Awaitable[object]],
) -> None:
    """Await startup() and shutdown() when the server says so, and tell it that each is complete.

    Returns after shutdown; or after the first of them to raise an Exception: that is told as failed,
    with the exception's type and text in the message, and no more is received. What is no
    Exception, such as a cancellation, is nobody's failure: it goes on to the caller, untold. So does
    whatever receive and send raise.
    """
    for name, function in ("lifespan.startup", startup), ("lifespan.shutdown", shutdown):
        message = await receive()
        if message["type"] != name:
            raise ValueError(f"{message['type']!r} where {name!r} was due")
        if not await _Phase(name, function, send).run():
            return


async def _nothing() -> None:
    pass


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every "http" request, whatever its method and path, with 200 and {"Hello": "World"}.

    Takes part in "lifespan", with nothing to do there. Any other type of scope is refused with a
    ValueError that names it, before anything is received or sent.
    """
    if scope["type"] == "http":
        await send_json(send, 200, {"Hello": "World"})
    elif scope["type"] == "lifespan":
        await lifespan(receive, send, _nothing, _nothing)
    else:
        raise ValueError(f"a scope of type {scope['type']!r} is nothing that this app knows")
