"""Cancellation: stopping what waits, and leaving nobody behind."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, TypeVar, cast

from katas.d1_coroutine_scheduler import Scheduler, Task, join, sleep, suspend

T = TypeVar("T")


class Cancelled(BaseException):
    """What is raised at the await of a task that is to stop. (Given.)

    It is no Exception, so that `except Exception` lets it through. Clean up and raise it again.
    """


@dataclass(slots=True, eq=False)
class _Block:
    """An open timeout or TaskGroup, and who outside of it has wanted to stop its task since it began."""

    wanted_by: "list[_Block | None]" = field(
        default_factory=list
    )  # a block further out, or None: cancel(task)
    take_over: Callable[[], None] | None = None  # a group that waits for its tasks sees to it by itself


_open: dict[Task[Any], list[_Block]] = {}  # the blocks in which a task is, the outermost first


@contextmanager
def _opened(block: _Block, task: Task[Any]) -> Iterator[None]:
    """Keep block among the open blocks of task."""
    _open.setdefault(task, []).append(block)
    try:
        yield
    finally:
        _open[task].remove(block)
        if not _open[task]:
            del _open[task]


def _inside(block: _Block | None, task: Task[Any]) -> list[_Block]:
    """Return the open blocks of task that are inside of block; all of them inside of None."""
    blocks = _open.get(task, [])
    return blocks[blocks.index(block) + 1 :] if block else list(blocks)


def _interrupt(scheduler: Scheduler, task: Task[Any], wanted_by: _Block | None = None) -> None:
    """Have Cancelled raised at the await where task stands; the blocks on the way out learn for whom."""
    for block in _inside(wanted_by, task):
        block.wanted_by.append(wanted_by)
    if task.state == "parked":
        scheduler.ready(task, error=Cancelled())
    elif task.state == "ready":
        task.answer, task.error = None, Cancelled()


def _at_failure(task: Task[Any], tell: Callable[[BaseException], object]) -> None:
    """Have tell called with the exception that task ends with, at that moment."""
    coroutine = task.coroutine

    def telling(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(value: Any) -> Any:
            try:
                return step(value)
            except StopIteration:
                raise
            except BaseException as error:
                tell(error)
                raise

        return run

    proxy = SimpleNamespace(
        send=telling(coroutine.send),
        throw=telling(coroutine.throw),
        close=coroutine.close,
        __name__=str(task),
    )
    task.coroutine = cast(Coroutine[Any, Any, Any], proxy)


def _expect(task: Task[Any], error: BaseException) -> None:
    """Count task as joined where it has ended with Cancelled: then run says nothing of it."""
    if isinstance(error, Cancelled) and task.joiners is None:
        task.joiners = []


def _helper(work: Callable[[], object]) -> Task[None]:
    """Return a parked task that does work when it is woken; the scheduler knows of it only until then."""
    return Task(suspend(lambda scheduler, task: work()), state="parked")  # type: ignore[arg-type]


async def _here() -> tuple[Scheduler, Task[Any]]:
    """Return the scheduler and the task that runs."""
    return cast(
        "tuple[Scheduler, Task[Any]]",
        await suspend(lambda scheduler, task: scheduler.ready(task, (scheduler, task))),
    )


async def cancel(task: Task[Any]) -> None:
    """Have Cancelled raised in task, at the await where it stands; wait for its end.

    A task that has not begun never begins, one that has finished is left alone. A second cancel
    interrupts the cleanup that the first has begun. Cancelled as the task's end is what was asked
    for; any other exception that it ends with is raised here.
    """
    if task.state == "finished":
        return

    def trap(scheduler: Scheduler, me: Task[Any]) -> None:
        if not isinstance(task.coroutine, SimpleNamespace):  # else it is watched already
            _at_failure(task, partial(_expect, task))
        _interrupt(scheduler, task)
        scheduler.ready(me)  # does nothing where I am the task, and ready by now

    await suspend(trap)
    try:
        await join(task)
    except Cancelled as error:
        if error is not task.exception:  # it was meant for me
            raise


@asynccontextmanager
async def timeout(seconds: float) -> AsyncIterator[None]:
    """Cancel the body of `async with timeout(seconds):` where it lasts longer; raise TimeoutError then.

    The time counts from the body's beginning. TimeoutError takes the place of Cancelled, and of
    nothing else: another exception goes on. So does Cancelled where somebody outside of this body
    wanted it as well: cancel(task), or a timeout or a TaskGroup around this one.
    """
    scheduler, me = await _here()
    block, rang, left = _Block(), False, False

    def ring() -> None:
        nonlocal rang
        if not left:
            rang = True
            _interrupt(scheduler, me, wanted_by=block)

    alarm = _helper(ring)
    if seconds > 0:
        scheduler.wake_at(scheduler.clock() + seconds, alarm)
    else:
        scheduler.ready(alarm)  # is before whatever the body can wait for
    try:
        with _opened(block, me):
            yield
    except Cancelled as error:
        if rang and not block.wanted_by:
            raise TimeoutError(f"it took longer than {seconds} seconds") from error
        raise
    finally:
        left = True
        alarm.waits_for = None  # a forgotten timer


class TaskGroup:
    """Tasks that end before the block does: `async with TaskGroup() as group: group.spawn(...)`.

    The first failure, of a task or of the body, cancels the body and all other tasks. When all
    have ended, an ExceptionGroup of all failures is raised. A task may end with Cancelled: that is
    no failure. Cancelled from outside cancels all tasks too and goes on when they have ended; where
    failures are raised in its place, it comes once more, at an await after them.
    """

    def __init__(self) -> None:
        self._scheduler: Scheduler | None = None  # while the block is open, and only then
        self._tasks: list[Task[Any]] = []
        self._failures: list[BaseException] = []
        self._cancelling = False  # have all tasks been cancelled?
        self._body_told = False  # and the body, by the group itself?
        self._waiting = False  # is the body over?
        self._cancelled: BaseException | None = None  # the Cancelled that is to go on
        self._block = _Block()
        self._stack = ExitStack()

    async def __aenter__(self) -> "TaskGroup":
        """Open the group: the task that enters is the one whose body is cancelled when a task fails."""
        self._scheduler, self._me = await _here()
        self._stack.enter_context(_opened(self._block, self._me))
        self._stack.callback(setattr, self, "_scheduler", None)
        return self

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Return a new task of the group; it never begins if the group is being cancelled.

        Raises RuntimeError, and begins nothing, before the block is entered and after it is left.
        """
        if self._scheduler is None:
            raise RuntimeError("the block of the TaskGroup is not open")
        task = self._scheduler.spawn(coroutine)
        self._tasks.append(task)
        _at_failure(task, partial(self._ended, task))
        if self._cancelling:
            _interrupt(self._scheduler, task)
        return task

    def _ended(self, task: Task[Any], error: BaseException) -> None:
        """Take note of how a task has ended: it is the group that tells of its failure."""
        if isinstance(error, Cancelled):
            _expect(task, error)
            return
        task.joiners = task.joiners or []
        self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._failures.append(error)
        if not self._cancelling:
            self._cancel_tasks()
            if not self._waiting and self._scheduler is not None:
                self._body_told = True
                _interrupt(self._scheduler, self._me, wanted_by=self._block)

    def _cancel_tasks(self) -> None:
        self._cancelling = True
        for task in self._tasks:
            if self._scheduler is not None:
                _interrupt(self._scheduler, task)

    async def _all_ended(self) -> None:
        """Wait for all tasks; pass on to them each Cancelled that comes meanwhile."""

        def park(task: Task[Any], scheduler: Scheduler, me: Task[Any]) -> None:
            me.waits_for = task
            task.joiners = [*(task.joiners or ()), me]

        for task in self._tasks:  # grows, where tasks spawn
            while task.state != "finished":
                try:
                    await suspend(partial(park, task))
                except Cancelled as error:
                    self._cancelled = error
                    self._cancel_tasks()

    def _take_over(self) -> None:
        """Be cancelled from outside while the block waits, without telling the tasks once more."""
        self._cancelled = self._cancelled or Cancelled()

    def _cancel_again(self, scheduler: Scheduler) -> None:
        """Have Cancelled raised once more at an await of the task that is behind this block.

        Not if the block that has wanted it has been left by then.
        """
        me, wanted_by = self._me, set(self._block.wanted_by)

        def work() -> None:
            blocks: list[_Block | None] = [None, *_open.get(me, [])]
            for block in blocks:  # the outermost of them speaks for all
                if block in wanted_by:
                    if block is not None and block.take_over is not None:
                        return  # a group that waits for its tasks, which it has cancelled for itself
                    inside = _inside(block, me)
                    for group in inside:
                        if group.take_over is not None:
                            group.wanted_by.append(block)
                            group.take_over()
                            return
                    _interrupt(scheduler, me, wanted_by=block)
                    return

        scheduler.ready(_helper(work))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until all tasks have ended, those that come meanwhile too; then raise what is to be raised."""
        with self._stack:
            scheduler = self._scheduler
            if (
                scheduler is None or kind is GeneratorExit
            ):  # nobody takes another step: there is nothing to wait for
                return
            self._waiting = True
            if isinstance(error, Cancelled):
                if self._block.wanted_by or not self._body_told:
                    self._cancelled = error
                if not self._cancelling:
                    self._cancel_tasks()
            elif error is not None:
                self._failed(error)
            self._block.take_over = self._take_over
            await self._all_ended()
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return
        if self._failures:
            if self._cancelled is not None and self._block.wanted_by:
                self._cancel_again(scheduler)
            raise BaseExceptionGroup("failures in a TaskGroup", self._failures) from None
        if self._cancelled is not None and self._cancelled is not error:
            raise self._cancelled
