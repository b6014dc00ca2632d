"""A coroutine scheduler: many tasks, one thread."""

import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

# What a task yields. Called with the scheduler and the task, which is parked by then, it leaves
# the task with somebody who will wake it: scheduler.ready(task), at once or later.
Trap: TypeAlias = Callable[["Scheduler", "Task[Any]"], object]


@types.coroutine
def suspend(trap: Trap) -> Generator[Trap, Any, Any]:
    """Stop the running task and have trap(scheduler, task) park it; give the answer it is woken with. (Given.)"""
    return (yield trap)


@dataclass(slots=True, eq=False, repr=False)
class Task(Generic[T]):
    """Carry one coroutine from trap to trap, and keep what comes of it.

    str(task) is the coroutine's name; in repr(task) stand that name, the state,
    and str() of what the task waits for, unless that is None.
    """

    coroutine: Coroutine[Any, Any, T]
    state: str = "ready"  # then "running", "parked" or "ready" again, at last "finished"
    answer: Any = None  # what the next step sends in,
    error: BaseException | None = None  # or throws in, where there is one
    waits_for: object = None  # while it is parked: a Task, a deadline, ... or None
    joiners: "list[Task[Any]] | None" = None  # who joined it; None: nobody ever has
    exception: BaseException | None = None  # what it ended with,
    result: T = field(init=False)  # or what it returned; not there before

    def step(self, scheduler: "Scheduler") -> None:
        """Throw error into the coroutine, or send answer; it runs to its next trap or its end.

        A trap is called. What the trap raises, and a TypeError that shows what was yielded
        where that is no trap, is thrown in by the next step. At the end the result or exception
        is kept and joiners that still wait are woken; KeyboardInterrupt and SystemExit go on to the caller.
        """
        self.state = "running"
        try:
            trap = (
                self.coroutine.send(self.answer) if self.error is None else self.coroutine.throw(self.error)
            )
        except StopIteration as end:
            self.result = end.value
            self._finish(scheduler)
        except BaseException as error:
            self.exception = error
            self._finish(scheduler)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self.state = "parked"
            try:
                trap(scheduler, self)
            except Exception as error:  # asking callable() first would cost every switch
                not_a_trap = TypeError(f"{self} yielded {trap!r}, which is not a trap of this scheduler")
                scheduler.ready(self)
                self.error = error if callable(trap) else not_a_trap

    def _finish(self, scheduler: "Scheduler") -> None:
        self.state = "finished"
        for joiner in self.joiners or ():
            if joiner.waits_for is self:  # and has not been woken by somebody else
                scheduler.ready(joiner)

    def __str__(self) -> str:
        return str(getattr(self.coroutine, "__name__", self.coroutine))

    def __repr__(self) -> str:
        return f"<Task {self} {self.state}" + (f": waits for {self.waits_for}>" if self.waits_for else ">")


class Scheduler:
    """Run tasks in laps: all that are ready when a lap begins take one step each, in turn.

    clock() tells the time in seconds, idle(seconds) passes it.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, idle: Callable[[float], object] = time.sleep
    ) -> None:
        self.clock, self.idle = clock, idle
        self._ready: deque[Task[Any]] = deque()
        # Tasks cannot be compared: a number between deadline and task settles ties, first come first.
        self._timers: list[tuple[float, int, Task[Any]]] = []
        self._numbers = count()
        # All but those that ended well, or badly and joined. (A dict is a set that keeps its order.)
        self._tasks: dict[Task[Any], None] = {}

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Make a task of coroutine at the end of the ready queue, and run nothing yet.

        Raises TypeError for a function that was not called.
        """
        if callable(coroutine):
            raise TypeError(f"spawn wants a coroutine, and {coroutine!r} is a function: call it")
        task = Task(coroutine)
        self._tasks[task] = None
        self._ready.append(task)
        return task

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue; its await will return answer or raise error.

        Whatever else was to wake it from this wait is forgotten. Does nothing where task
        is not parked. Scheduler.ready is itself a trap: it lets the others go first.
        """
        if task.state == "parked":
            task.state, task.answer, task.error = "ready", answer, error
            task.waits_for = None  # who finds this changed leaves the task alone
            self._ready.append(task)

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Make the parked task wait for deadline on the clock: part of the step sleep.

        Before each lap those whose deadline has come join the end of the ready
        queue: earlier deadlines first, equal ones in the order in which they were set.
        """
        task.waits_for = deadline
        heappush(self._timers, (deadline, next(self._numbers), task))

    def gap(self) -> float | None:
        """Return for how many seconds there is nothing to do: 0 where a task is ready, None for ever."""
        if self._ready:
            return 0.0
        while self._timers and not _still_waits(self._timers[0]):
            heappop(self._timers)
        return max(0.0, self._timers[0][0] - self.clock()) if self._timers else None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Spawn coroutine, run laps until it has finished, return its result or raise its exception.

        Nobody takes a step after that: all other coroutines are closed. Calls idle once a gap, with
        its length; one without end is a RuntimeError whose text has "a waits for b" for every parked task.
        Exceptions of tasks that nobody joined, and of closing, are raised in an
        ExceptionGroup at the end; where run raises anyway, they are notes on that.
        """
        main = self.spawn(coroutine)
        main.joiners = []  # we shall ask how it ended
        try:
            self._run_until_finished(main)
            if main.exception is not None:
                raise main.exception
        except BaseException as error:
            for unheard in self._close_all():
                error.add_note(f"and a task that nobody joined raised {unheard!r}")
            raise
        if failures := self._close_all():
            raise BaseExceptionGroup("tasks that nobody joined", failures)
        return main.result

    def _run_until_finished(self, main: Task[Any]) -> None:
        while main.state != "finished":
            if not self._ready:
                gap = self.gap()
                if gap is None:
                    parked = (
                        f"{task} waits for {task.waits_for}" for task in self._tasks if task.state == "parked"
                    )
                    raise RuntimeError(f"deadlock, nobody can go on: {', '.join(parked)}")
                if gap > 0:
                    self.idle(gap)
            if self._timers:  # in every lap, however busy the others are
                now = self.clock()
                while self._timers and self._timers[0][0] <= now:
                    timer = heappop(self._timers)
                    if _still_waits(timer):
                        self.ready(timer[2])
            for _ in range(len(self._ready)):
                task = self._ready.popleft()
                task.step(self)
                if task.state == "finished":
                    if task.exception is None or task.joiners is not None:
                        del self._tasks[task]
                    if task is main:
                        break

    def _close_all(self) -> list[BaseException]:
        """Close all tasks, the newest first; return the exceptions nobody has asked for."""
        unheard = []
        while self._tasks:  # the cleanup of one may spawn another
            task, _ = self._tasks.popitem()
            if task.state != "finished":
                task.state = "finished"
                try:
                    task.coroutine.close()
                except BaseException as error:  # the others must be closed all the same
                    task.exception, task.joiners = error, None
            if task.exception is not None and task.joiners is None:
                unheard.append(task.exception)
        self._ready.clear()
        self._timers.clear()
        return unheard


def _still_waits(timer: tuple[float, int, Task[Any]]) -> bool:
    deadline, _, task = timer
    return task.waits_for == deadline


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception, once it has finished; then without suspending.

    Any number of tasks may join it, and are woken in the order in which they came.
    """
    if task.joiners is None:
        task.joiners = []
    if task.state != "finished":
        await suspend(_park_with(task, task.joiners))
    if task.exception is not None:
        raise task.exception
    return task.result


def _park_with(task: Task[Any], joiners: list[Task[Any]]) -> Trap:
    def park(_: Scheduler, joiner: Task[Any]) -> None:
        joiner.waits_for = task
        joiners.append(joiner)

    return park


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds of the clock, from now on; 0 or less lets the others go first."""
    # An async def around suspend() reads as well, and Python would warn of one that nobody awaits;
    # but it stands below nearly every switch, and this is a third quicker.
    yield Scheduler.ready if seconds <= 0 else _alarm(seconds)


def _alarm(seconds: float) -> Trap:
    return lambda scheduler, task: scheduler.wake_at(scheduler.clock() + seconds, task)
