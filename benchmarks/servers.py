"""CPU time of the references of c4 (kata), d2 (scheduler), e3 (streams) beside asyncio, aiohttp, FastAPI.

    python benchmarks/servers.py [requests]

Each server runs in a thread of its own, whose CPU time is counted, and answers hello; the clients, who
keep their connections, are another process. The asyncio.Protocol is written by hand, with the same
parser and writer as the kata. The servers take turns, and the best round of each counts: what
else the machine does can only make a round slower. A ratio of 0.40 means: two fifths of what the other needs.
"""

from __future__ import annotations

import asyncio
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

import fastapi
import reference  # noqa: F401  from here on, katas are the references
import uvicorn
from aiohttp import web

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c4_selectors_server import SelectorsServer
from katas.d1_coroutine_scheduler import Scheduler
from katas.d2_socket_io import AsyncSocket, call_soon_threadsafe
from katas.d2_socket_io import serve as serve_on_scheduler
from katas.e3_streams_server import StreamsServer

ROUNDS, CLIENTS = 5, (1, 16, 128)
OURS = ("kata", "scheduler", "streams")
GET = b"GET /hello HTTP/1.1\r\nHost: localhost:8000\r\nUser-Agent: benchmark/1\r\nAccept: */*\r\n\r\n"
HELLO = b'{"Hello": "World"}'

Started: TypeAlias = Callable[[Callable[[], object]], object]  # is told how to stop the server
Serve: TypeAlias = Callable[[socket.socket, Started], None]


def app(request: Request) -> Response:
    return Response(200, {"Content-Type": "application/json"}, HELLO)


class HelloProtocol(asyncio.Protocol):
    """What one writes who uses asyncio for the same thing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = bytearray()
        self.parser = read_request(self.buffer)
        next(self.parser)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.send(data)
        except StopIteration as finished:
            self.answer(finished.value)
        except BadRequest as fault:
            self.transport.write(write_response(Response(fault.status), keep_alive=False))
            self.transport.close()

    def answer(self, request: Request | None) -> None:
        while request is not None:
            self.transport.write(write_response(app(request), request.method, request.keep_alive))
            if not request.keep_alive:
                self.transport.close()
                return
            self.parser = read_request(self.buffer)
            try:
                next(self.parser)
                return
            except StopIteration as finished:
                request = finished.value


def kata(listener: socket.socket, started: Started) -> None:
    server = SelectorsServer(listener, app)
    started(server.stop)
    server.run()


def scheduler(listener: socket.socket, started: Started) -> None:
    own = Scheduler()
    started(lambda: call_soon_threadsafe(own, AsyncSocket(listener).close))
    own.run(serve_on_scheduler(listener, app))


def streams(listener: socket.socket, started: Started) -> None:
    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = StreamsServer(listener, app)
        await server.start()
        started(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        await server.aclose(0)

    asyncio.run(serve())


def asyncio_protocol(listener: socket.socket, started: Started) -> None:
    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        server = await loop.create_server(HelloProtocol, sock=listener)
        started(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        server.close()

    asyncio.run(serve())


def aiohttp(listener: socket.socket, started: Started) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"Hello": "World"})

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_get("/hello", hello)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        started(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        await runner.cleanup()

    asyncio.run(serve())


def fastapi_uvicorn(listener: socket.socket, started: Started) -> None:
    application = fastapi.FastAPI()

    @application.get("/hello")
    async def hello() -> dict[str, str]:
        return {"Hello": "World"}

    config = uvicorn.Config(application, log_level="error", access_log=False, loop="asyncio", http="h11")
    server = uvicorn.Server(config)
    started(lambda: setattr(server, "should_exit", True))
    asyncio.run(server.serve([listener]))


def ask(port: int, clients: int, requests: int) -> None:
    """Let all clients send a request, then all read their answers; and so on."""
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
    for _ in range(requests // clients):
        for connection in connections:
            connection.sendall(GET)
        for connection in connections:
            answer = b""
            while not answer.endswith(b"}"):
                chunk = connection.recv(65_536)
                assert chunk, f"the server closed after {answer!r}"
                answer += chunk


def cost(serve: Serve, clients: int, requests: int) -> float:
    """CPU seconds a request, in the server's thread."""
    stops: list[Callable[[], object]] = []
    spent: list[float] = []
    ready = threading.Event()

    def started(stop: Callable[[], object]) -> None:
        stops.append(stop)
        spent.append(-time.thread_time())
        ready.set()

    def run() -> None:
        serve(listener, started)
        spent[0] += time.thread_time()

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        # asyncio sets it only where a socket says that it is TCP, which those of create_server do not.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=run)
        thread.start()
        ready.wait()
        numbers = (str(port), str(clients), str(requests))
        subprocess.run([sys.executable, __file__, "--ask", *numbers], check=True)
        stops[0]()
        thread.join()
    return spent[0] / (requests // clients * clients)


def main(requests: int) -> None:
    print(f"Python {platform.python_version()}, {requests} requests, µs CPU for each")
    for clients in CLIENTS:
        best: dict[str, float] = {}
        for _ in range(ROUNDS):
            for serve in (kata, scheduler, streams, asyncio_protocol, aiohttp, fastapi_uvicorn):
                spent = cost(serve, clients, requests)
                best[serve.__name__] = min(spent, best.get(serve.__name__, spent))
        for name, spent in best.items():
            ratios = "   ".join(f"{own}/it {best[own] / spent:.2f}" for own in OURS)
            print(f"{clients:4} connections   {name:17} {spent * 1e6:6.1f}   {ratios}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ask"]:
        ask(*map(int, sys.argv[2:]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_560)
