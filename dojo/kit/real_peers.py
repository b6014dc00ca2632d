"""Servers that others wrote, each in a thread of its own on a free port: uvicorn with FastAPI, and aiohttp.

    with uvicorn_server(big=300_000) as port: ...

uvicorn_running(app) is uvicorn with any app. The other two answer /hello, /stream (chunked),
/nothing (204), /big (so many octets), and POST /echo. What they are made of is imported only
when they are started: contributors have it, learners need not.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

BIG = 300_000  # octets: more than one receive
HELLO = {"Hello": "World"}
STREAM = [b"Hel", b"lo, ", b"World"]


@contextmanager
def uvicorn_server(big: int) -> Iterator[int]:
    """FastAPI on uvicorn."""
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import StreamingResponse

    app = FastAPI()

    async def hello() -> dict[str, str]:
        return HELLO

    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for part in STREAM:
                yield part

        return StreamingResponse(parts())

    async def nothing() -> Response:
        return Response(status_code=204)

    async def much() -> Response:
        return Response(bytes(big))

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    app.api_route("/hello", methods=["GET", "HEAD"])(hello)
    app.get("/stream", response_class=Response)(stream)
    app.get("/nothing", response_class=Response)(nothing)
    app.get("/big", response_class=Response)(much)
    app.post("/echo", response_class=Response)(echo)

    with uvicorn_running(app, lifespan="off") as port:
        yield port


@contextmanager
def uvicorn_running(app: Any, lifespan: Literal["on", "off"] = "on") -> Iterator[int]:
    """Any ASGI app on uvicorn; RuntimeError where it does not start up."""
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan=lifespan))
    thread = threading.Thread(target=server.run, args=([listener],), name="dojo uvicorn")
    thread.start()
    try:
        while lifespan == "on" and not server.started:
            thread.join(0.001)
            if not thread.is_alive():
                raise RuntimeError("uvicorn ended before it began: the app did not start up")
        yield listener.getsockname()[1]  # it listens already: who connects too early waits
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def aiohttp_server(big: int) -> Iterator[int]:
    """aiohttp's own server."""
    from aiohttp import web

    async def hello(request: web.Request) -> web.StreamResponse:
        return web.json_response(HELLO)

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for part in STREAM:
            await response.write(part)
        return response

    async def nothing(request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def much(request: web.Request) -> web.StreamResponse:
        return web.Response(body=bytes(big))

    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    app = web.Application()
    for path, handler in {"/hello": hello, "/stream": stream, "/nothing": nothing, "/big": much}.items():
        app.router.add_get(path, handler)
    app.router.add_post("/echo", echo)

    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    enough = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await enough.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="dojo aiohttp")
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(enough.set)
        thread.join()
        loop.close()
        listener.close()
