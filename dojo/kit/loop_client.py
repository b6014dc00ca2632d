"""A client in the server's own loop: it listens, waits and asks without stopping anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from dojo.kit import ends
from dojo.kit.sockets import complain

MOMENT = 2**-10  # virtual seconds: they pass when nobody can go on, and only then
ENOUGH = 3_600  # virtual seconds: what has not ended by then never will


class Client(ends.Client):
    """The client's end of a connection, in the server's loop.

    Of `served` it has the other end too: `writer`, and `task`, which is the handler at work.
    """

    task: asyncio.Task[Any]
    writer: asyncio.StreamWriter
    asked = False  # has somebody asked how the task came out?

    async def hear(self) -> bytes:
        """Listen to the end, and return all that was heard."""
        while not self.ended:
            await self._next()
        return bytes(self.heard)

    async def hear_and_leave(self) -> bytes:
        """Listen to the end, close, and return all that was heard."""
        heard = await self.hear()
        self.close()
        return heard

    async def hear_until(self, marker: bytes) -> bytes:
        """Listen until marker was heard, and return all that was heard."""
        while marker not in self.heard:
            await self._next()
            if self.ended and marker not in self.heard:
                complain(f"the connection ended after {bytes(self.heard[-80:])!r}: {marker!r} never came")
        return bytes(self.heard)

    async def hear_octets(self, count: int, at_most: int = 65_536, every: float = 0) -> bytes:
        """Listen until so many octets were heard, or the end: take at_most of them every so many seconds."""
        while len(self.heard) < count and not self.ended:
            for _ in range(0, min(at_most, count - len(self.heard)), 1_024):
                await self._next(1_024)
            await asyncio.sleep(every)
        return bytes(self.heard)

    async def push(self, octets: bytes, most: int) -> int:
        """Send octets over and over until nobody takes any more; return how many were taken (about most)."""
        taken, refused = 0, False
        while taken < most:
            try:
                taken += self.send(octets[taken % len(octets) :])
                refused = False
            except BlockingIOError:
                if refused:
                    break
                refused = True
                await rest()
            except ConnectionError:
                break
        return taken

    def stored(self) -> int:
        """How many octets for this client wait in the writer's buffer?"""
        return self.writer.transport.get_write_buffer_size()

    async def outcome(self) -> tuple[str, float]:
        """Wait for the end of the task; return the name of what it raised ("": nothing), and the seconds."""
        seconds = await lasts(asyncio.wait([self.task], timeout=ENOUGH))
        self.asked = True
        if not self.task.done():
            return "no end", seconds
        if self.task.cancelled():
            return "CancelledError", seconds
        error = self.task.exception()
        if isinstance(error, NotImplementedError):
            raise error
        return type(error).__name__ if error else "", seconds

    async def _next(self, octets: int = 65_536) -> None:
        try:
            chunk = await asyncio.get_running_loop().sock_recv(self, octets)
        except ConnectionError as error:
            complain(
                f"the client got a reset in place of the end, after {len(self.heard)} octets: "
                f"that is what closing means while input is unread ({error!r})"
            )
        self.heard += chunk
        self.ended = not chunk


async def rest() -> None:
    """Let everybody go on until nobody can, but for the clock."""
    await asyncio.sleep(MOMENT)


async def lasts(awaitable: Awaitable[object]) -> float:
    """Return how many virtual seconds this takes, without the moments."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await awaitable
    return round(loop.time() - start, 1)
