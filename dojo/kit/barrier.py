"""Calls that are answered only once enough of them are in flight together."""

from __future__ import annotations

import asyncio

PATIENCE = 50  # turns of the loop in which nothing arrives, until nothing more is expected


class Barrier:
    """Let no call through before `calls` of them are waiting here together.

    Whoever awaits call() is in flight. `most` is the largest number that ever was. When
    too few have come and nothing more arrives, those that wait are told so in a sentence.
    That is counted in turns of the loop, so that no clock, real or virtual, has a say.
    """

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.in_flight = 0
        self.most = 0
        self.finished = 0
        self._arrivals = 0

    async def call(self) -> None:
        """Arrive, and come back once enough calls have been here together."""
        self._arrivals += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await self._enough()
            self.finished += 1
        finally:
            self.in_flight -= 1

    async def _enough(self) -> None:
        seen, turns = self._arrivals, 0
        await _turn()
        while self.most < self.calls:
            if turns > PATIENCE:
                raise AssertionError(self.complaint())
            turns = turns + 1 if seen == self._arrivals else 0
            seen = self._arrivals
            await _turn()

    def complaint(self) -> str:
        if self.most == 1:
            return (
                f"{self.calls} calls were due to be in flight together, but nobody made a second call while "
                "the first one waited for its answer: the calls are made one after the other"
            )
        return f"{self.calls} calls were due to be in flight together, and never were more than {self.most}"


async def _turn() -> None:
    """Let everybody else run once; anyio is not imported where asyncio is enough."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import anyio.lowlevel

        await anyio.lowlevel.checkpoint()
    else:
        await asyncio.sleep(0)
