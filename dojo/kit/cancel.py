"""To cancel a coroutine at every point where it can be cancelled, one after the other.

cancel_at(point, function, *args)         on asyncio and trio, as anyio cancels: again and again
cancel_task_at(point, function, *args)    on asyncio, as asyncio cancels: once
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ENOUGH = 7200  # seconds, on a virtual clock: who is cancelled and has not ended by then never will
LEARNED = ("katas", "solutions")  # the folders of code that is tried


async def cancel_at(point: int, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> str | None:
    """Run function(*args) and cancel it where it waits for the point-th time; return where that was.

    The first point is 1. None means that it ended before that: there are no more points.
    """
    import anyio  # what asyncio alone can do does without

    with anyio.CancelScope() as scope:
        counted = Counted(function(*args), point, scope.cancel)
        await counted
    return counted.where


async def cancel_task_at(
    point: int,
    function: Callable[..., Coroutine[Any, Any, T]],
    *args: Any,
    again: tuple[float, ...] = (),
) -> str | None:
    """Run function(*args) as an asyncio task, and cancel that where it waits for the point-th time.

    It is cancelled once more after each of so many seconds. Returns where that was, and None where it
    ended before that. Raises AssertionError where the task swallowed its cancellation, or raised
    something else instead, and whatever comes out of a task that was not cancelled.
    """

    def cancel() -> None:
        task.cancel()
        for seconds in again:
            asyncio.get_running_loop().call_later(seconds, task.cancel)

    counted = Counted(function(*args), point, cancel)

    async def run() -> T:
        return await counted

    task = asyncio.create_task(run())
    await asyncio.wait([task], timeout=ENOUGH)
    if endless := not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=ENOUGH)
    if counted.where and (endless or not task.cancelled()):
        end = "came to no end" if endless else f"{gave(task)} in the end"
        raise AssertionError(
            f"cancelled at {counted.where}, it went on, and {end}: "
            "whoever cancels it waits for a CancelledError to come out"
        )
    return counted.where if task.cancelled() else (task.result(), None)[1]


def gave(task: asyncio.Task[Any]) -> str:
    """Say how a task ended that was not cancelled; what is nobody's answer is raised."""
    error = task.exception()
    if isinstance(error, (NotImplementedError, AssertionError)):
        raise error
    return f"gave {task.result()!r}" if error is None else f"raised {error!r}"


class Counted(Awaitable[T]):
    """A coroutine that reports its point-th suspension, and is itself in all else.

    `where` says where that was, once it has come so far; the same is set in `told`, where one is given.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], point: int, report: Callable[[], object], told: Any = None
    ) -> None:
        self.where: str | None = None
        self._told = told or self
        self._coroutine, self._left, self._report = coroutine, point, report

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[Any], Any] = self._coroutine.send
        answer: Any = None
        while True:
            try:
                trap = resume(answer)
            except StopIteration as finished:
                result: T = finished.value
                return result
            self._left -= 1
            if self._left == 0:
                self.where = self._told.where = _where(self._coroutine)
                self._report()
            try:
                answer = yield trap
                resume = self._coroutine.send
            except BaseException as error:
                answer = error
                resume = self._coroutine.throw


def _where(coroutine: Any) -> str:
    """The first line of a kata where the coroutine stands, else its own, and what that waits in."""
    chain = []
    while hasattr(coroutine, "cr_code"):
        chain.append(coroutine)
        coroutine = coroutine.cr_await
    learned = [each for each in chain if Path(each.cr_code.co_filename).parent.name in LEARNED]
    stands, waits_in = (learned or chain)[0], chain[-1]
    here = f"line {stands.cr_frame.f_lineno} of {stands.cr_code.co_name}()"
    return here if stands is waits_in else f"{here}, which waits in {waits_in.cr_code.co_name}()"
