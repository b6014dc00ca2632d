"""A stream in memory, whose other end follows a script."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel


class MemoryStream:
    """A stream that keeps what it is sent, and gives out its pieces.

    Behind the last piece comes its end: end=anyio.EndOfStream is raised, end=b"" is returned. With
    end=None the stream stays open, and to ask for more is an error. `pause` is awaited in
    every send and receive; anyio's checkpoint, where nothing else is given.
    """

    def __init__(
        self,
        *pieces: bytes,
        end: type[Exception] | bytes | None = None,
        pause: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint,
    ) -> None:
        self.sent = b""
        self._pieces = [piece for piece in pieces if piece]
        self._end, self._pause, self._ended = end, pause, False

    async def send(self, data: bytes) -> None:
        await self._pause()
        self.sent += data

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        if self._ended:
            raise AssertionError(
                "receive() was called again after the end of the stream: nothing comes any more"
            )
        if not self.sent:
            raise AssertionError("receive() was called before send(): nobody answers what was not asked")
        if not self._pieces and self._end is None:
            raise AssertionError(
                "receive() was called although the whole response had come: "
                "on a connection that is kept open, that is waiting for ever"
            )
        await self._pause()
        if not self._pieces:
            self._ended = True
            if isinstance(self._end, bytes):
                return self._end
            assert self._end is not None
            raise self._end
        piece, rest = self._pieces[0][:max_bytes], self._pieces[0][max_bytes:]
        self._pieces[:1] = [rest] if rest else []
        return piece


async def broken() -> None:
    """A pause in which the connection breaks."""
    raise anyio.BrokenResourceError
