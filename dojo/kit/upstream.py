"""Upstreams on the loopback that follow a script.

A script is a list of pieces: octets are sent as they are, a number is so many seconds
of silence (virtual ones, where the loop's time is), HOLD waits for all the other calls.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import anyio
import anyio.lowlevel

from dojo.kit.fence import Fence

HOLD = "hold"  # until nothing more can arrive; then those held are answered one at a time, the last one first
QUIET = 40  # turns of the loop in which nobody moves, until it is believed that nobody will
Piece: TypeAlias = bytes | float | str


class Call:
    """One connection to an Upstream: it reads a request, then follows its script, then ends the stream."""

    def __init__(self, sock: socket.socket, script_for: Callable[[str], Iterable[Piece]]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.request = b""
        self.closed = False  # has the client closed its side?
        self.held = False
        self.silent_until = float("-inf")
        self._script_for = script_for
        self._script: Iterator[Piece] | None = None
        self._ended = False

    @property
    def path(self) -> str:
        return self.request.split(b" ")[1].decode()

    @property
    def in_flight(self) -> bool:
        return self._script is not None and not self._ended

    def move(self) -> bool:
        """Do what can be done now; say whether that was anything."""
        return self._receive() or self._follow_script()

    def _receive(self) -> bool:
        if self.closed:
            return False
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a reset is a way of closing
        self.closed = not data
        self.request += data
        if self._script is None and b"\r\n\r\n" in self.request:
            self._script = iter(self._script_for(self.path))
        return True

    def _follow_script(self) -> bool:
        if not self.in_flight or self.held or anyio.current_time() < self.silent_until:
            return False
        assert self._script is not None
        piece = next(self._script, None)
        with suppress(OSError):  # of a client that is gone already
            if piece is None:
                self._ended = True
                self.sock.shutdown(socket.SHUT_WR)
            elif isinstance(piece, bytes):
                self.sock.sendall(piece)
        if isinstance(piece, str):
            self.held = True
        elif isinstance(piece, (int, float)):
            self.silent_until = anyio.current_time() + piece
        return True


class Upstream:
    """An HTTP server with a script, on a free port of the loopback, in the same loop as its client.

    While anybody moves it keeps the loop turning: time stands still until the script says so.
    Where nobody moves, holds nothing and keeps no silence, it says in a sentence what it waits for.
    """

    def __init__(self, scripts: Mapping[str, Iterable[Piece]] | Iterable[Piece]) -> None:
        self.calls: list[Call] = []
        self.in_flight: list[int] = []  # how many calls were, each time that a held one was answered
        self._scripts = scripts if isinstance(scripts, Mapping) else None
        self._script = [] if isinstance(scripts, Mapping) else list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"  # as it stands in a URL
        self._fence = Fence()
        self._asked = False  # does somebody wait for still_open()?

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}{path}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, in the order of arrival."""
        return [call.path for call in self.calls if call.request]

    async def still_open(self) -> int:
        """How many connections the client has left open, when all that was on its way has come."""
        turns = 0
        self._asked = True
        while turns < 3 or (turns < QUIET and not all(call.closed for call in self.calls)):
            turns = 0 if self.turn() else turns + 1
            await anyio.lowlevel.checkpoint()
        self._asked = False
        return sum(not call.closed for call in self.calls)

    async def run(self) -> None:
        turns = 0
        while True:
            turns = 0 if self.turn() else turns + 1
            if turns > QUIET and not self._asked:
                turns = 0
                await self._break_the_silence()
            await anyio.lowlevel.checkpoint()

    def turn(self) -> bool:
        """Let everybody do what can be done now; say whether that was anything."""
        moved = False
        with suppress(BlockingIOError):
            self.calls.append(Call(self._listener.accept()[0], self._script_for))
            moved = True
        for call in self.calls:
            moved = call.move() or moved
        if not moved:
            self._fence.wait()
        return moved

    async def _break_the_silence(self) -> None:
        in_flight = [call for call in self.calls if call.in_flight and not call.closed]
        held = [call for call in in_flight if call.held]
        silent = [call.silent_until for call in in_flight if call.silent_until > anyio.current_time()]
        if held:
            self.in_flight.append(len(in_flight))
            held[-1].held = False
        elif silent:
            await anyio.sleep_until(min(silent))
        elif not self.calls:
            raise AssertionError("the upstream waits for a connection, and nobody makes one")
        elif not all(call.request for call in self.calls):
            raise AssertionError("the upstream waits for a request, and the client sends none")
        elif not all(call.in_flight or call.closed or call._ended for call in self.calls):
            raise AssertionError(f"the upstream waits for the empty line behind {self.calls[-1].request!r}")
        else:
            raise AssertionError(
                "the upstream has answered and ended the stream, and the client neither closes nor comes back"
            )

    def _script_for(self, path: str) -> Iterable[Piece]:
        return self._script if self._scripts is None else self._scripts[path]

    def close(self) -> None:
        self._fence.close()
        self._listener.close()
        for call in self.calls:
            call.sock.close()


@asynccontextmanager
async def upstream(scripts: Mapping[str, Iterable[Piece]] | Iterable[Piece]) -> AsyncIterator[Upstream]:
    """Run an Upstream beside the block: one script for all, or one for each path."""
    server = Upstream(scripts)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(server.run)
            yield server
            group.cancel_scope.cancel()
    except BaseExceptionGroup as several:  # what went wrong in the block, or else in the upstream
        raise several.exceptions[0] from None
    finally:
        server.close()


async def timed(call: Awaitable[object]) -> tuple[str, float]:
    """Say what comes of the call, "TimeoutError" or what else it returns, and after how many seconds."""
    start = anyio.current_time()
    try:
        outcome = type(await call).__name__
    except TimeoutError as late:
        outcome = type(late).__name__
    return outcome, anyio.current_time() - start
