"""Cancellation: stopping what waits, and leaving nobody behind."""

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from katas.d1_coroutine_scheduler import Scheduler, Task, join, suspend

T = TypeVar("T")


class Cancelled(BaseException):
    """What is raised at the await of a task that is to stop. (Given.)

    It is no Exception, so that `except Exception` lets it through. Clean up and raise it again.
    """


class Block:
    """What a timeout and a TaskGroup have in common: a block of one task that may have to be stopped."""

    scheduler: Scheduler
    task: Task[Any]  # whose block it is
    wanted_by: list[object]  # CANCEL or blocks further out, since this one began
    raised: list[Cancelled]  # each Cancelled that was raised in the task since the block began
    leaving: bool  # is the body over?

    async def begin(self) -> None:
        scheduler, task = await suspend(_answer_who_and_where)
        self.scheduler = scheduler
        self.task = task
        self.wanted_by = []
        self.raised = []
        self.leaving = False
        _open_blocks.setdefault(task, []).append(self)

    def end(self) -> None:
        blocks = _open_blocks[self.task]
        blocks.remove(self)
        if not blocks:
            del _open_blocks[self.task]


CANCEL = object()  # stands for cancel(task), in place of a block: it is further out than all of them
_open_blocks: dict[Task[Any], list[Block]] = {}  # of each task that has any, the outermost first


def _answer_who_and_where(scheduler: Scheduler, task: Task[Any]) -> None:
    scheduler.ready(task, (scheduler, task))


def _stop(scheduler: Scheduler, task: Task[Any], by: object) -> None:
    """Have a new Cancelled raised in task, and tell its blocks that are inside of `by`."""
    if task.state == "finished":
        return
    error = Cancelled()
    inside = by is CANCEL
    for block in _open_blocks.get(task, []):
        block.raised.append(error)
        if inside:
            block.wanted_by.append(by)
        if block is by:
            inside = True
    if task.state == "ready":
        task.answer = None
        task.error = error
    else:
        scheduler.ready(task, error=error)


async def _stop_once_more(scheduler: Scheduler, task: Task[Any], wanted_by: list[object]) -> None:
    """Raise Cancelled in task again, where a failure has come out in its place; this is a task of its own."""
    blocks = _open_blocks.get(task, [])
    if blocks:
        innermost = blocks[-1]
        if isinstance(innermost, TaskGroup) and innermost.leaving and innermost.cancelled:
            for somebody in innermost.wanted_by:
                if somebody in wanted_by:
                    return  # that group is being stopped already, and will see to it at its end
    if CANCEL in wanted_by:
        _stop(scheduler, task, CANCEL)
        return
    for block in blocks:
        if block in wanted_by and not block.leaving:
            _stop(scheduler, task, block)
            return


async def cancel(task: Task[Any]) -> None:
    """Have Cancelled raised in task, at the await where it stands; wait for its end.

    A task that has not begun never begins, one that has finished is left alone. A second cancel
    interrupts the cleanup that the first has begun. Cancelled as the task's end is what was asked
    for; any other exception that it ends with is raised here.
    """
    if task.state == "finished":
        return

    def stop_and_join(scheduler: Scheduler, me: Task[Any]) -> None:
        if me is task and task.joiners is None:
            scheduler.spawn(cancel(task))  # somebody else has to hear how it ends
            return
        _stop(scheduler, task, CANCEL)
        if me is not task:
            if task.joiners is None:
                task.joiners = []
            task.joiners.append(me)
            me.waits_for = task

    try:
        await suspend(stop_and_join)
    except BaseException as error:
        if task.state != "finished" or error is not task.exception:
            raise  # it is meant for who waits here
    if task.exception is not None and not isinstance(task.exception, Cancelled):
        raise task.exception


class Timeout(Block):
    """The block of `async with timeout(seconds):`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def __aenter__(self) -> None:
        await self.begin()
        self.fired = False
        self.deadline = self.scheduler.clock() + self.seconds
        self.alarm = self.scheduler.spawn(self.ring())

    async def ring(self) -> None:
        if self.scheduler.clock() < self.deadline:
            await suspend(lambda scheduler, alarm: scheduler.wake_at(self.deadline, alarm))
        self.fired = True
        _stop(self.scheduler, self.task, self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leaving = True
        interruption = None  # a Cancelled that comes while we wait for the end of the alarm
        try:
            if isinstance(error, GeneratorExit):
                return
            _stop(self.scheduler, self.alarm, CANCEL)
            while self.alarm.state != "finished":
                try:
                    await join(self.alarm)
                except Cancelled as cancelled:
                    if cancelled is not self.alarm.exception:
                        interruption = cancelled
        finally:
            self.end()
        if error is None or isinstance(error, Cancelled):
            if interruption is not None:
                raise interruption
            if self.fired and not self.wanted_by and error in self.raised:
                raise TimeoutError(f"not done in {self.seconds} seconds") from error
        elif interruption is not None:
            self.scheduler.spawn(_stop_once_more(self.scheduler, self.task, self.wanted_by))


def timeout(seconds: float) -> AbstractAsyncContextManager[None]:
    """Cancel the body of `async with timeout(seconds):` where it lasts longer; raise TimeoutError then.

    The time counts from the body's beginning. TimeoutError takes the place of Cancelled, and of
    nothing else: another exception goes on. So does Cancelled where somebody outside of this body
    wanted it as well: cancel(task), or a timeout or a TaskGroup around this one.
    """
    return Timeout(seconds)


class TaskGroup(Block):
    """Tasks that end before the block does: `async with TaskGroup() as group: group.spawn(...)`.

    The first failure, of a task or of the body, cancels the body and all other tasks. When all
    have ended, an ExceptionGroup of all failures is raised. A task may end with Cancelled: that is
    no failure. Cancelled from outside cancels all tasks too and goes on when they have ended; where
    failures are raised in its place, it comes once more, at an await after them.
    """

    def __init__(self) -> None:
        self.entered = False

    async def __aenter__(self) -> "TaskGroup":
        """Open the group: the task that enters is the one whose body is cancelled when a task fails."""
        await self.begin()
        self.entered = True
        self.cancelled = False
        self.failures: list[BaseException] = []
        self.watchers: dict[Task[Any], Task[None]] = {}  # for each task that has not ended, who waits for it
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Return a new task of the group; it never begins if the group is being cancelled.

        Raises RuntimeError, and begins nothing, before the block is entered and after it is left.
        """
        if not self.entered:
            raise RuntimeError("a TaskGroup spawns only inside of its block")
        task = self.scheduler.spawn(coroutine)
        self.watchers[task] = self.scheduler.spawn(self.watch(task))
        if self.cancelled:
            _stop(self.scheduler, task, CANCEL)
        return task

    async def watch(self, task: Task[Any]) -> None:
        """Wait for the end of a task, and cancel the others if it has failed."""
        try:
            await join(task)
        except BaseException:
            if task.state != "finished":
                raise  # the watcher itself is being closed
        del self.watchers[task]
        if task.exception is not None and not isinstance(task.exception, Cancelled):
            self.failures.append(task.exception)
            if not self.cancelled:
                if not self.leaving:
                    _stop(self.scheduler, self.task, self)
                self.stop_tasks()

    def stop_tasks(self) -> None:
        self.cancelled = True
        for task in self.watchers:
            _stop(self.scheduler, task, CANCEL)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all tasks have ended, those that come meanwhile too; then raise what is to be raised."""
        self.leaving = True
        interruption = None  # a Cancelled that comes while we wait
        try:
            if isinstance(error, GeneratorExit):
                raise error
            if error is not None:
                if not isinstance(error, (Cancelled, KeyboardInterrupt, SystemExit)):
                    self.failures.append(error)
                if not self.cancelled:
                    self.stop_tasks()
            while self.watchers:
                watcher = next(iter(self.watchers.values()))
                try:
                    await join(watcher)
                except Cancelled as cancelled:
                    interruption = cancelled
                    self.stop_tasks()
        except GeneratorExit:  # the run is over: wait for nothing, but let no failure vanish
            if self.failures:
                raise BaseExceptionGroup("failures in a TaskGroup", self.failures) from None
            raise
        finally:
            self.entered = False
            self.end()
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return
        if self.failures:
            if self.wanted_by:
                self.scheduler.spawn(_stop_once_more(self.scheduler, self.task, self.wanted_by))
            raise BaseExceptionGroup("failures in a TaskGroup", self.failures)
        if interruption is not None:
            raise interruption
