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


def asgi_handler(app: ASGIApp) -> Handler:
    """Return an app for D2's and E3's servers that has an ASGI application answer each Request.

    Awaits nothing but app(scope, receive, send), so that any event loop will do. The scope is an http scope
    as in the Rules, one for each request. receive() gives the body in one message, and from then on
    http.disconnect. What is sent is put together: a repeated header's values are joined with ", ". What
    app raises comes out. RuntimeError is raised by send() for a message that is not due (a second start,
    a body before the start or after the end, any other type), and by the handler where app ends too early.
    """

    async def handler(request: Request) -> Response:
        raw_path, _, query = request.target.partition("?")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "root_path": "",
            "method": "GET" if request.method == "HEAD" else request.method,
            "raw_path": raw_path.encode("latin-1"),
            "path": unquote(raw_path.encode("latin-1")),  # of octets: UTF-8, decoded once
            "query_string": query.encode("latin-1"),
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in request.headers.items()],
            "client": None,
            "server": None,
        }
        response = Response()
        received = False
        started = False
        ended = False

        async def receive() -> Message:
            nonlocal received
            if received:
                return {"type": "http.disconnect"}
            received = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal started, ended
            if message["type"] == "http.response.start":
                if started:
                    raise RuntimeError("a second start")
                started = True
                response.status = message["status"]
                for octets, more in message.get("headers", []):
                    name = octets.decode("latin-1")
                    value = more.decode("latin-1")
                    if name in response.headers:
                        value = response.headers[name] + ", " + value
                    response.headers[name] = value
            elif message["type"] == "http.response.body":
                if not started:
                    raise RuntimeError("a body before the start")
                if ended:
                    raise RuntimeError("a body after the end")
                response.body += message.get("body", b"")
                ended = not message.get("more_body", False)
            else:
                raise RuntimeError(f"no message for a server: {message['type']}")

        await app(scope, receive, send)
        if not ended:
            raise RuntimeError("the application has ended, and its answer has not")
        return response

    return handler


class SocketStream:
    """An AsyncSocket, with the names that fetch asks for."""

    def __init__(self, sock: AsyncSocket) -> None:
        self.sock = sock

    async def send(self, data: bytes, /) -> None:
        await self.sock.send_all(data)

    async def receive(self, max_bytes: int, /) -> bytes:
        return await self.sock.recv(max_bytes)


async def get(url: str, seconds: float) -> Response:
    """GET url on a connection of its own, on your scheduler; close the connection whatever happens.

    The host is an IPv4 address, or localhost. "Connection: close" tells the server that no more comes. Raises
    TimeoutError where all of it takes longer than seconds, and what build_request, connect and fetch raise.
    """
    request = build_request("GET", url, {"Connection": "close"})
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost":
        host = "127.0.0.1"  # to look the name up would keep the others waiting
    port = 80 if parts.port is None else parts.port
    async with timeout(seconds):
        sock = AsyncSocket(socket.socket())
        try:
            await sock.connect((host, port))
            return await fetch(SocketStream(sock), request)
        finally:
            sock.close()


def make_app(database: Database, wait: Wait) -> App:
    """Return an F2 App with these endpoints, on database; it waits for threads by wait.

    GET /                 PAGE: the first ROWS rows of A2's picture, and for each item <li> with a link to it,
                          whose text is its name (html.escape); text/html; charset=utf-8
    GET /items            [{"id": 1, "name": "..."}, ...]: all items, in the order of their ids
    POST /items           adds an item, with the name in an HTML form's body (x-www-form-urlencoded): 303,
                          Location: /. Without a name, or with an empty one: 422, {"detail": {"name": ...}}.
                          Of several names, any one
    GET /items/{id}       {"id": 1, "name": "..."}, or 404, also for a number that int() takes, and sqlite not
    GET /triangle/{rows}  A2's picture of so many rows, as text/plain. It is made in a thread: the endpoint is
                          a plain def. 404 for less than 0 and for more than MAX_ROWS
    At its startup it makes the table (SCHEMA).
    """

    async def startup() -> None:
        await database.execute(SCHEMA)

    app = App(wait=wait, startup=startup)

    @app.get("/")
    async def page() -> Reply:
        triangle = render(islice(pascal_triangle(), ROWS))
        lines = []
        for item in await all_items():
            lines.append(f'<li><a href="/items/{item["id"]}">{escape(item["name"])}</a>')
        text = PAGE.substitute(triangle=triangle, items="\n".join(lines))
        return Reply(body=text.encode(), content_type="text/html; charset=utf-8")

    @app.get("/items")
    async def all_items() -> list[dict[str, Any]]:
        return await database.fetch("SELECT id, name FROM items ORDER BY id")

    @app.post("/items")
    async def add_item(body: bytes) -> Reply:
        form = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        names = form.get("name", [""])
        if names[-1] == "":
            raise HTTPError(422, {"name": "is missing or empty"})
        await database.execute("INSERT INTO items (name) VALUES (?)", (names[-1],))
        return Reply(303, headers={"Location": "/"})

    @app.get("/items/{id}")
    async def one_item(id: int) -> dict[str, Any]:
        if id < -(2**63) or id >= 2**63:  # sqlite has no such number
            raise HTTPError(404, "no such item")
        rows = await database.fetch("SELECT id, name FROM items WHERE id = ?", (id,))
        if not rows:
            raise HTTPError(404, "no such item")
        return rows[0]

    @app.get("/triangle/{rows}")
    def triangle(rows: int) -> Reply:
        if rows < 0 or rows > MAX_ROWS:
            raise HTTPError(404, "no such triangle")
        return Reply(body=render(islice(pascal_triangle(), rows)).encode())

    return app


def run(listener: socket.socket, path: str | PathLike[str]) -> None:
    """Serve make_app's app, with the sqlite file at path, to all clients of listener, until that is closed.

    Makes the table where there is none. One Scheduler does it all, and while a thread is at work for one
    client it goes on with the others. However run ends, the database is closed behind the work that it has
    been given, and its thread ends.
    """

    thread = DatabaseThread(path, wait_future)
    database = Database(thread)

    async def main() -> None:
        await database.execute(SCHEMA)
        await serve(listener, asgi_handler(make_app(database, wait_future)))

    try:
        Scheduler().run(main())
    finally:
        Scheduler().run(thread.aclose())  # another one: the first may have been interrupted


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 8000)) as own, suppress(KeyboardInterrupt):
        print("http://127.0.0.1:8000/ is yours; Ctrl-C ends it")
        run(own, "items.db")
