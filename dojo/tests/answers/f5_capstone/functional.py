"""The capstone: your framework, on your server, on your event loop; then a browser."""

import contextlib
import socket
from functools import partial
from types import SimpleNamespace
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from html import escape
from itertools import islice
from os import PathLike
from string import Template
from typing import Any, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from katas.a2_pascal_triangle import pascal_triangle, render
from katas.c1_http_messages import Request, Response
from katas.d1_coroutine_scheduler import Scheduler
from katas.d2_socket_io import AsyncSocket, serve, wait_future, wait_readable, wait_writable
from katas.d3_cancellation import timeout
from katas.e1_async_http_client import build_request, fetch
from katas.f1_asgi_app import Message, Receive, Scope, Send
from katas.f2_mini_framework import App, HTTPError, Reply
from katas.f4_async_database import Database, DatabaseThread

ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[object]]
Handler: TypeAlias = Callable[[Request], Awaitable[Response]]  # an app for the servers of D2 and E3
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]

SCHEMA = "CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"
ROWS, MAX_ROWS = 8, 200  # of the triangle on the page, and at most
PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>From yield to here</title>
<style>
  :root { color-scheme: light dark; --paper: #fdfcf8; --ink: #2a2d34; --deep: #0b6e8f; --line: #8885 }
  @media (prefers-color-scheme: dark) { :root { --paper: #16181d; --ink: #e4e2dc; --deep: #6cc3e0 } }
  body { max-width: 36rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/1.6 system-ui, sans-serif }
  body { background: var(--paper); color: var(--ink) }
  h1, a { color: var(--deep) }
  pre { padding: 1rem; border: 1px solid var(--line); border-radius: .5rem; overflow-x: auto }
  pre span { display: block; width: max-content; margin: auto }
  input, button { font: inherit; padding: .2rem .7rem }
</style>
<h1>From <code>yield</code> to here</h1>
<pre><span>$triangle</span></pre>
<ul>
$items
</ul>
<form action="/items" method="post">
  <input name="name" placeholder="one more thing" required autofocus> <button>Add</button>
</form>
""")


def scope_of(request):
    path, _, query = request.target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET" if request.method == "HEAD" else request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "query_string": query.encode("ascii"),
        "root_path": "",
        "headers": [tuple(text.encode("latin-1") for text in pair) for pair in request.headers.items()],
        "client": None,
        "server": None,
    }


def collector():
    """A generator that is sent the messages of an answer, and returns the Response."""
    start = yield
    if start["type"] != "http.response.start":
        raise RuntimeError("the start comes first")
    body, more = b"", True
    while more:
        message = yield
        if message["type"] != "http.response.body":
            raise RuntimeError("only the body comes behind the start")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = {}
    for name, value in start.get("headers", ()):
        name, value = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[name] = ", ".join(filter(None, [headers.get(name), value]))
    return Response(start["status"], headers, body)


def asgi_handler(app):
    async def handle(request):
        messages = iter([{"type": "http.request", "body": request.body, "more_body": False}])
        collect, responses = collector(), []
        next(collect)

        async def receive():
            return next(messages, {"type": "http.disconnect"})

        async def send(message):
            if responses:
                raise RuntimeError("the answer had come to its end")
            if message["type"] == ("http.response.start" if not started else "http.response.body"):
                started.append(True)
            else:  # the collector lives on: the app may think better of it
                raise RuntimeError(f"{message['type']} is not due")
            try:
                collect.send(message)
            except StopIteration as end:
                responses.append(end.value)

        started = []
        await app(scope_of(request), receive, send)
        if not responses:
            raise RuntimeError("no answer")
        return responses[0]

    return handle


async def talk(sock, address, octets):
    async def send(data):
        while data:
            await wait_writable(sock)
            with contextlib.suppress(BlockingIOError):
                data = data[sock.send(data) :]

    async def receive(max_bytes=65_536):
        while True:
            await wait_readable(sock)
            with contextlib.suppress(BlockingIOError):
                return sock.recv(max_bytes)

    await AsyncSocket(sock).connect(address)
    return await fetch(SimpleNamespace(send=send, receive=receive), octets)


async def get(url, seconds):
    octets, parts = build_request("GET", url, {"Connection": "close"}), urlsplit(url)
    with contextlib.closing(socket.socket()) as sock:
        sock.setblocking(False)
        async with timeout(seconds):
            return await talk(sock, (parts.hostname, parts.port or 80), octets)


def entry(item):
    return f'<li><a href="/items/{item["id"]}">{escape(item["name"])}</a></li>'


def picture(rows):
    return render(islice(pascal_triangle(), rows))


def make_app(database, wait):
    every = partial(database.fetch, "SELECT id, name FROM items ORDER BY id")
    app = App(wait, startup=partial(database.execute, SCHEMA))

    async def index():
        items = map(entry, await every())
        html = PAGE.substitute(triangle=picture(ROWS), items="\n".join(items))
        return Reply(200, html.encode(), "text/html; charset=utf-8")

    async def items():
        return await every()

    async def item(id: int):
        found = [item for item in await every() if item["id"] == id]
        if not found:
            raise HTTPError(404, "Not Found")
        return found[0]

    async def add(body: bytes):
        match parse_qs(body.decode()):
            case {"name": [*_, name]}:
                await database.execute("INSERT INTO items(name) VALUES (?)", (name,))
                return Reply(303, headers={"Location": "/"})
        raise HTTPError(422, {"name": "a name is due"})

    def triangle(rows: int):
        if 0 <= rows <= MAX_ROWS:
            return Reply(200, picture(rows).encode())
        raise HTTPError(404, "Not Found")

    for path, endpoint in {
        "/": index,
        "/items": items,
        "/items/{id}": item,
        "/triangle/{rows}": triangle,
    }.items():
        app.get(path)(endpoint)
    app.post("/items")(add)
    return app


def run(listener, path):
    with contextlib.ExitStack() as stack:
        thread = DatabaseThread(path, wait_future)
        stack.callback(lambda: Scheduler().run(thread.aclose()))
        database = Database(thread)

        async def main():
            app = make_app(database, wait_future)
            await database.execute(SCHEMA)
            await serve(listener, asgi_handler(app))

        Scheduler().run(main())
