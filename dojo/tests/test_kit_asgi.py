"""dojo.kit.asgi: whoever breaks the protocol hears of it, on every loop."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from dojo.kit.asgi import alive, http, life, other

pytestmark = pytest.mark.anyio
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"hi"}

BROKEN = {
    "start comes first": [BODY],
    "second http.response.start": [START, START],
    "after the answer had ended": [START, BODY, BODY],
    "promised 2 octets, and the body has 3": [START, {**BODY, "body": b"hi!"}],
    "promised 2 octets, and the body has 1": [START, {**BODY, "body": b"h"}],
    "the answer has no end": [START, {**BODY, "more_body": True}],
    "nothing was answered": [],
    "not of bytes": [{**START, "headers": [("content-length", "2")]}],
    "in lower case": [{**START, "headers": [(b"Content-Length", b"2")]}],
    "pairs of a name and a value": [{**START, "headers": {b"content-length": b"2"}}],
    "sent twice": [{**START, "headers": START["headers"] * 2}],  # type: ignore[operator]
    "line end": [{**START, "headers": [(b"x", b"a\r\nb")]}],
    "a final status": [{**START, "status": "200"}],
    "204 answer has a content-length": [{**START, "status": 204}],
    "body is 'hi'": [START, {**BODY, "body": "hi"}],
    "more_body is 1": [START, {**BODY, "more_body": 1}],
    "a dict with a 'type'": [None],
    "'http.response.stop' was sent": [{"type": "http.response.stop"}],
}


@pytest.mark.parametrize(("complaint", "messages"), BROKEN.items(), ids=BROKEN)
async def test_broken_answer_is_told(complaint: str, messages: list[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(message)
        except BaseException:
            pass  # it is told all the same

    with pytest.raises(pytest.fail.Exception, match=complaint):
        await http().run(app)


@pytest.mark.parametrize(("method", "body"), [("GET", b"hi"), ("HEAD", b"hi"), ("HEAD", b"")])
async def test_right_answer_comes_back(method: str, body: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send({**BODY, "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    answer = await http(method).run(app)
    assert (answer.status, answer.headers, answer.body) == (200, {"content-length": "2"}, body)


async def test_receiving_without_end_is_told() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    for talk, complaint in [
        (http(), "never return"),
        (life(), "answered"),
        (other("websocket"), "never return"),
    ]:
        with pytest.raises(pytest.fail.Exception, match=complaint):
            await talk.run(app)


class Living:
    """An app that notes what happens to it."""

    def __init__(self, fails_in: str = "") -> None:
        self.log: list[str] = []
        self.fails_in = fails_in

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            stage = (await receive())["type"]
            with anyio.fail_after(1):
                await anyio.sleep(0.5)
            self.log.append(stage)
            if stage.endswith(self.fails_in or "-"):
                await send({"type": f"{stage}.failed", "message": "no database"})
                return
            await send({"type": f"{stage}.complete"})


async def test_app_is_alive_between_startup_and_shutdown() -> None:
    app = Living()
    with pytest.raises(LookupError):  # noqa: PT012  it is the block that fails
        async with alive(app):
            assert app.log == ["lifespan.startup"]
            raise LookupError
    assert app.log == ["lifespan.startup", "lifespan.shutdown"]


@pytest.mark.parametrize("stage", ["startup", "shutdown"])
async def test_app_that_fails_is_told(stage: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"{stage} failed: no database"):
        async with alive(Living(fails_in=stage)):
            pass
