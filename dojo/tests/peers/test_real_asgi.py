"""The ASGI apps of the katas under a real server, uvicorn, and with a real client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install -e '.[dev]'")

from dojo.kit.http_rules import HELLO, LAST, request
from dojo.kit.lint import read_answer, read_answers
from dojo.kit.real_peers import uvicorn_running
from dojo.kit.rude import Client, ask
from katas import f1_asgi_app
from katas.f2_mini_framework import App, Reply
from katas.f3_external_api import make_app


class Echo:
    """Answers with the size of the body; notes what startup and shutdown did, and who has gone."""

    def __init__(self, startup_error: Exception | None = None) -> None:
        self.log: list[str] = []
        self.startup_error = startup_error
        self.gone = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await f1_asgi_app.lifespan(receive, send, self.startup, self.shutdown)
        else:
            try:
                body = await f1_asgi_app.read_body(receive)
            except EOFError:
                self.gone.set()
            else:
                await f1_asgi_app.send_json(send, 201, {"Zoë": len(body)})

    async def startup(self) -> None:
        self.log.append("startup")
        if self.startup_error is not None:
            raise self.startup_error

    async def shutdown(self) -> None:
        self.log.append("shutdown")


@pytest.fixture
def httpx() -> ModuleType:
    """The module httpx."""
    module: ModuleType = pytest.importorskip(
        "httpx", reason="httpx is not installed: pip install -e '.[dev]'"
    )
    return module


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where hello is served, its lifespan included."""
    with uvicorn_running(f1_asgi_app.hello) as port:
        yield port


class TestHello:
    def test_answer_is_http_as_it_should_be(self, port: int) -> None:
        answer = read_answer(ask(port, LAST))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert (answer.body, answer.headers["content-length"]) == (HELLO, "18")

    def test_head_has_the_headers_alone(self, port: int) -> None:
        answer = read_answer(ask(port, request("HEAD /", "Connection: close")), "HEAD")
        assert (answer.headers["content-length"], answer.body) == ("18", b"")

    def test_connection_is_kept(self, port: int) -> None:
        answers = read_answers(ask(port, request("GET /") + request("GET /b") + LAST), ["GET"] * 3)
        assert [answer.body for answer in answers] == [HELLO] * 3

    def test_httpx_posts_and_is_answered(self, port: int, httpx: Any) -> None:
        with httpx.Client(trust_env=False) as client:
            answers = [client.post(f"http://127.0.0.1:{port}/{n}", content=b"a" * 100_000) for n in range(3)]
        assert [answer.json() for answer in answers] == [{"Hello": "World"}] * 3


class TestSteps:
    def test_lifespan_goes_around_the_requests(self, httpx: Any) -> None:
        app = Echo()
        with uvicorn_running(app) as port, httpx.Client(trust_env=False) as client:
            assert app.log == ["startup"]
            answer = client.post(f"http://127.0.0.1:{port}/", content=b"a" * 1_000_000)
            assert (answer.status_code, answer.json()) == (201, {"Zoë": 1_000_000})
        assert app.log == ["startup", "shutdown"]

    def test_failed_startup_keeps_the_server_from_starting(self) -> None:
        app = Echo(LookupError("no database"))
        with pytest.raises(RuntimeError), uvicorn_running(app):
            pass
        assert app.log == ["startup"]

    def test_client_that_goes_in_mid_body_is_noticed(self) -> None:
        app = Echo()
        with uvicorn_running(app) as port:
            with Client(port) as client:
                client.say(request("POST /", "Content-Length: 10") + b"Hello")
            assert app.gone.wait(5)


@pytest.fixture(scope="module")
def framework_port() -> Iterator[int]:
    """Where an app of the framework is served."""
    app = App()
    meeting = threading.Barrier(2)

    @app.get("/items/{id}")
    async def item(id: int, q: str | None = None) -> Any:
        return {"id": id, "q": q}

    @app.get("/meet")
    def meet() -> Any:
        return meeting.wait(5)

    @app.post("/octets")
    def octets(body: bytes) -> Reply:
        return Reply(201, body[::-1])

    with uvicorn_running(app) as port:
        yield port


class TestFramework:
    @pytest.mark.parametrize(
        ("method", "target", "status", "body"),
        [
            ("GET", "/items/7?q=a%26b", 200, b'{"id": 7, "q": "a&b"}'),
            ("HEAD", "/items/7", 200, b""),
            ("GET", "/items/seven", 422, None),
            ("POST", "/items/7", 405, None),
            ("GET", "/items", 404, None),
            ("DELETE", "/meet", 405, None),
        ],
    )
    def test_request_is_answered(
        self, framework_port: int, method: str, target: str, status: int, body: bytes | None
    ) -> None:
        answer = read_answer(ask(framework_port, request(f"{method} {target}", "Connection: close")), method)
        assert answer.status == status
        assert body is None or answer.body == body
        assert ("allow" in answer.headers) == (status == 405)

    def test_large_body_comes_back(self, framework_port: int, httpx: Any) -> None:
        body = bytes(range(256)) * 4_000
        with httpx.Client(trust_env=False) as client:
            answer = client.post(f"http://127.0.0.1:{framework_port}/octets", content=body)
        assert (answer.status_code, answer.content) == (201, body[::-1])

    def test_blocking_endpoints_run_at_the_same_time(self, framework_port: int) -> None:
        with Client(framework_port) as one, Client(framework_port) as other:
            for client in (one, other):
                client.say(request("GET /meet", "Connection: close"))
            bodies = {read_answer(client.read_to_end()).body for client in (one, other)}
        assert bodies == {b"0", b"1"}


class TestExternalApi:
    def test_one_service_asks_another_over_kept_connections(self, httpx: Any) -> None:
        shelf = App()

        @shelf.get("/items/{id}")
        async def item(id: int) -> dict[str, int]:
            return {"id": id}

        with (
            uvicorn_running(shelf) as upstream,
            uvicorn_running(make_app(f"http://127.0.0.1:{upstream}")) as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
        ):
            assert client.get("/items/7").json() == {"id": 7}
            assert client.get("/items?ids=1,x,2").json() == {
                "items": {"1": {"id": 1}, "2": {"id": 2}},
                "failed": {"x": 502},
            }
