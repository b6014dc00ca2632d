"""Limits: how many at once, for how long, in whose thread."""

import asyncio
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
    raise NotImplementedError


async def within(seconds: float, function: Job[T], default: T) -> T:
    """Return what function returns, or default where that takes longer than seconds.

    A function that is late is cancelled, and has ended when within comes back; a result that it
    still returns is dropped for the default. What function raises comes out, late or not; in time, so
    does a TimeoutError of its own. A cancellation from outside reaches function, and comes out
    as CancelledError when that has ended, even where function was late already.
    """
    raise NotImplementedError


async def offload(function: Callable[..., T], *args: Any) -> T:
    """Return function(*args), or raise what it raises; it is called in another thread, and the loop goes on.

    A thread cannot be cancelled: offload, however often it is cancelled, first waits until
    function has ended, and only then raises CancelledError. What function gave is lost then.
    """
    raise NotImplementedError


async def worker(queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[object]]) -> None:
    """Await handle(item) for the items of queue, one after the other, for ever.

    Tells the queue of each item that it is done (task_done), whatever became of it. An
    exception from handle is logged as an error with its traceback (logging, any logger), and the
    next item has its turn. Cancelled, the worker ends.
    """
    raise NotImplementedError
