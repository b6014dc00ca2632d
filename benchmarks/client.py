"""CPU time of the client kata's reference beside httpx and aiohttp, on one and the same server.

    python benchmarks/client.py [requests]

The server is a process of its own, so that only the client's work is counted. "new" is a
connection for each request, "kept" one connection for all of them; "httpx each" makes a
client for each request, too, which is what many endpoints do. Each client is measured
in several short rounds, in turn with the others, and its best round counts: what else
the machine does can only make a round slower.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import aiohttp
import anyio
import httpx
import reference  # noqa: F401  from here on, katas are the references

from katas.e1_async_http_client import build_request, fetch, get

ROUNDS = 7
ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: bench\r\n"
    b"Content-Type: application/json\r\nContent-Length: 18\r\n\r\n" + b'{"Hello": "World"}'
)
Ask: TypeAlias = Callable[[], Awaitable[bytes]]


class Server(asyncio.Protocol):
    """Gives the same answer to whatever arrives, and closes where it is asked to."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)
        if b"connection: close" in data.lower():
            self.transport.close()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def kata_new(url: str) -> AsyncIterator[Ask]:
    async def ask() -> bytes:
        return (await get(url, 10)).body

    yield ask


@asynccontextmanager
async def kata_kept(url: str) -> AsyncIterator[Ask]:
    port = int(url.rpartition(":")[2].strip("/"))
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:

        async def ask() -> bytes:
            with anyio.fail_after(10):
                return (await fetch(stream, build_request("GET", url))).body

        yield ask


@asynccontextmanager
async def httpx_asking(url: str, headers: dict[str, str]) -> AsyncIterator[Ask]:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:

        async def ask() -> bytes:
            return (await client.get(url, headers=headers)).content

        yield ask


@asynccontextmanager
async def httpx_each(url: str) -> AsyncIterator[Ask]:
    async def ask() -> bytes:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.get(url)).content

    yield ask


@asynccontextmanager
async def aiohttp_asking(url: str, headers: dict[str, str]) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def ask() -> bytes:
            async with session.get(url, headers=headers) as response:
                return await response.read()

        yield ask


CLOSE = {"Connection": "close"}
RACES = {
    "new": {
        "kata": kata_new,
        "httpx": lambda url: httpx_asking(url, CLOSE),
        "httpx each": httpx_each,
        "aiohttp": lambda url: aiohttp_asking(url, CLOSE),
    },
    "kept": {
        "kata": kata_kept,
        "httpx": lambda url: httpx_asking(url, {}),
        "aiohttp": lambda url: aiohttp_asking(url, {}),
    },
}


async def cost(make: Callable[[str], object], url: str, requests: int) -> float:
    """CPU seconds a request, in this process."""
    async with make(url) as ask:  # type: ignore[attr-defined]
        for _ in range(5):
            assert await ask() == ANSWER.partition(b"\r\n\r\n")[2]
        start = time.process_time()
        for _ in range(requests):
            await ask()
        return (time.process_time() - start) / requests


def main(requests: int) -> None:
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        try:
            for race, makers in RACES.items():
                best: dict[str, float] = {}
                for _ in range(ROUNDS):
                    for name, make in makers.items():
                        fewer = requests // 20 if name == "httpx each" else requests  # it takes that long
                        spent = asyncio.run(cost(make, url, fewer))
                        best[name] = min(spent, best.get(name, spent))
                for name, spent in best.items():
                    ratio = f"kata/{name} {best['kata'] / spent:.3f}"
                    print(f"{race:5} {name:10} {spent * 1e6:7.1f} µs CPU a request   {ratio}")
        finally:
            server.terminate()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        asyncio.run(serve())
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
