"""An ASGI app: what a server and a framework say to each other."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]  # what it is about: "type", and for "http" the request without its body
Message: TypeAlias = dict[str, Any]  # what happens then: "type", and whatever belongs to that
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


async def send_json(send: Send, status: int, value: Any) -> None:
    """Answer with status and with value as JSON: a start with its headers, then a body, the last one.

    The headers are content-type, application/json, and content-length, in octets. The text is UTF-8.
    What is no JSON is a TypeError, or a ValueError (NaN, a list in itself), and then nothing is sent.
    """
    raise NotImplementedError


async def read_body(receive: Receive) -> bytes:
    """Return the whole body of a request, in however many messages it comes, and receive no more.

    Raises EOFError where the client has gone before it was whole.
    """
    raise NotImplementedError


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
    raise NotImplementedError


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every "http" request, whatever its method and path, with 200 and {"Hello": "World"}.

    Takes part in "lifespan", with nothing to do there. Any other type of scope is refused with a
    ValueError that names it, before anything is received or sent.
    """
    raise NotImplementedError
