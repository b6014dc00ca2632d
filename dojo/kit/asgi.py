"""The server's side of ASGI, with no server and on any loop: scripted messages, and complaints in sentences.

talk = http("POST", "/items", body=[b"He", b"llo"])     what the app will receive
answer = await talk.run(app)                            what it sent: status, headers, body, json

async with alive(app):                                  between its startup and its shutdown
    answer = await http("GET", "/").run(app)
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from dojo.kit.asgi_http import HTTPTalk
from dojo.kit.asgi_talks import App, LifespanTalk, Message, Talk, Turn
from dojo.kit.sockets import complain

_STANDSTILL = object()


def http(
    method: str = "GET",
    target: str = "/",
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] = b"",
    ends: bool = True,
    messages: Iterable[Message] | None = None,
    turn: Turn | None = None,
) -> HTTPTalk:
    """A request whose body comes in one message or in several; where it never `ends`, the client goes.

    The messages can also be given as they are.
    """
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in {"host": "kata", **(headers or {})}.items()
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }
    return HTTPTalk(scope, _body(body, ends) if messages is None else messages, turn)


def _body(body: bytes | Iterable[bytes], ends: bool) -> list[Message]:
    parts = [body] if isinstance(body, bytes) else list(body)
    messages: list[Message] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        return [*messages[:-1], {**messages[-1], "more_body": False}]
    return [*messages, {"type": "http.disconnect"}]


def life(turn: Turn | None = None) -> LifespanTalk:
    """The life of an app: a startup, and a shutdown."""
    scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
    messages: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    return LifespanTalk(scope, messages, turn)


def other(kind: str) -> Talk:
    """A scope of another type, with nothing to receive: whatever the app does there is a complaint."""
    return Talk({"type": kind, "asgi": {"version": "3.0"}, "path": "/", "headers": []}, [])


@asynccontextmanager
async def alive(app: App) -> AsyncIterator[LifespanTalk]:
    """Start app up, and shut it down behind the block, however that ends.

    An app that does not start, or does not shut down, is a complaint with its message.
    """
    talk = life()
    receive = talk.receive

    async def receive_later() -> Message:
        if talk.sent:  # the startup was answered
            await _standstill()
        return await receive()

    talk.receive = receive_later  # type: ignore[method-assign]
    running = _UpToStandstill(talk.run(app))
    await running
    _check(talk, "startup")
    try:
        yield talk
    finally:
        await running
        _check(talk, "shutdown")


def _check(talk: LifespanTalk, stage: str) -> None:
    told = {message["type"]: message for message in talk.sent}
    if f"lifespan.{stage}.complete" not in told:
        failed = told.get(f"lifespan.{stage}.failed", {})
        complain(
            f"the app's {stage} failed: {failed.get('message') or 'it did not say that it was complete'}"
        )


@types.coroutine
def _standstill() -> Generator[object, None, None]:
    yield _STANDSTILL


class _UpToStandstill:
    """A coroutine to be awaited in two parts: up to its standstill, and from there to its end."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine
        self._ended = False

    def __await__(self) -> Generator[Any, Any, None]:
        resume, answer = self._coroutine.send, None
        while not self._ended:
            try:
                trap = resume(answer)
            except StopIteration:
                self._ended = True
                return
            except BaseException:
                self._ended = True
                raise
            if trap is _STANDSTILL:
                return
            try:
                answer = yield trap
                resume = self._coroutine.send
            except BaseException as error:
                resume, answer = self._coroutine.throw, error
