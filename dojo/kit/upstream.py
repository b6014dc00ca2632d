"""Upstreams on the loopback that follow a script.

What a script is, `dojo/kit/scripted_call.py` says.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel

from dojo.kit.fence import Fence
from dojo.kit.scripted_call import HOLD as HOLD
from dojo.kit.scripted_call import KEEP as KEEP
from dojo.kit.scripted_call import Call, Piece

QUIET = 40  # turns of the loop in which nobody moves, until it is believed that nobody will
SPARE = 30  # seconds that the upstream lets pass where nobody moves, but deadlines may: then it complains


class Upstream:
    """An HTTP server with a script, on a free port of the loopback, in the same loop as its client.

    While anybody moves it keeps the loop turning: time stands still until the script says so.
    Where nobody moves, holds nothing and keeps no silence, it says in a sentence what it waits for.
    """

    def __init__(
        self, scripts: Mapping[str, Iterable[Piece]] | Iterable[Piece], again: Iterable[Piece] | None
    ) -> None:
        self.calls: list[Call] = []  # one for each connection
        self.requests: list[bytes] = []  # in the order of arrival
        self.in_flight: list[int] = []  # how many calls were, each time that a held one was answered
        self._scripts = scripts if isinstance(scripts, Mapping) else None
        self._script = [] if isinstance(scripts, Mapping) else list(scripts)
        self._again = again if again is None else list(again)
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
        return [request.split(b" ")[1].decode() for request in self.requests]

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
        now = anyio.current_time()
        silent = [call.silent_until for call in in_flight if call.silent_until > now]
        if held:
            self.in_flight.append(len(in_flight))
            held[-1].held = False
        elif silent:
            await self._sleep_until(min(silent))
        elif self.calls and all(call.kept or call.closed for call in self.calls):
            await self._sleep_until(now + SPARE)
            if anyio.current_time() >= now + SPARE:
                raise AssertionError(
                    f"nothing has happened for {SPARE} seconds: "
                    "the upstream waits for a request, and the client for something else"
                )
        elif not self.calls:
            raise AssertionError("the upstream waits for a connection, and nobody makes one")
        elif not all(call.request for call in self.calls):
            raise AssertionError("the upstream waits for a request, and the client sends none")
        elif not all(call.in_flight or call.closed or call.ended for call in self.calls):
            raise AssertionError(f"the upstream waits for the empty line behind {self.calls[-1].request!r}")
        else:
            raise AssertionError(
                "the upstream has answered and ended the stream, and the client neither closes nor comes back"
            )

    async def _sleep_until(self, deadline: float) -> None:
        """Let time pass, but wake up when a client moves."""
        async with anyio.create_task_group() as group:

            async def watch(sock: socket.socket) -> None:
                await anyio.wait_readable(sock)
                group.cancel_scope.cancel()

            for sock in [self._listener, *(call.sock for call in self.calls if not call.closed)]:
                group.start_soon(watch, sock)
            await anyio.sleep_until(deadline)
            group.cancel_scope.cancel()

    def _script_for(self, call: Call) -> Iterable[Piece]:
        self.requests.append(call.request)
        call.answers += 1
        if call.answers > 1 and self._again is not None:
            return self._again
        return self._script if self._scripts is None else self._scripts[call.path]

    def close(self) -> None:
        self._fence.close()
        self._listener.close()
        for call in self.calls:
            call.sock.close()


@asynccontextmanager
async def upstream(
    scripts: Mapping[str, Iterable[Piece]] | Iterable[Piece], again: Iterable[Piece] | None = None
) -> AsyncIterator[Upstream]:
    """Run an Upstream beside the block: one script for all, or one for each path.

    Where again is given, it is the script for every request that is not the first on its connection.
    """
    server = Upstream(scripts, again)
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
