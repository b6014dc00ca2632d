"""Limits: how many at once, for how long, in whose thread."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from itertools import repeat
from typing import Any, NoReturn, TypeVar

from katas.b1_tasks import Job, all_or_nothing

Item = TypeVar("Item")
T = TypeVar("T")


async def _ended(future: asyncio.Future[Any], when_cancelled: Callable[[], object]) -> None:
    """Wait until future has ended, whoever cancels that, and however often; a cancellation goes on then.

    For each cancellation when_cancelled is called at once.
    """
    cancellation = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as exc:
            cancellation = exc
            when_cancelled()
    if cancellation is not None:
        raise cancellation


def _cancellations() -> int:
    """Return how often the task that asks has been cancelled."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


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
        raise ValueError(f"a limit of {limit} leaves no place for a single call")
    numbered = enumerate(items)  # one for all places: each takes the next item there is
    results: dict[int, T] = {}

    async def place() -> None:
        for number, item in numbered:
            results[number] = await function(item)
            if _cancellations():  # function made nothing of it: it is no reason to begin another call
                break

    await all_or_nothing(*repeat(place, limit))
    return [results[number] for number in range(len(results))]


async def within(seconds: float, function: Job[T], default: T) -> T:
    """Return what function returns, or default where that takes longer than seconds.

    A function that is late is cancelled, and has ended when within comes back; a result that it
    still returns is dropped for the default. What function raises comes out, late or not; in time, so
    does a TimeoutError of its own. A cancellation from outside reaches function, and comes out
    as CancelledError when that has ended, even where function was late already.
    """
    task = asyncio.create_task(function())
    try:
        _, late = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # does nothing where it has ended
        try:
            await _ended(task, when_cancelled=task.cancel)
        finally:
            failed = not task.cancelled() and task.exception() is not None
    return default if late and not failed else task.result()


def _raise(exc: BaseException) -> NoReturn:
    raise exc


async def offload(function: Callable[..., T], *args: Any) -> T:
    """Return function(*args), or raise what it raises; it is called in another thread, and the loop goes on.

    A thread cannot be cancelled: offload, however often it is cancelled, first waits until
    function has ended, and only then raises CancelledError. What function gave is lost then.
    """

    def call() -> Callable[[], T]:
        """Return how it ended, as what returns or raises it: any exception will do, and none is missed."""
        try:
            result = function(*args)
        except BaseException as exc:
            return partial(_raise, exc)
        return lambda: result

    ending = asyncio.get_running_loop().run_in_executor(None, copy_context().run, call)
    await _ended(ending, when_cancelled=lambda: None)
    return ending.result()()


@contextmanager
def _in_hand(queue: asyncio.Queue[Any]) -> Iterator[None]:
    """Whatever becomes of the item that is handled in the block: log a failure, and tell that it is done."""
    try:
        yield
    except Exception:
        logging.getLogger(__name__).exception("an item could not be handled")
    finally:
        queue.task_done()


async def worker(queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[object]]) -> None:
    """Await handle(item) for the items of queue, one after the other, for ever.

    Tells the queue of each item that it is done (task_done), whatever became of it. An
    exception from handle is logged as an error with its traceback (logging, any logger), and the
    next item has its turn. Cancelled, the worker ends.
    """
    before = _cancellations()
    while _cancellations() == before:
        item = await queue.get()
        with _in_hand(queue):
            await handle(item)
    raise asyncio.CancelledError  # handle kept it to itself
