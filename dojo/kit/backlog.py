"""A server that lets everybody connect, and by itself does nothing at all.

The kernel makes connections to a listening socket, up to its backlog, with nobody there to accept
them. So this needs no task: a test asks how many are open, and says when they hear something.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.lowlevel

from dojo.kit.fence import Fence
from dojo.kit.responses import ok


class Backlog:
    """Connections that are there, whether or not anybody has accepted them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._fence = Fence()
        self._socks: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"

    async def still_open(self) -> int:
        """How many connections the client has left open, when all that was on its way has come."""
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        return self.open_now()

    def open_now(self) -> int:
        self._accept()
        return len(self._socks)

    def say(self) -> None:
        """Send a response on every open connection, though nobody has asked."""
        self._accept()
        for sock in self._socks:
            sock.sendall(ok(b"evil"))
        self._fence.wait()

    def hang_up(self) -> None:
        """End every open connection."""
        self._accept()
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        self._fence.wait()

    def close(self) -> None:
        for sock in [*self._socks, self._listener]:
            sock.close()
        self._fence.close()

    def _accept(self) -> None:
        """Take in those that have come, and let go of those that were closed."""
        self._fence.wait()
        with suppress(BlockingIOError):
            while True:
                self._socks.append(self._listener.accept()[0])
                self._socks[-1].setblocking(False)
        for sock in [sock for sock in self._socks if _is_closed(sock)]:
            self._socks.remove(sock)
            sock.close()


@contextmanager
def backlog() -> Iterator[Backlog]:
    server = Backlog()
    try:
        yield server
    finally:
        server.close()


async def most_open(call: Awaitable[object], *servers: Backlog) -> int:
    """Await call; return how many connections to all of these servers were open at a time meanwhile."""
    seen = [0]

    async def watch() -> None:
        while True:
            seen.append(sum(server.open_now() for server in servers))
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await call
        group.cancel_scope.cancel()
    return max(seen)


def _is_closed(sock: socket.socket) -> bool:
    try:
        while sock.recv(65_536):
            pass  # nobody wants to know
    except BlockingIOError:
        return False
    except OSError:
        pass  # a reset is a way of closing
    return True
