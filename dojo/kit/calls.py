"""Calls of somebody else's, each with a duration or a failure: who was in flight, and who was given up."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel

from dojo.kit.cancel import cancel_at
from dojo.kit.sockets import complain

Get: TypeAlias = Callable[[str], Coroutine[Any, Any, str]]


class Calls:
    """get(url) answers url in upper case, after so many seconds of the loop; or it fails.

    The script has the seconds of each url, or the exception that it ends with, a second after it began.
    """

    def __init__(self, script: Mapping[str, float | Exception]) -> None:
        self.script = script
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.in_flight = 0
        self.most = 0  # in flight at a time
        self.at_ends: list[int] = []  # in flight each time that one came to its end
        self.seconds = 0.0  # from the first call to the end of the last one
        self._start = 0.0

    async def get(self, url: str) -> str:
        if not self.begun:
            self._start = anyio.current_time()
        self.begun.append(url)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        due = self.script[url]
        try:
            await anyio.sleep(1 if isinstance(due, Exception) else due)
        except anyio.get_cancelled_exc_class():
            self.cancelled.append(url)
            raise
        finally:
            self.at_ends.append(self.in_flight)
            self.in_flight -= 1
            self.seconds = anyio.current_time() - self._start
        if isinstance(due, Exception):
            raise due
        return url.upper()


async def cancelled_anywhere(fetch: Callable[[Get], Coroutine[Any, Any, object]]) -> None:
    """Cancel fetch(get) wherever it waits; complain of calls left in flight, and of a cancellation lost."""
    point = 1
    while True:
        calls = Calls({"a": 1, "b": 2, "c": 1})
        returned: list[object] = []

        async def run(calls: Calls = calls, returned: list[object] = returned) -> None:
            returned.append(await fetch(calls.get))

        where = await cancel_at(point, run)
        if calls.in_flight:
            complain(f"cancelled at {where}, it was over while calls were in flight: {calls.in_flight}")
        if where is None:
            return
        if returned:
            complain(f"cancelled at {where}, it went on, and returned {returned[0]!r}")
        point += 1
