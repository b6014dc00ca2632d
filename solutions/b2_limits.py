"""Limits: how many at once, for how long, in whose thread."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

from katas.b1_tasks import Job, all_or_nothing

Item = TypeVar("Item")
T = TypeVar("T")

_logger = logging.getLogger(__name__)


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
        raise ValueError(f"with a limit of {limit} nothing would ever be done")
    numbered = enumerate(items)
    results: dict[int, T] = {}

    async def work() -> None:
        # All workers draw from the same iterator: who has ended a call takes the next item, so
        # there are never more calls than workers, and no more items than calls.
        for number, item in numbered:
            results[number] = await function(item)

    await all_or_nothing(*[work] * limit)
    return [results[number] for number in sorted(results)]


async def within(seconds: float, function: Job[T], default: T) -> T:
    """Return what function returns, or default where that takes longer than seconds.

    A function that is late is cancelled, and has ended when within comes back; a result that it
    still returns is dropped for the default. What function raises comes out, late or not; in time, so
    does a TimeoutError of its own. A cancellation from outside reaches function, and comes out
    as CancelledError when that has ended, even where function was late already.
    """
    try:
        async with asyncio.timeout(seconds) as deadline:
            result = await function()
    except TimeoutError:
        if not deadline.expired():  # it is the function's own
            raise
    # Not only behind `except`: a function that returns although it was cancelled raises nothing.
    return default if deadline.expired() else result


async def offload(function: Callable[..., T], *args: Any) -> T:
    """Return function(*args), or raise what it raises; it is called in another thread, and the loop goes on.

    A thread cannot be cancelled: offload, however often it is cancelled, first waits until
    function has ended, and only then raises CancelledError. What function gave is lost then.
    """
    call = asyncio.create_task(asyncio.to_thread(function, *args))
    cancelled = None
    while not call.done():
        try:
            await asyncio.wait([call])  # `await call` would hand on the cancellation, and leave the thread
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from call.exception()
    return call.result()


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
        except Exception:  # CancelledError is none: whoever cancels us wants us to end
            _logger.exception("an item could not be handled: %r", item)
        finally:
            queue.task_done()
