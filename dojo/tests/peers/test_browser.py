"""A real browser: the page of the last kata is clicked through, and every server says hello."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")

from dojo.kit.browser import PATIENCE, browser, program
from dojo.kit.http_rules import HELLO
from dojo.kit.real_peers import uvicorn_running
from dojo.kit.serving import running
from dojo.kit.streams import in_a_thread
from katas import (
    c1_http_messages,
    c2_blocking_server,
    c4_selectors_server,
    d1_coroutine_scheduler,
    d2_socket_io,
    e3_streams_server,
    f4_async_database,
    f5_capstone,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(
    program() is None, reason="no Chromium is installed: get one from your system"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for all tests here."""
    with browser() as chromium:
        yield chromium


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page in a window of its own, which has nothing of the others in its memory."""
    with chromium.new_context() as window:
        window.set_default_timeout(PATIENCE)
        yield window.new_page()


def on_the_scheduler(listener: Any, app: Any) -> None:
    d1_coroutine_scheduler.Scheduler().run(d2_socket_io.serve(listener, app))


def click_through(page: Page, port: int, path: Path) -> None:
    """Add an item, look at it, and go back, as a person does."""
    page.goto(f"http://127.0.0.1:{port}/")
    assert "1 7 21 35 35 21 7 1" in page.inner_text("pre")
    assert page.locator("li").count() == 0

    page.fill("input[name=name]", "<b>né</b> & co")
    page.click("button")
    page.wait_for_selector("li")
    assert page.url == f"http://127.0.0.1:{port}/"
    assert page.locator("li").all_inner_texts() == ["<b>né</b> & co"]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM items").fetchall() == [(1, "<b>né</b> & co")]

    with page.expect_navigation() as opened:
        page.click("li a")
    assert opened.value is not None
    assert opened.value.json() == {"id": 1, "name": "<b>né</b> & co"}
    assert page.url.endswith("/items/1")

    page.go_back()
    page.reload()
    assert page.locator("li").count() == 1, "a reload does not add it again: that is what the 303 is for"


def test_capstone_is_clicked_through(page: Page, tmp_path: Path) -> None:
    path: Any = tmp_path / "items.db"
    with running(f5_capstone.run, path) as server:
        click_through(page, server.port, path)


def test_same_app_under_uvicorn_is_clicked_through(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "items.db"
    thread = f4_async_database.DatabaseThread(path, asyncio.wrap_future)
    app = f5_capstone.make_app(f4_async_database.Database(thread), asyncio.wrap_future)
    with uvicorn_running(app) as port:
        click_through(page, port, path)
    with ThreadPoolExecutor(1) as pool:  # a loop of Playwright's runs in this thread
        pool.submit(asyncio.run, thread.aclose()).result()


def test_hello_is_shown_by_every_server(page: Page) -> None:
    servers = {
        "blocking": c2_blocking_server.serve,
        "threads": c2_blocking_server.serve_in_threads,
        "selectors": c4_selectors_server.SelectorsServer,
        "scheduler": on_the_scheduler,
        "streams": in_a_thread(e3_streams_server.StreamsServer),
    }

    def app(request: c1_http_messages.Request) -> c1_http_messages.Response:
        return c1_http_messages.Response(200, {"Content-Type": "application/json"}, HELLO)

    with ExitStack() as stack:
        for name, server in servers.items():
            listener = stack.enter_context(running(server, app))
            answer = page.goto(f"http://127.0.0.1:{listener.port}/")
            assert answer is not None
            assert (name, answer.json()) == (name, {"Hello": "World"})
            assert (name, page.inner_text("pre")) == (name, HELLO.decode())
        page.context.close()  # and its connections: a server that serves one at a time waits for that
