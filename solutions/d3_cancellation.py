"""Cancellation: stopping what waits, and leaving nobody behind."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar

from katas.d1_coroutine_scheduler import Scheduler, Task, join, suspend

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
    if task.state == "finished":
        return

    def stop(scheduler: Scheduler, canceller: Task[Any]) -> None:
        if task is canceller and task.joiners is None:
            scheduler.spawn(cancel(task))  # who cancels itself cannot wait to hear how it ends
            return
        task.joiners = task.joiners or []  # how it ends is our affair
        _interrupt(scheduler, task)
        scheduler.ready(canceller)  # unless it is this task, which is ready by now

    await suspend(stop)
    try:
        await join(task)
    except Cancelled as error:
        if error is not task.exception:
            raise  # it is not the task that has ended: we are cancelled ourselves


class _Block:
    """A stretch of a task that can be cancelled by itself: what timeout and TaskGroup have in common."""

    def __init__(self, scheduler: Scheduler, task: Task[Any]) -> None:
        self.scheduler, self.task = scheduler, task
        self.interrupted = False
        self.in_body, self.stopping = True, False  # of a TaskGroup: has it cancelled its tasks?
        # Who wanted to stop the task from further out: one of its outer blocks, or (None) all of it.
        self.overruled_by: list[_Block | None] = []

    def interrupt(self) -> None:
        self.interrupted = True
        _interrupt(self.scheduler, self.task, self)

    def leave(self) -> None:
        blocks = _blocks[self.task]
        blocks.remove(self)
        if not blocks:
            del _blocks[self.task]

    async def remind(self) -> None:
        blocks = _blocks.get(self.task, [])
        for outside in self.overruled_by:
            if blocks and blocks[-1].ends_for(outside):
                continue
            if outside is None or outside in blocks:  # not if that is over as well
                _interrupt(self.scheduler, self.task, outside)

    def ends_for(self, outside: "_Block | None") -> bool:
        """Is this a group that waits for its tasks, and has cancelled them for this very reason?"""
        return self.stopping and not self.in_body and outside in (self, *self.overruled_by)


# The blocks that each task stands in, the outermost first. (A Task has no room for that.)
_blocks: dict[Task[Any], list[_Block]] = {}


async def _enter() -> _Block:
    # A coroutine does not know which task it is part of, nor of which scheduler. A trap is told both.
    block: _Block = await suspend(lambda scheduler, task: scheduler.ready(task, _Block(scheduler, task)))
    _blocks.setdefault(block.task, []).append(block)
    return block


def _interrupt(scheduler: Scheduler, task: Task[Any], outside: _Block | None = None) -> None:
    """Have Cancelled raised at the task's await, for the sake of one of its blocks or of all the task."""
    blocks = _blocks.get(task, [])
    for inner in blocks[blocks.index(outside) + 1 :] if outside else blocks:
        inner.overruled_by.append(outside)  # or it would take this Cancelled for its own, and end it there
    if task.state == "ready":  # it stands in the queue already; if it has not begun, it begins by ending
        task.error = Cancelled()
    else:
        scheduler.ready(task, error=Cancelled())


def timeout(seconds: float) -> AbstractAsyncContextManager[None]:
    """Cancel the body of `async with timeout(seconds):` where it lasts longer; raise TimeoutError then.

    The time counts from the body's beginning. TimeoutError takes the place of Cancelled, and of
    nothing else: another exception goes on. So does Cancelled where somebody outside of this body
    wanted it as well: cancel(task), or a timeout or a TaskGroup around this one.
    """
    return _timeout(seconds)


@asynccontextmanager
async def _timeout(seconds: float) -> AsyncIterator[None]:
    block = await _enter()
    deadline = block.scheduler.clock() + seconds
    # The body's task waits for things of its own: another one has to wait for the clock.
    alarm = block.scheduler.spawn(_alarm(deadline, block))
    try:
        yield
    except Cancelled as error:
        if block.interrupted and not block.overruled_by:
            raise TimeoutError(f"not done within {seconds} seconds") from error
        raise
    finally:  # nothing in here waits: nobody may, when the scheduler closes what is left
        block.leave()
        alarm.joiners = []  # nobody need hear how it ends
        _interrupt(block.scheduler, alarm)


async def _alarm(deadline: float, block: _Block) -> None:
    await suspend(lambda scheduler, me: scheduler.wake_at(deadline, me))
    block.interrupt()


class TaskGroup:
    """Tasks that end before the block does: `async with TaskGroup() as group: group.spawn(...)`.

    The first failure, of a task or of the body, cancels the body and all other tasks. When all
    have ended, an ExceptionGroup of all failures is raised. A task may end with Cancelled: that is
    no failure. Cancelled from outside cancels all tasks too and goes on when they have ended; where
    failures are raised in its place, it comes once more, at an await behind the group.
    """

    def __init__(self) -> None:
        self._block: _Block
        self._is_open = False
        # A task cannot tell us how it ends if it never begins. So each has a second one, which joins it.
        self._minders: dict[Task[Any], Task[None]] = {}
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> "TaskGroup":
        """Open the group: the task that enters is the one whose body is cancelled when a task fails."""
        self._block = await _enter()
        self._is_open = True
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Return a new task of the group; it never begins if the group is being cancelled.

        Raises RuntimeError, and begins nothing, before the block is entered and after it is left.
        """
        if not self._is_open:
            raise RuntimeError("the block of this TaskGroup is not open: nobody would wait for the task")
        scheduler = self._block.scheduler
        task = scheduler.spawn(coroutine)
        self._minders[task] = scheduler.spawn(self._mind(task))
        if self._block.stopping:
            _interrupt(scheduler, task)
        return task

    async def _mind(self, task: Task[Any]) -> None:
        try:
            await join(task)
        except BaseException as error:
            if error is task.exception and not isinstance(error, Cancelled):
                self._fail(error)
        del self._minders[task]  # a group may stay open for long: it keeps none that have ended

    def _fail(self, error: BaseException) -> None:
        self._failures.append(error)
        if not self._block.stopping:
            self._stop()
            if self._block.in_body:
                self._block.interrupt()

    def _stop(self) -> None:
        self._block.stopping = True
        for task in self._minders:
            _interrupt(self._block.scheduler, task)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all tasks have ended, those that come meanwhile too; then raise what is to be raised."""
        self._block.in_body = False
        try:
            if isinstance(error, GeneratorExit):  # the scheduler closes all that is left, our tasks as well
                return
            if error is not None and not isinstance(error, Cancelled):
                self._fail(error)
            elif error is not None and not self._block.stopping:
                self._stop()
            while self._minders:
                try:
                    await join(next(iter(self._minders.values())))
                except Cancelled as cancelled:  # ours: no minder ends like that
                    error = cancelled
                    self._stop()
        finally:
            self._is_open = False
            self._block.leave()
        for failure in self._failures:
            if isinstance(failure, (KeyboardInterrupt, SystemExit)):
                raise failure  # an order to stop the program, whatever else has failed
        if self._failures:
            # They go first. But who handles them is not to lose sight of a Cancelled from outside.
            self._block.scheduler.spawn(self._block.remind())
            raise BaseExceptionGroup("tasks of a group failed", self._failures)
        if error is not None:
            raise error
