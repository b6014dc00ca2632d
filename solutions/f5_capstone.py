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

    async def handle(request: Request) -> Response:
        path, _, query = request.target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            # Not HEAD: an app may answer that without the body, and the server has to count its octets.
            "method": "GET" if request.method == "HEAD" else request.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(n.encode("latin-1"), v.encode("latin-1")) for n, v in request.headers.items()],
            "client": None,
            "server": None,
        }
        to_come: list[Message] = [{"type": "http.request", "body": request.body, "more_body": False}]
        response: Response | None = None
        parts: list[bytes] = []
        ended = False

        async def receive() -> Message:
            return to_come.pop() if to_come else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal response, ended
            kind = message["type"]
            if kind == "http.response.start" and response is None:
                response = Response(message["status"])
                for raw_name, raw_value in message.get("headers", ()):
                    name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
                    before = response.headers.get(name)
                    response.headers[name] = value if before is None else f"{before}, {value}"
            elif kind == "http.response.body" and response is not None and not ended:
                parts.append(message.get("body", b""))
                ended = not message.get("more_body", False)
            else:
                raise RuntimeError(f"the app sent {kind} where it was not due")

        await app(scope, receive, send)
        if response is None or not ended:
            raise RuntimeError("the app has ended, and its answer has not")
        response.body = b"".join(parts)
        return response

    return handle


async def get(url: str, seconds: float) -> Response:
    """GET url on a connection of its own, on your scheduler; close the connection whatever happens.

    The host is an IPv4 address, or localhost. "Connection: close" tells the server that no more comes. Raises
    TimeoutError where all of it takes longer than seconds, and what build_request, connect and fetch raise.
    """
    request = build_request("GET", url, {"Connection": "close"})
    where = urlsplit(url)
    stream = _Stream(socket.socket())
    try:
        async with timeout(seconds):
            await stream.sock.connect((where.hostname or "", where.port or 80))
            return await fetch(stream, request)
    finally:
        stream.sock.close()


class _Stream:
    """An AsyncSocket under the names by which E1's fetch knows a stream."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = AsyncSocket(sock)
        self.send, self.receive = self.sock.send_all, self.sock.recv


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

    app = App(wait, startup=startup)

    @app.get("/items")
    async def items() -> list[dict[str, Any]]:
        return await database.fetch("SELECT id, name FROM items ORDER BY id")

    @app.get("/items/{id}")
    async def item(id: int) -> dict[str, Any]:
        if 0 < id < 2**63:  # a larger one would not go into sqlite at all
            for row in await database.fetch("SELECT id, name FROM items WHERE id = ?", (id,)):
                return row
        raise HTTPError(404, f"no item {id}")

    @app.post("/items")
    async def add(body: bytes) -> Reply:
        form = parse_qs(body.decode("latin-1"))  # what is not ASCII comes as %C3%A9, and means UTF-8
        if "name" not in form:
            raise HTTPError(422, {"name": "missing"})
        await database.execute("INSERT INTO items(name) VALUES (?)", (form["name"][-1],))
        # After a POST, "see other": so that reloading the page does not add it once more.
        return Reply(303, headers={"location": "/"})

    @app.get("/")
    async def index() -> Reply:
        lines = [f'<li><a href="/items/{item["id"]}">{escape(item["name"])}</a>' for item in await items()]
        page = PAGE.substitute(triangle=picture(ROWS), items="\n".join(lines))
        return Reply(200, page.encode(), "text/html; charset=utf-8")

    @app.get("/triangle/{rows}")
    def triangle(rows: int) -> Reply:
        if not 0 <= rows <= MAX_ROWS:
            raise HTTPError(404, f"a triangle has 0 to {MAX_ROWS} rows here")
        return Reply(200, picture(rows).encode())

    def picture(rows: int) -> str:
        return render(islice(pascal_triangle(), rows))

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
        # In main's own `finally` it could not be awaited: after Ctrl-C the scheduler runs no task any more.
        Scheduler().run(thread.aclose())


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 8000)) as own, suppress(KeyboardInterrupt):
        print("http://127.0.0.1:8000/ is yours; Ctrl-C ends it")
        run(own, "items.db")
