"""Cancellation: stopping what waits, and leaving nobody behind."""

from collections.abc import Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from katas.d1_coroutine_scheduler import Scheduler, Task, join, sleep, suspend

T = TypeVar("T")


class Cancelled(BaseException):
    """What is raised at the await of a task that is to stop. (Given.)

    It is no Exception, so that `except Exception` lets it through. Clean up and raise it again.
    """


class Block:
    """A block that can stop its own body: it knows who else has wanted that since the body began."""

    open_in: dict[Task[Any], "list[Block]"] = {}  # the blocks in which a task is, the innermost last

    async def _open(self) -> None:
        self._scheduler, self._host = await suspend(self._introduce)
        self._wanted_by: list[Block | None] = []  # None: cancel(task)
        self.open_in.setdefault(self._host, []).append(self)

    def _introduce(self, scheduler: Scheduler, task: Task[Any]) -> None:
        scheduler.ready(task, (scheduler, task))

    def _close(self) -> None:
        blocks = self.open_in[self._host]
        blocks.remove(self)
        if not blocks:
            del self.open_in[self._host]

    def _remind(self) -> None:
        """Have Cancelled raised once more, for those who wanted it and are still there then."""
        self._scheduler.spawn(self._reminder())

    async def _reminder(self) -> None:
        blocks = self.open_in.get(self._host, [])
        if blocks and blocks[-1].ends_for(self._wanted_by):
            return
        wanters = [wanter for wanter in self._wanted_by if wanter is None or wanter in blocks]
        if wanters:
            self.stop(self._scheduler, self._host, wanters)

    def ends_for(self, wanters: "list[Block | None]") -> bool:
        """Has this block stopped all it can for one of these, and will it remind the task itself?"""
        return False

    @staticmethod
    def stop(scheduler: Scheduler, task: Task[Any], wanters: "Iterable[Block | None]") -> None:
        """Raise Cancelled in task, because of these blocks around its await, or of None: cancel."""
        blocks = Block.open_in.get(task, [])
        for wanter in wanters:
            inside = blocks if wanter is None else blocks[blocks.index(wanter) + 1 :]
            for block in inside:
                block._wanted_by.append(wanter)
        if task.state == "parked":
            scheduler.ready(task, error=Cancelled())
        elif task.state == "ready":
            task.error = Cancelled()


class Cancel:
    """The trap of cancel: stop a task, and wait for its end as one who joins it."""

    def __init__(self, target: Task[Any]) -> None:
        self._target = target

    def __call__(self, scheduler: Scheduler, task: Task[Any]) -> None:
        target = self._target
        if task is target and target.joiners is None:
            scheduler.spawn(cancel(target))  # somebody else hears how it ends
            return
        if target.joiners is None:
            target.joiners = []  # so its end is no failure that nobody has heard of
        if task is not target:
            target.joiners.append(task)
            task.waits_for = target
        Block.stop(scheduler, target, [None])


async def cancel(task: Task[Any]) -> None:
    """Have Cancelled raised in task, at the await where it stands; wait for its end.

    A task that has not begun never begins, one that has finished is left alone. A second cancel
    interrupts the cleanup that the first has begun. Cancelled as the task's end is what was asked
    for; any other exception that it ends with is raised here.
    """
    if task.state == "finished":
        return
    try:
        await suspend(Cancel(task))
    except BaseException as error:
        if error is not task.exception:
            raise
    if task.exception is not None and not isinstance(task.exception, Cancelled):
        raise task.exception


class Timeout(Block):
    """What timeout returns."""

    _alarm: Task[None] | None = None

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def __aenter__(self) -> None:
        self._expired = False
        try:
            await self._open()
        except BaseException as error:
            if self._alarm is not None and not isinstance(error, GeneratorExit):
                await self._silence()
            raise

    def _introduce(self, scheduler: Scheduler, task: Task[Any]) -> None:
        self._alarm = scheduler.spawn(self._ring())  # its first step comes right before the body's
        super()._introduce(scheduler, task)

    async def _ring(self) -> None:
        await sleep(self._seconds)
        self._expired = True
        self.stop(self._scheduler, self._host, [self])

    async def _silence(self) -> Cancelled | None:
        """End the alarm; return the last Cancelled that came meanwhile."""
        late = None
        while self._alarm is not None and self._alarm.state != "finished":
            try:
                await cancel(self._alarm)
            except Cancelled as error:
                late = error
        return late

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            late = None if isinstance(error, GeneratorExit) else await self._silence()
        finally:
            self._close()
        if isinstance(error, Cancelled):
            if self._expired and not self._wanted_by:
                raise TimeoutError(f"{self._seconds} seconds were over") from error
        elif late is not None:
            if error is None:
                raise late
            self._remind()


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

    _is_open = False  # to spawn

    async def __aenter__(self) -> "TaskGroup":
        """Open the group: the task that enters is the one whose body is cancelled when a task fails."""
        await self._open()
        self._is_open, self._in_body, self._stopping = True, True, False
        self._unfinished: list[Task[Any]] = []
        self._failures: list[BaseException] = []
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Return a new task of the group; it never begins if the group is being cancelled.

        Raises RuntimeError, and begins nothing, before the block is entered and after it is left.
        """
        if not self._is_open:
            raise RuntimeError("a TaskGroup spawns inside of its block only")
        task = self._scheduler.spawn(coroutine)
        task.joiners = []  # its failure belongs to the group
        self._scheduler.spawn(self._watch(task))
        self._unfinished.append(task)
        if self._stopping:
            self.stop(self._scheduler, task, [None])
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all tasks have ended, those that come meanwhile too; then raise what is to be raised."""
        self._in_body = False
        try:
            if isinstance(error, GeneratorExit):
                return
            self._body_ended(error)
            cancelled = await self._wait()
        finally:
            self._is_open = False
            self._close()
        if self._failures:
            if self._wanted_by:
                self._remind()
            if not isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise BaseExceptionGroup("tasks of a group failed", self._failures)
        elif cancelled is not None and error is None:
            raise cancelled

    def ends_for(self, wanters: list[Block | None]) -> bool:
        return self._stopping and not self._in_body and any(w in (self, *self._wanted_by) for w in wanters)

    def _body_ended(self, error: BaseException | None) -> None:
        if error is None:
            self._wanted_by.clear()  # the body was told, and has decided to go on
        elif isinstance(error, Cancelled):
            if not self._stopping:
                self._stop_tasks()
        else:
            self._failed(error)

    async def _wait(self) -> Cancelled | None:
        """Wait for the tasks; return the last Cancelled that came meanwhile."""
        cancelled = None
        while self._unfinished:
            try:
                await suspend(self._park)
            except Cancelled as error:
                cancelled = error
                self._stop_tasks()
        return cancelled

    def _park(self, scheduler: Scheduler, task: Task[Any]) -> None:
        task.waits_for = self

    def __str__(self) -> str:
        return "group of " + ", ".join(map(str, self._unfinished)) if self._is_open else "group"

    async def _watch(self, task: Task[Any]) -> None:
        try:
            await join(task)
        except BaseException as error:
            if error is not task.exception:
                raise
        self._ended(task)

    def _ended(self, task: Task[Any]) -> None:
        self._unfinished.remove(task)
        if task.exception is not None and not isinstance(task.exception, Cancelled):
            self._failed(task.exception)
        if not self._unfinished and self._host.waits_for is self:
            self._scheduler.ready(self._host)

    def _failed(self, failure: BaseException) -> None:
        self._failures.append(failure)
        if not self._stopping:
            self._stop_tasks()
            if self._in_body:
                self.stop(self._scheduler, self._host, [self])

    def _stop_tasks(self) -> None:
        self._stopping = True
        for task in self._unfinished:
            self.stop(self._scheduler, task, [None])
