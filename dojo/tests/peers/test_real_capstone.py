"""The same ASGI app on the katas' own server and on uvicorn; other people's ASGI apps on the katas' own."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: pip install -e '.[dev]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install -e '.[dev]'")
import httpx

from dojo.kit.pages import Page
from dojo.kit.real_peers import uvicorn_running
from dojo.kit.serving import running
from dojo.kit.streams import in_a_thread
from katas import d1_coroutine_scheduler, d2_socket_io, e3_streams_server, f4_async_database, f5_capstone


@contextmanager
def own_server(path: Any) -> Iterator[int]:
    """All of it is the katas' own."""
    with running(f5_capstone.run, path) as server:
        yield server.port


@contextmanager
def uvicorn(path: Path) -> Iterator[int]:
    """The katas' app and database under uvicorn, on asyncio."""
    thread = f4_async_database.DatabaseThread(path, asyncio.wrap_future)
    app = f5_capstone.make_app(f4_async_database.Database(thread), asyncio.wrap_future)
    with uvicorn_running(app) as port:
        yield port
    asyncio.run(thread.aclose())


def serve(listener: Any, app: Any) -> None:
    """D2's server, on a scheduler."""
    d1_coroutine_scheduler.Scheduler().run(d2_socket_io.serve(listener, app))


@pytest.mark.parametrize("server", [own_server, uvicorn])
def test_app_is_the_same_on_both_servers(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "items.db"
    with (
        server(path) as port,
        httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{port}", follow_redirects=True) as client,
    ):
        answer = client.post("/items", data={"name": "né & co"})
        assert [each.status_code for each in (*answer.history, answer)] == [303, 200]
        assert Page(answer.text).links == {"/items/1": "né & co"}
        assert client.get("/items/1").json() == {"id": 1, "name": "né & co"}
        assert client.get("/triangle/2").text == " 1\n1 1"
        assert [client.get(path).status_code for path in ("/items/2", "/no", "/items/x")] == [404, 404, 422]
        assert client.put("/items").headers["allow"] == "GET, HEAD, POST"
        head, whole = client.head("/"), client.get("/")
        assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM items").fetchall() == [(1, "né & co")]


@pytest.mark.parametrize("server", [serve, in_a_thread(e3_streams_server.StreamsServer)])
def test_any_asgi_app_runs_on_an_own_server(server: Any) -> None:
    messages = [
        {"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"text/plain")]},
        {"type": "http.response.body", "body": b"Hel", "more_body": True},
        {"type": "http.response.body", "body": b"lo"},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    with running(server, f5_capstone.asgi_handler(app)) as listener:
        answer = httpx.get(f"http://127.0.0.1:{listener.port}/", trust_env=False)
    assert (answer.text, answer.headers["content-type"]) == ("Hello", "text/plain")


def test_fastapi_runs_on_an_own_server() -> None:
    pytest.importorskip("fastapi", reason="fastapi is not installed: pip install -e '.[dev]'")
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    @app.get("/items/{id}")
    async def item(id: int, q: str) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"id": id, "q": q}

    @app.get("/blocks")
    def blocks() -> str:
        return "in a thread"

    @app.get("/streams")
    async def streams() -> Any:
        return StreamingResponse(iter([b"Hel", b"lo"]))

    server, theirs = in_a_thread(e3_streams_server.StreamsServer), cast(Any, app)
    with (
        running(server, f5_capstone.asgi_handler(theirs)) as listener,
        httpx.Client(trust_env=False, base_url=f"http://127.0.0.1:{listener.port}") as client,
    ):
        assert client.get("/items/7?q=n%C3%A9").json() == {"id": 7, "q": "né"}
        assert client.get("/items/x?q=").status_code == 422
        assert client.get("/blocks").json() == "in a thread"
        assert client.get("/streams").text == "Hello"
