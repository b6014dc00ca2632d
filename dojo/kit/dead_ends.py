"""Where no connection comes about: names that nobody knows, and ports where nobody listens."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import anyio


@asynccontextmanager
async def slow_names(seconds: float) -> AsyncIterator[None]:
    """Let every look-up of a name in this loop take so long, and then fail."""

    async def getaddrinfo(*args: object, **kwargs: object) -> list[object]:
        await anyio.sleep(seconds)
        raise socket.gaierror(socket.EAI_NONAME, f"nobody knows a name after {seconds} seconds")

    try:
        loop: Any = asyncio.get_running_loop()
    except RuntimeError:
        import trio

        resolver: Any = SimpleNamespace(getaddrinfo=getaddrinfo)
        before = trio.socket.set_custom_hostname_resolver(resolver)
        try:
            yield
        finally:
            trio.socket.set_custom_hostname_resolver(before)
    else:
        loop.getaddrinfo = getaddrinfo
        try:
            yield
        finally:
            del loop.getaddrinfo


@contextmanager
def nobody_listens() -> Iterator[str]:
    """Give the URL of a port that is taken, and where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"
