"""Jobs for a learner's asyncio code to run: who has begun, who still runs, and how each one ended."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any

from dojo.kit.barrier import Barrier
from dojo.kit.cancel import cancel_task_at
from dojo.kit.sockets import complain

LOST = ValueError("lost")
"""What a job raises, where it does not matter what that is."""


class Jobs:
    """Makes jobs, coroutine functions without parameters, and keeps the books on them.

    `running` has the names of those that have begun and not ended, `ended` says of all that have
    begun how they ended: "returned", "failed" or "cancelled".
    """

    def __init__(self) -> None:
        self.running: list[str] = []
        self.ended: dict[str, str] = {}

    def __call__(
        self,
        name: str,
        seconds: float = 3600,
        *,
        fails: BaseException | None = None,
        tidying: float = 0,
        last: object = None,
        **returns: object,
    ) -> Callable[[], Coroutine[Any, Any, Any]]:
        """A job that waits, then raises `fails`, or returns its name, or what `returns=` says.

        When it is cancelled it tidies up for so many seconds, however often it is cancelled then.
        And then it raises or returns `last`, where that is given.
        """

        async def work() -> object:
            self.running.append(name)
            self.ended[name] = "failed"  # until we know better
            try:
                await asyncio.sleep(seconds)
                if fails is not None:
                    raise fails.with_traceback(None)
                self.ended[name] = "returned"
                return returns.get("returns", name)
            except asyncio.CancelledError:
                self.ended[name] = "cancelled"
                await _undisturbed(tidying)
                if isinstance(last, BaseException):
                    raise last.with_traceback(None) from None
                if last is None:
                    raise
                return last
            finally:
                self.running.remove(name)

        work.__qualname__ = name
        return work


async def _undisturbed(seconds: float) -> None:
    """Wait so long, whoever cancels that, and however often."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(end - loop.time())


async def forgotten() -> None:
    """Wait for what nobody else knows of: unless somebody keeps the task, it is garbage now."""
    await asyncio.get_running_loop().create_future()


def closed(coroutine: Coroutine[Any, Any, object]) -> bool:
    """Had the coroutine ended, or been closed? It has by now."""
    state = inspect.getcoroutinestate(coroutine)
    coroutine.close()
    return state == inspect.CORO_CLOSED


async def in_flight(function: Callable[..., Awaitable[object]]) -> int:
    """Give function three calls that end only when all are there; return how many have ended."""
    barrier = Barrier(3)
    await function(barrier.call, barrier.call, barrier.call)
    return barrier.finished


async def told_by(background: Any) -> set[BaseException]:
    """The failures that background.aclose() raises a group of."""
    try:
        await background.aclose()
    except ExceptionGroup as group:
        return set(group.exceptions)
    return set()


async def outcome(awaitable: Awaitable[object]) -> tuple[object, float]:
    """What an awaitable gives, or as text what it raises, and how many seconds that took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    me = asyncio.current_task()
    before = me.cancelling() if me else 0
    came: object
    try:
        came = await awaitable
    except asyncio.CancelledError:
        if me is not None and me.cancelling() > before:
            raise  # it is ourselves who are cancelled
        came = "CancelledError"
    except (NotImplementedError, AssertionError):
        raise
    except Exception as error:
        came = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        error.__traceback__ = None  # its frames hold tasks, and with them failures that nobody has read
    return came, loop.time() - start


def queue_of(*items: object) -> asyncio.Queue[Any]:
    """A queue with these items."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    for item in items:
        queue.put_nowait(item)
    return queue


async def let_work(
    worker: Callable[..., Coroutine[Any, Any, object]],
    items: Iterable[object],
    handle: Callable[[Any], Awaitable[object]],
) -> asyncio.Queue[Any]:
    """Give worker(queue, handle) a queue with these items, and time; cancel it, and return the queue."""
    __tracebackhide__ = True
    queue = queue_of(*items)
    task = asyncio.create_task(worker(queue, handle))
    if (await asyncio.wait([task], timeout=60))[0]:
        came, _ = await outcome(task)
        complain(f"a worker works until it is cancelled, and this one ended by itself, with {came!r}")
    task.cancel()
    if not (await asyncio.wait([task], timeout=60))[0]:
        complain("the worker was cancelled where it waited for an item, and it goes on waiting")
    return queue


async def joined(queue: asyncio.Queue[Any]) -> bool:
    """Have all items that were put into the queue been told to be done?"""
    join = asyncio.create_task(queue.join())
    done, _ = await asyncio.wait([join], timeout=1)
    join.cancel()
    return bool(done)


async def cancelled_everywhere(
    function: Callable[[Jobs], Coroutine[Any, Any, object]], points: float = math.inf
) -> None:
    """Cancel the coroutine function(jobs) wherever it waits, once, and then with two more soon after.

    At so many points, where it comes to no end by itself. Raises AssertionError where a job outlives it,
    and where the cancellation gets lost. Not cancelled, it may raise LOST.
    """
    __tracebackhide__ = True
    for again in ((), (0.25, 0.5)):
        point = 0
        while (point := point + 1) <= points:
            jobs = Jobs()
            try:
                where = await cancel_task_at(point, function, jobs, again=again)
            except ValueError as error:
                if error is not LOST:
                    raise
                where = None
            if where is None:
                break
            if left := ", ".join(jobs.running):
                await _end_all_others()
                often = ", and twice more after that" if again else ""
                complain(f"cancelled at {where}{often}, it was over while {left} still ran")


async def _end_all_others() -> None:
    """End what was left behind, so that nothing is told but that."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
