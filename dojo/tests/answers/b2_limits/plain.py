"""Limits: how many at once, for how long, in whose thread."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from katas.b1_tasks import Job, all_or_nothing

Item = TypeVar("Item")
T = TypeVar("T")


async def bounded_map(
    function: Callable[[Item], Coroutine[Any, Any, T]], items: Iterable[Item], limit: int
) -> list[T]:
    """Await function(item) for all items, at most limit at the same time; return the results in order.

    An item is taken from items only when there is a place for it, and a place that gets free is
    used at once. The first failure cancels all other calls, and comes out as that of all_or_nothing
    does (B1). Cancelled, it cancels all calls, and ends when they have ended.
    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1")
    remaining = iter(items)
    results: list[Any] = []
    failed = False

    async def place() -> None:
        """Take one item after the other, and await its call."""
        nonlocal failed
        while not failed:
            try:
                item = next(remaining)
            except StopIteration:
                return
            number = len(results)
            results.append(None)  # keeps the place of the result
            try:
                results[number] = await function(item)
            except BaseException:
                failed = True
                raise

    places = []
    for _ in range(limit):
        places.append(place)
    await all_or_nothing(*places)
    return results


async def within(seconds: float, function: Job[T], default: T) -> T:
    """Return what function returns, or default where that takes longer than seconds.

    A function that is late is cancelled, and has ended when within comes back. What function
    raises comes out, a TimeoutError of its own as well. A cancellation from outside reaches function,
    and comes out as CancelledError when that has ended, even where function was late already.
    """
    task = asyncio.create_task(function())
    cancellation = None
    try:
        await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError as error:
        cancellation = error
    late = not task.done()
    if late:
        task.cancel()
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
            task.cancel()

    failed = not task.cancelled() and task.exception() is not None
    if cancellation is not None:
        raise cancellation
    if late and not failed:
        return default
    return task.result()


async def offload(function: Callable[..., T], *args: Any) -> T:
    """Return function(*args), or raise what it raises; it is called in another thread, and the loop goes on.

    A thread cannot be cancelled: offload, however often it is cancelled, first waits until
    function has ended, and only then raises CancelledError. What function gave is lost then.
    """

    def call() -> tuple[list[T], BaseException | None]:
        try:
            return [function(*args)], None
        except BaseException as error:
            return [], error  # handed over, and raised on the other side

    context = contextvars.copy_context()
    in_thread = asyncio.get_running_loop().run_in_executor(None, context.run, call)
    cancellation = None
    while not in_thread.done():
        try:
            await asyncio.wait([in_thread])
        except asyncio.CancelledError as error:
            cancellation = error

    if cancellation is not None:
        raise cancellation
    results, failure = in_thread.result()
    if failure is not None:
        raise failure
    return results[0]


async def worker(queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[object]]) -> None:
    """Await handle(item) for the items of queue, one after the other, for ever.

    Tells the queue of each item that it is done (task_done), whatever became of it. An
    exception from handle is logged as an error with its traceback (logging, any logger), and the
    next item has its turn. Cancelled, the worker ends.
    """
    while True:
        item = await queue.get()
        try:
            await handle(item)
        except Exception:
            logging.exception("an item of the queue could not be handled")
        finally:
            queue.task_done()
