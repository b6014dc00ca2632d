"""Tasks: waiting for several things at once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Job: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
"""A coroutine function without parameters: calling it makes a coroutine, and runs nothing. (Given.)"""


async def run_together(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; return their results, in the order of functions.

    Waits until all have ended. One that fails stops nobody else: its exception is raised when
    the last one has ended; of several exceptions, that of the function which stands first.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    tasks = [asyncio.create_task(function()) for function in functions]
    cancellation = None
    running = tasks
    while running:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancellation = error
            for task in running:
                task.cancel()
        running = [task for task in tasks if not task.done()]

    for task in tasks:
        if not task.cancelled():
            task.exception()  # read it, or asyncio logs that nobody has
    if cancellation is not None:
        raise cancellation
    return [task.result() for task in tasks]


async def all_or_nothing(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; when one fails, cancel all others.

    Returns the results, in the order of functions. The exception that was raised first comes out when
    the last one has ended: itself, not in a group. What the others raise, cancelled and all, is not
    lost: the repr of each such exception is in a note on the first (BaseException.add_note).
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    tasks = [asyncio.create_task(function()) for function in functions]
    failed: list[asyncio.Task[T]] = []  # in the order of time
    cancellation = None

    def look(task: asyncio.Task[T]) -> None:
        if task.cancelled() or task.exception() is not None:
            failed.append(task)
            if len(failed) == 1 and cancellation is None:
                for other in tasks:
                    other.cancel()

    for task in tasks:
        task.add_done_callback(look)
    running = tasks
    while running:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancellation = error
            for task in running:
                task.cancel()
        running = [task for task in tasks if not task.done()]

    if cancellation is not None:
        raise cancellation
    first: BaseException | None = None
    for task in failed:
        try:
            task.result()
        except BaseException as error:
            if first is None:
                first = error
            else:
                first.add_note(repr(error))
    if first is not None:
        raise first
    return [task.result() for task in tasks]


async def first_of(*functions: Job[T]) -> T:
    """Run all functions at the same time; return what the first to end returns, or raise what it raises.

    The others are cancelled, and have ended before it comes back; what they return or raise
    by then is of no interest. Raises ValueError where there are no functions.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    if not functions:
        raise ValueError("first_of needs at least one function")
    tasks = [asyncio.create_task(function()) for function in functions]
    ended: list[asyncio.Task[T]] = []  # in the order of time
    for task in tasks:
        task.add_done_callback(ended.append)
    stopping = False
    cancellation = None
    running = tasks
    while running:
        try:
            if stopping:
                await asyncio.wait(running)
            else:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError as error:
            cancellation = error
            stopping = True
            for task in running:
                task.cancel()
        running = [task for task in tasks if not task.done()]
        if not stopping:
            stopping = True
            for task in running:
                task.cancel()

    for task in tasks:
        if not task.cancelled():
            task.exception()  # read it, or asyncio logs that nobody has
    if cancellation is not None:
        raise cancellation
    return ended[0].result()


class Background:
    """Keep tasks that nobody waits for: none gets lost while it runs, and no failure goes unheard.

    Only what is still needed is kept: of a task that has ended, its exception at most.
    """

    def __init__(self) -> None:
        """Begin with no tasks."""
        self.tasks: set[asyncio.Task[Any]] = set()  # those that run; the loop alone would not hold them
        self.failures: list[BaseException] = []
        self.closed = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the coroutine run as a task of its own, and return that task.

        Raises RuntimeError once aclose has been called; the coroutine is closed then.
        """
        if self.closed:
            coroutine.close()
            raise RuntimeError("aclose has been called: nothing starts any more")
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        """Drop a task that has ended, and keep what it raised."""
        if task not in self.tasks:
            return
        self.tasks.remove(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None:
            return
        for known in self.failures:
            if known is failure:
                return
        self.failures.append(failure)

    async def aclose(self) -> None:
        """Cancel all tasks that still run, wait until they have ended, and tell what has failed.

        Raises an ExceptionGroup of all that tasks have raised since they were started, each
        exception once: a second call has nothing to tell. A task that was cancelled has not failed.
        Cancelled itself, it ends when they have ended, and leaves the failures to be told by another call.
        """
        self.closed = True
        for task in self.tasks:
            task.cancel()
        cancellation = None
        running = [task for task in self.tasks if not task.done()]
        while running:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                cancellation = error
                for task in running:
                    task.cancel()
            running = [task for task in running if not task.done()]
        for task in list(self.tasks):  # ended, but its callback has not had its turn
            self._forget(task)

        if cancellation is not None:
            raise cancellation
        failures = self.failures
        self.failures = []
        if failures:
            raise BaseExceptionGroup("tasks in the background have failed", failures)
