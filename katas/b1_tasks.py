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
    raise NotImplementedError


async def all_or_nothing(*functions: Job[T]) -> list[T]:
    """Run all functions at the same time; when one fails, cancel all others.

    Returns the results, in the order of functions. The exception that was raised first comes out when
    the last one has ended: itself, not in a group. What others raise while they are stopped is not
    lost: the repr of each such exception is in a note on the first (BaseException.add_note).
    Cancelled, it cancels all that still run, and raises CancelledError when they have ended, even
    where a failure has come before.
    """
    raise NotImplementedError


async def first_of(*functions: Job[T]) -> T:
    """Run all functions at the same time; return what the first to end returns, or raise what it raises.

    The others are cancelled, and have ended before it comes back; what they return or raise
    by then is of no interest. Raises ValueError where there are no functions.
    Cancelled, it cancels all that still run, and ends when they have ended.
    """
    raise NotImplementedError


class Background:
    """Keep tasks that nobody waits for: none gets lost while it runs, and no failure goes unheard.

    Only what is still needed is kept: of a task that has ended, its exception at most.
    """

    def __init__(self) -> None:
        """Begin with no tasks."""
        raise NotImplementedError

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Have the coroutine run as a task of its own, and return that task.

        Raises RuntimeError once aclose has been called; the coroutine is closed then.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Cancel all tasks that still run, wait until they have ended, and tell what has failed.

        Raises an ExceptionGroup of all that tasks have raised, long ago or just now, but for what
        an earlier call has told. A task that was cancelled has not failed. Each call waits, also
        one beside another. Cancelled itself, it raises CancelledError when the tasks have ended, and
        leaves all failures to be told by the next call.
        """
        raise NotImplementedError
