"""Tasks: waiting for several things at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Job: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
"""A coroutine function without parameters: calling it makes a coroutine, and runs nothing. (Given.)"""


async def _call(function: Job[T]) -> T:
    """Call function within its task, where whatever goes wrong is that task's failure."""
    return await function()


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel those of tasks that still run, and come back when all have ended.

    A cancellation that comes meanwhile cancels them once more, and goes on when they have ended.
    """
    cancellation = None
    while running := {task for task in tasks if not task.done()}:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as exc:
            cancellation = exc
    if cancellation is not None:
        raise cancellation


def _failures(tasks: Collection[asyncio.Task[Any]]) -> list[BaseException]:
    """Return what has been raised in tasks, which have ended. To ask is to have retrieved it."""
    asked = [task.exception() for task in tasks if not task.cancelled()]
    return [exc for exc in asked if exc is not None]


@asynccontextmanager
async def _running(functions: Collection[Job[T]]) -> AsyncIterator[list[asyncio.Task[T]]]:
    """Have functions run as tasks, none of which outlives the block."""
    tasks = [asyncio.create_task(_call(function)) for function in functions]
    try:
        yield tasks
    finally:
        try:
            await _end(tasks)
        finally:
            _failures(tasks)


async def run_together(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; return their results, in the order of functions.

    Waits until all have ended. One that fails stops nobody else: its exception is raised when
    the last one has ended; of several exceptions, that of the function which stands first.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    async with _running(functions) as tasks:
        if tasks:
            await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def all_or_nothing(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; when one fails, cancel all others.

    Returns the results, in the order of functions. The exception that was raised first comes out when
    the last one has ended: itself, not in a group. What others raise while they are stopped is not
    lost: the repr of each such exception is in a note on the first (BaseException.add_note).
    Cancelled, it cancels all that still run, and raises CancelledError when they have ended, even
    where a failure has come before.
    """
    tasks: list[asyncio.Task[T]] = []
    try:
        async with _running(functions) as tasks:
            for next_to_end in asyncio.as_completed(tasks):
                await next_to_end
    except BaseException as first:
        for other in _failures(tasks):
            if other is not first:
                first.add_note(repr(other))
        raise
    return [task.result() for task in tasks]


async def first_of(*functions: Job[T]) -> T:
    """Run all functions at the same time; return what the first to end returns, or raise what it raises.

    The others are cancelled, and have ended before it comes back; what they return or raise
    by then is of no interest. Raises ValueError where there are no functions.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    if not functions:
        raise ValueError("first_of needs at least one function")
    async with _running(functions) as tasks:
        return await next(asyncio.as_completed(tasks))


class Background:
    """Keep tasks that nobody waits for: none gets lost while it runs, and no failure goes unheard.

    Only what is still needed is kept: of a task that has ended, its exception at most.
    """

    def __init__(self) -> None:
        """Begin with no tasks."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed: dict[int, BaseException] = {}  # by id: where a task awaits another, both raise the same
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the coroutine run as a task of its own, and return that task.

        Raises RuntimeError once aclose has been called; the coroutine is closed then.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError("this Background is closed: it starts nothing any more")
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def aclose(self) -> None:
        """Cancel all tasks that still run, wait until they have ended, and tell what has failed.

        Raises an ExceptionGroup of all that tasks have raised, long ago or just now, but for what
        an earlier call has told. A task that was cancelled has not failed. Each call waits, also
        one beside another. Cancelled itself, it raises CancelledError when the tasks have ended, and
        leaves all failures to be told by the next call.
        """
        self._closed = True
        await _end(self._tasks)
        for task in tuple(self._tasks):  # ended just now: the loop has not got round to their callbacks
            self._forget(task)
        failures = list(self._failed.values())
        self._failed.clear()
        if failures:
            raise BaseExceptionGroup("tasks in the background failed", failures)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        """Let go of a task that has ended, but for its failure; a second time does nothing."""
        if task in self._tasks:
            self._tasks.remove(task)
            self._failed.update((id(exc), exc) for exc in _failures([task]))
