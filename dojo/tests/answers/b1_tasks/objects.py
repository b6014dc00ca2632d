"""Tasks: waiting for several things at once."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

Job: TypeAlias = Callable[[], Coroutine[Any, Any, T]]
"""A coroutine function without parameters: calling it makes a coroutine, and runs nothing. (Given.)"""


async def _call(function: Job[T]) -> T:
    """Call function in the task, so that what the call itself raises belongs to the task as well."""
    return await function()


def _failure(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what an ended task has raised, a CancelledError as well; it counts as retrieved then."""
    if not task.cancelled():
        return task.exception()
    try:
        task.result()
    except asyncio.CancelledError as error:
        return error
    return None


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and come back when they have ended, though cancelled any number of times by then.

    What they have raised counts as retrieved then.
    """
    cancellation = None
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancellation = error
        running = {task for task in running if not task.done()}
    for task in tasks:
        _failure(task)
    if cancellation is not None:
        raise cancellation


class _Together(Generic[T]):
    """A task for each function, which all have ended when run comes back."""

    def __init__(self, functions: Iterable[Job[T]]) -> None:
        self.ended: list[asyncio.Task[T]] = []  # in the order of time
        self._enough = asyncio.Event()
        self.tasks = [asyncio.create_task(_call(function)) for function in functions]
        for task in self.tasks:
            task.add_done_callback(self._on_end)

    async def run(self) -> None:
        try:
            if self.tasks:
                await self._enough.wait()
        finally:
            await _end(self.tasks)

    def results(self) -> list[T]:
        return [task.result() for task in self.tasks]

    def _on_end(self, task: asyncio.Task[T]) -> None:
        self.ended.append(task)
        if self.is_enough():
            self._enough.set()

    def is_enough(self) -> bool:
        """Tell, whenever a task has ended, whether the others are still worth waiting for."""
        raise NotImplementedError


class _All(_Together[T]):
    def is_enough(self) -> bool:
        return len(self.ended) == len(self.tasks)


class _UntilOneFails(_Together[T]):
    def is_enough(self) -> bool:
        return len(self.ended) == len(self.tasks) or _failure(self.ended[-1]) is not None


class _UntilOneEnds(_Together[T]):
    def is_enough(self) -> bool:
        return True


async def run_together(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; return their results, in the order of functions.

    Waits until all have ended. One that fails stops nobody else: its exception is raised when
    the last one has ended; of several exceptions, that of the function which stands first.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    race = _All(functions)
    await race.run()
    return race.results()


async def all_or_nothing(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; when one fails, cancel all others.

    Returns the results, in the order of functions. The exception that was raised first comes out when
    the last one has ended: itself, not in a group. What others raise while they are stopped is not
    lost: the repr of each such exception is in a note on the first (BaseException.add_note).
    Cancelled, it cancels all that still run, and raises CancelledError when they have ended, even
    where a failure has come before.
    """
    race = _UntilOneFails(functions)
    await race.run()
    failed = [task for task in race.ended if _failure(task) is not None]
    if not failed:
        return race.results()
    first = _failure(failed[0])
    for task in race.tasks:
        if task is not failed[0] and (other := _failure(task)) is not None:
            first.add_note(repr(other))
    raise first


async def first_of(*functions: Job[T]) -> T:
    """Run all functions at the same time; return what the first to end returns, or raise what it raises.

    The others are cancelled, and have ended before it comes back; what they return or raise
    by then is of no interest. Raises ValueError where there are no functions.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    if not functions:
        raise ValueError("first_of nobody")
    race = _UntilOneEnds(functions)
    await race.run()
    return race.ended[0].result()


class Background:
    """Keep tasks that nobody waits for: none gets lost while it runs, and no failure goes unheard.

    Only what is still needed is kept: of a task that has ended, its exception at most.
    """

    def __init__(self) -> None:
        """Begin with no tasks."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failures: list[BaseException] = []
        self._closed = False

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the coroutine run as a task of its own, and return that task.

        Raises RuntimeError once aclose has been called; the coroutine is closed then.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError("nothing can be started once it is closed")
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
        await _end(list(self._tasks))
        for task in list(self._tasks):  # has ended, and its callback is still to come
            self._forget(task)
        failures, self._failures = self._failures, []
        if failures:
            raise BaseExceptionGroup("tasks in the background have failed", failures)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        """Let go of a task that has ended, and keep its exception."""
        if task in self._tasks:
            self._tasks.remove(task)
            if not task.cancelled():
                self._keep(task.exception())

    def _keep(self, failure: BaseException | None) -> None:
        if failure is not None and not any(failure is other for other in self._failures):
            self._failures.append(failure)
