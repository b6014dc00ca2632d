"""Cancellation: stopping what waits, and leaving nobody behind."""

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from katas.d1_coroutine_scheduler import Scheduler, Task, join, sleep, suspend

T = TypeVar("T")


class Cancelled(BaseException):
    """What is raised at the await of a task that is to stop. (Given.)

    It is no Exception, so that `except Exception` lets it through. Clean up and raise it again.
    """


async def cancel(task: Task[Any]) -> None:
    """Have Cancelled raised in task, at the await where it stands; wait for its end.

    A task that has not begun never begins; one that has finished by now is left alone, and nothing
    is raised. A second cancel interrupts the cleanup that the first has begun. Cancelled as the task's
    end is what was asked for; any other exception that it ends with after all is raised here.
    """
    raise NotImplementedError


def timeout(seconds: float) -> AbstractAsyncContextManager[None]:
    """Cancel the body of `async with timeout(seconds):` where it lasts longer; raise TimeoutError then.

    The time counts from the body's beginning. TimeoutError takes the place of Cancelled, and of
    nothing else: another exception goes on. So does Cancelled where somebody outside of this body
    wanted it as well: cancel(task), or a timeout or a TaskGroup around this one.
    """
    raise NotImplementedError


class TaskGroup:
    """Tasks that end before the block does: `async with TaskGroup() as group: group.spawn(...)`.

    The first failure, of a task or of the body, cancels the body and all other tasks. When all
    have ended, an ExceptionGroup of all failures is raised. A task may end with Cancelled: that is
    no failure. Cancelled from outside cancels all tasks too and goes on when they have ended; where
    failures are raised in its place, it comes once more, at an await behind the group.
    """

    async def __aenter__(self) -> "TaskGroup":
        """Open the group: the task that enters is the one whose body is cancelled when a task fails."""
        raise NotImplementedError

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Return a new task of the group; it never begins if the group is being cancelled.

        Raises RuntimeError, and begins nothing, before the block is entered and after it is left.
        """
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all tasks have ended, those that come meanwhile too; then raise what is to be raised."""
        raise NotImplementedError
