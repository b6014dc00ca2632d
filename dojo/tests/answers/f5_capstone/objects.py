"""The capstone: your framework, on your server, on your event loop; then a browser."""

import socket
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
from katas.d2_socket_io import AsyncSocket, serve, wait_future
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


class Cycle:
    """One request and its answer."""

    def __init__(self, request):
        self.request = request
        self.state = "request"
        self.asked = False
        self.status, self.headers, self.body = None, {}, bytearray()

    @property
    def scope(self):
        path, _, query = self.request.target.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": {"HEAD": "GET"}.get(self.request.method, self.request.method),
            "scheme": "http",
            "path": unquote(path, errors="surrogateescape"),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": tuple(
                (name.encode("latin-1"), value.encode("latin-1"))
                for name, value in self.request.headers.items()
            ),
            "client": None,
            "server": None,
            "extensions": {},
        }

    async def receive(self):
        if self.asked:
            return {"type": "http.disconnect"}
        self.asked = True
        return {"type": "http.request", "body": self.request.body, "more_body": False}

    async def send(self, message):
        match self.state, message:
            case "request", {"type": "http.response.start", "status": status}:
                self.status, self.state = status, "body"
                for name, value in message.get("headers", []):
                    self.add(str(name, "latin-1").lower(), str(value, "latin-1"))
            case "body", {"type": "http.response.body"}:
                self.body += message.get("body", b"")
                if not message.get("more_body", False):
                    self.state = "done"
            case _:
                raise RuntimeError(f"{message!r} while {self.state}")

    def add(self, name, value):
        if name in self.headers:
            value = self.headers[name] + ", " + value
        self.headers[name] = value

    @property
    def response(self):
        if self.state != "done":
            raise RuntimeError(f"the app ended while {self.state}")
        return Response(self.status, self.headers, bytes(self.body))


class ASGIHandler:
    def __init__(self, app):
        self.app = app

    async def __call__(self, request):
        cycle = Cycle(request)
        await self.app(cycle.scope, cycle.receive, cycle.send)
        return cycle.response


asgi_handler = ASGIHandler


class Connection(AsyncSocket):
    send = AsyncSocket.send_all

    async def receive(self, max_bytes=65_536):
        return await self.recv(max_bytes)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *failure):
        self.close()


async def get(url, seconds):
    octets = build_request("GET", url, {"Connection": "close"})
    parts = urlsplit(url)
    async with Connection(socket.socket()) as connection, timeout(seconds):
        await connection.connect((parts.hostname, parts.port or 80))
        return await fetch(connection, octets)


class Site:
    def __init__(self, database, wait):
        self.database = database
        self.app = App(wait, startup=self.startup)
        self.app.get("/")(self.index)
        self.app.get("/items")(self.items)
        self.app.post("/items")(self.add)
        self.app.get("/items/{id}")(self.item)
        self.app.get("/triangle/{rows}")(self.triangle)

    async def startup(self):
        await self.database.execute(SCHEMA)

    async def index(self):
        items = [
            f"""<li>{item["id"]}: <a href="/items/{item["id"]}">{escape(item["name"])}</a></li>"""
            for item in await self.items()
        ]
        page = PAGE.substitute(triangle=self.picture(ROWS), items="".join(items))
        return Reply(200, page.encode(), "text/html; charset=utf-8")

    async def items(self):
        return await self.database.fetch("SELECT id, name FROM items ORDER BY id")

    async def item(self, id: str):
        for item in await self.items():
            if str(item["id"]) == id:
                return item
        raise HTTPError(404, {"no such item": id})

    async def add(self, body: bytes):
        name = parse_qs(body.decode("ascii", "replace")).get("name", [""])[0]
        if not name:
            raise HTTPError(422, {"name": "missing"})
        await self.database.execute("INSERT INTO items VALUES (NULL, ?)", [name])
        return Reply(303, b"See /", headers={"Location": "/"})

    def triangle(self, rows: int):
        if rows not in range(MAX_ROWS + 1):
            raise HTTPError(404, "no such triangle")
        return Reply(200, self.picture(rows).encode("ascii"), "text/plain")

    def picture(self, rows):
        return render(islice(pascal_triangle(), rows))


def make_app(database, wait):
    return Site(database, wait).app


class Service:
    def __init__(self, listener, path):
        self.listener = listener
        self.thread = DatabaseThread(path, wait_future)

    async def serve(self):
        database = Database(self.thread)
        await database.execute(SCHEMA)
        await serve(self.listener, asgi_handler(make_app(database, wait_future)))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        Scheduler().run(self.thread.aclose())


def run(listener, path):
    with Service(listener, path) as service:
        Scheduler().run(service.serve())
