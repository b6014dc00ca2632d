"""Limits: how many at once, for how long, in whose thread."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, Generic, TypeVar

from katas.b1_tasks import Job, all_or_nothing

Item = TypeVar("Item")
T = TypeVar("T")

logger = logging.getLogger(__name__)


class _Items(Generic[Item]):
    """Items with their numbers, for several to take from, until nobody is to take any more."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._numbered = enumerate(items)
        self._closed = False

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        return self

    def __next__(self) -> tuple[int, Item]:
        if self._closed:
            raise StopIteration
        return next(self._numbered)

    def close(self) -> None:
        self._closed = True


class _Calls(Generic[Item, T]):
    """Calls of function for items; whoever has a place makes call after call."""

    def __init__(self, function: Callable[[Item], Coroutine[Any, Any, T]], items: Iterable[Item]) -> None:
        self._function = function
        self._items = _Items(items)
        self._results: dict[int, T] = {}

    async def take_a_place(self) -> None:
        place = asyncio.current_task()
        try:
            for number, item in self._items:
                self._results[number] = await self._function(item)
                if place.cancelling():  # and function has made nothing of it
                    self._items.close()
        except BaseException:
            self._items.close()
            raise

    def results(self) -> list[T]:
        return [self._results[number] for number in range(len(self._results))]


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
        raise ValueError(f"a limit of {limit} lets nobody begin")
    calls = _Calls(function, items)
    await all_or_nothing(*[calls.take_a_place] * limit)
    return calls.results()


class _InCharge:
    """Whoever leaves the block leaves no task behind: it is cancelled, and has ended.

    Further cancellations reach the task as well, and come out when it has ended.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *exc_info: object) -> None:
        cancellation = None
        while not self._task.done():
            self._task.cancel()
            try:
                await asyncio.wait([self._task])
            except asyncio.CancelledError as error:
                cancellation = error
        if not self._task.cancelled():
            self._task.exception()  # counts as retrieved
        if cancellation is not None:
            raise cancellation


async def within(seconds: float, function: Job[T], default: T) -> T:
    """Return what function returns, or default where that takes longer than seconds.

    A function that is late is cancelled, and has ended when within comes back; a result that it
    still returns is dropped for the default. What function raises comes out, late or not; in time, so
    does a TimeoutError of its own. A cancellation from outside reaches function, and comes out
    as CancelledError when that has ended, even where function was late already.
    """
    task = asyncio.create_task(function())
    async with _InCharge(task):
        await asyncio.wait([task], timeout=seconds)
        late = not task.done()
    if late and (task.cancelled() or task.exception() is None):
        return default
    return task.result()


class _ThreadCall(Generic[T]):
    """A call to be made in a thread, and what became of it; nothing is raised until somebody asks."""

    _value: T
    _error: BaseException | None = None

    def __init__(self, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args

    def run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value


async def offload(function: Callable[..., T], *args: Any) -> T:
    """Return function(*args), or raise what it raises; it is called in another thread, and the loop goes on.

    A thread cannot be cancelled: offload, however often it is cancelled, first waits until
    function has ended, and only then raises CancelledError. What function gave is lost then.
    """
    call = _ThreadCall(function, args)
    context = contextvars.copy_context()
    thread = asyncio.get_running_loop().run_in_executor(None, context.run, call.run)
    cancellation = None
    while not thread.done():
        try:
            await asyncio.wait([thread])
        except asyncio.CancelledError as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation
    return call.result()


class _InHand(Generic[Item]):
    """An item that was taken from queue: done when the block is left, whatever became of it."""

    def __init__(self, queue: asyncio.Queue[Item], item: Item) -> None:
        self._queue = queue
        self._item = item

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Log an Exception, and end it here; all else goes on."""
        self._queue.task_done()
        if not isinstance(error, Exception):
            return False
        logger.error("could not handle %r", self._item, exc_info=error)
        return True


async def worker(queue: asyncio.Queue[Item], handle: Callable[[Item], Awaitable[object]]) -> None:
    """Await handle(item) for the items of queue, one after the other, for ever.

    Tells the queue of each item that it is done (task_done), whatever became of it. An
    exception from handle is logged as an error with its traceback (logging, any logger), and the
    next item has its turn. Cancelled, the worker ends.
    """
    me = asyncio.current_task()
    cancelled_before = me.cancelling()
    while True:
        item = await queue.get()
        with _InHand(queue, item):
            await handle(item)
        if me.cancelling() > cancelled_before:  # and handle has made nothing of it
            raise asyncio.CancelledError
