"""Tasks: waiting for several things at once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
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
    # Without return_exceptions gather would be over at the first failure, and the
    # others would go on behind everybody's back. What it returns is of no use here: an
    # exception in its list may have been raised or returned. The tasks know.
    await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


async def all_or_nothing(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; when one fails, cancel all others.

    Returns the results, in the order of functions. The exception that was raised first comes out when
    the last one has ended: itself, not in a group. What others raise while they are stopped is not
    lost: the repr of each such exception is in a note on the first (BaseException.add_note).
    Cancelled, it cancels all that still run, and raises CancelledError when they have ended, even
    where a failure has come before.
    """

    async def group_of_all() -> list[T]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(function()) for function in functions]
        return [task.result() for task in tasks]

    # A group that has a failure to tell forgets that it was cancelled as well. In a task of
    # its own it may, as the cancellation comes to us, who wait for it.
    together = asyncio.create_task(group_of_all())
    try:
        await asyncio.wait([together])
    finally:
        await _stop([together])
    try:
        return together.result()
    except BaseExceptionGroup as failures:
        # A group even for a single failure: whoever calls us with `except ValueError` would never
        # see it. `except*` would do here as well, but hides that there is a list to look at.
        first, *others = failures.exceptions
        for other in others:
            first.add_note(f"and while the others were stopped: {other!r}")
        raise first from None


async def first_of(*functions: Job[T]) -> T:
    """Run all functions at the same time; return what the first to end returns, or raise what it raises.

    The others are cancelled, and have ended before it comes back; what they return or raise
    by then is of no interest. Raises ValueError where there are no functions.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    if not functions:
        raise ValueError("the first of nobody never comes")
    tasks = [asyncio.create_task(function()) for function in functions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # wait() never cancels what it waits for, not even when it is cancelled itself.
        await _stop(tasks)
    return done.pop().result()


class Background:
    """Keep tasks that nobody waits for: none gets lost while it runs, and no failure goes unheard.

    Only what is still needed is kept: of a task that has ended, its exception at most.
    """

    def __init__(self) -> None:
        """Begin with no tasks."""
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop itself holds no task that waits
        self._failures: list[BaseException] = []
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the coroutine run as a task of its own, and return that task.

        Raises RuntimeError once aclose has been called; the coroutine is closed then.
        """
        if self._closed:
            coroutine.close()  # it will never be awaited, and Python would warn of that
            raise RuntimeError("the background is closed")
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        # A callback comes even to a task that is cancelled before its first step. A `finally`
        # in a coroutine around this one would not: it would never have begun.
        task.add_done_callback(self._ended)
        return task

    async def aclose(self) -> None:
        """Cancel all tasks that still run, wait until they have ended, and tell what has failed.

        Raises an ExceptionGroup of all that tasks have raised, long ago or just now, but for what
        an earlier call has told. A task that was cancelled has not failed. Each call waits, also
        one beside another. Cancelled itself, it raises CancelledError when the tasks have ended, and
        leaves all failures to be told by the next call.
        """
        self._closed = True
        await _stop(self._tasks)
        for task in list(self._tasks):  # ended just now: the loop has not come to their callbacks yet
            self._ended(task)
        failures, self._failures = self._failures, []
        if failures:
            raise BaseExceptionGroup("failed in the background", failures)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task not in self._tasks:
            return  # aclose was quicker
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failures.append(error)


async def _stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, and wait until the last one has ended, whatever it raises."""
    for task in tasks:
        task.cancel()
    # A cancelled gather cancels its tasks once more and, with return_exceptions, still
    # waits for them all before it lets the CancelledError out.
    await asyncio.gather(*tasks, return_exceptions=True)
