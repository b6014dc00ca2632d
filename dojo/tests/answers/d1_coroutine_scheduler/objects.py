"""A coroutine scheduler: many tasks, one thread."""

import heapq
import inspect
import itertools
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

# What a task yields. It is called with the scheduler and the task, which is parked by then, and leaves
# the task with somebody who will wake it: scheduler.ready(task), now or later.
Trap: TypeAlias = Callable[["Scheduler", "Task[Any]"], object]


@types.coroutine
def suspend(trap: Trap) -> Generator[Trap, Any, Any]:
    """Stop the running task, have trap park it, return the answer that it is woken with. (Given.)"""
    return (yield trap)


class State(StrEnum):
    READY = "ready"
    RUNNING = "running"
    PARKED = "parked"
    FINISHED = "finished"


@dataclass(slots=True, eq=False, repr=False)
class Task(Generic[T]):
    """Carry one coroutine from trap to trap, and keep its result or exception.

    str(task) is the coroutine's name; repr(task) has the name and the state in it.
    """

    coroutine: Coroutine[Any, Any, T]
    state: State = State.READY  # "ready", "running", "parked" or "finished"
    answer: Any = None  # what the next step sends in,
    error: BaseException | None = None  # or throws in, where there is one
    waits_for: object = None  # while it is parked: a Task, a deadline, ... or None
    joiners: "list[Task[Any]] | None" = None  # who joined it; None: nobody ever has
    exception: BaseException | None = None  # what it ended with,
    result: T = field(init=False)  # or what it returned; not there before

    def step(self, scheduler: "Scheduler") -> None:
        """Throw error into the coroutine, or send answer; call the trap that it yields, or keep how it ends.

        What a trap raises, and a TypeError that shows what was yielded and is no trap,
        is thrown in by the next step. KeyboardInterrupt and SystemExit are kept and go on.
        """
        answer, error = self.answer, self.error
        self.answer = self.error = None
        self.state = State.RUNNING
        try:
            if error is not None:
                trap = self.coroutine.throw(error)
            else:
                trap = self.coroutine.send(answer)
        except StopIteration as stop:
            self.result = stop.value
            self._finish(scheduler)
        except BaseException as exception:
            self.exception = exception
            self._finish(scheduler)
            if isinstance(exception, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self._park(trap, scheduler)

    def _park(self, trap: Trap, scheduler: "Scheduler") -> None:
        self.state = State.PARKED
        try:
            if not callable(trap):
                raise TypeError(f"not a trap: {trap!r}")
            trap(scheduler, self)
        except Exception as error:
            scheduler.ready(self)
            self.error = error

    def _finish(self, scheduler: "Scheduler") -> None:
        self.state = State.FINISHED
        for joiner in self.joiners or []:
            if joiner.waits_for is self:
                scheduler.ready(joiner)

    def __str__(self) -> str:
        return self.coroutine.__name__

    def __repr__(self) -> str:
        return f"<Task {self} {self.state}>"


@dataclass(order=True)
class Timer:
    """An alarm for one task; equal deadlines go off in the order in which they were set."""

    deadline: float
    number: int
    task: Task[Any] = field(compare=False)

    def is_forgotten(self) -> bool:
        return self.task.waits_for is not self.deadline


class Scheduler:
    """Run tasks in laps: all that are ready when a lap begins take one step each, in turn."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, idle: Callable[[float], object] = time.sleep
    ) -> None:
        self.clock, self.idle = clock, idle
        self._queue: deque[Task[Any]] = deque()
        self._timers: list[Timer] = []
        self._numbers = itertools.count()
        self._unfinished: dict[Task[Any], None] = {}
        self._failed: list[Task[Any]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Make a task of coroutine, at the end of the ready queue. TypeError for a function not called."""
        if not inspect.isawaitable(coroutine):
            raise TypeError(f"a coroutine is needed, not {coroutine!r}")
        task = Task(coroutine)
        self._unfinished[task] = None
        self._queue.append(task)
        return task

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue: its await returns answer or raises error.

        Whatever else was to wake it from this wait is forgotten. A task that is not parked is left alone.
        """
        if task.state is not State.PARKED:
            return
        task.state = State.READY
        task.answer, task.error, task.waits_for = answer, error, None
        self._queue.append(task)

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Have a parked task wait for this time of the clock, and be ready then: part of the step sleep."""
        task.waits_for = deadline
        heapq.heappush(self._timers, Timer(deadline, next(self._numbers), task))

    def gap(self) -> float | None:
        """Return the seconds until there is something to do: 0 while a task is ready, None for never."""
        if self._queue:
            return 0
        while self._timers and self._timers[0].is_forgotten():
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0, self._timers[0].deadline - self.clock())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Spawn coroutine, run laps until it has finished, return its result or raise its exception.

        Then nobody takes a step any more: the other coroutines are closed. A gap is passed by one
        idle(gap); where it is endless, RuntimeError says "a waits for b" of all that are parked.
        Exceptions nobody joined come in an ExceptionGroup, or as notes on what run raises anyway.
        """
        raised: BaseException | None = None
        try:
            main = self.spawn(coroutine)
            while main.state is not State.FINISHED:
                self._pass_gap()
                self._wake_sleepers()
                self._lap(main)
            raised = main.exception
        except BaseException as error:
            raised = error
        others = self._clean_up(raised)
        if raised is not None:
            for other in others:
                raised.add_note(repr(other))
            raise raised
        if others:
            raise BaseExceptionGroup("nobody joined these", others)
        return main.result

    def _pass_gap(self) -> None:
        gap = self.gap()
        if gap is None:
            waits = ", ".join(f"{task} waits for {task.waits_for}" for task in self._unfinished)
            raise RuntimeError(f"deadlock: {waits}")
        if gap > 0:
            self.idle(gap)

    def _wake_sleepers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0].deadline <= now:
            timer = heapq.heappop(self._timers)
            if not timer.is_forgotten():
                self.ready(timer.task)

    def _lap(self, main: Task[Any]) -> None:
        for _ in range(len(self._queue)):
            task = self._queue.popleft()
            try:
                task.step(self)
            finally:
                if task.state is State.FINISHED:
                    self._retire(task)
            if main.state is State.FINISHED:
                return

    def _retire(self, task: Task[Any]) -> None:
        del self._unfinished[task]
        if task.exception is not None:
            self._failed.append(task)

    def _clean_up(self, raised: BaseException | None) -> list[BaseException]:
        """Close what has not finished, forget everything, return the failures that nobody has seen."""
        failures: list[BaseException] = []
        while self._unfinished:
            task = next(iter(self._unfinished))
            del self._unfinished[task]
            task.state = State.FINISHED
            try:
                task.coroutine.close()
            except BaseException as error:
                failures.append(error)
        for task in self._failed:
            if task.joiners is None and task.exception is not raised:
                failures.append(task.exception)
        self._queue.clear()
        self._timers.clear()
        self._failed.clear()
        return failures


class Joining:
    """The wait of one task for another."""

    def __init__(self, task: Task[Any]) -> None:
        self.task = task

    def park(self, scheduler: Scheduler, joiner: Task[Any]) -> None:
        joiner.waits_for = self.task
        self.task.joiners.append(joiner)


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception: when it has finished, or at once if it has.

    Any number of tasks may join it; they are woken in the order in which they came.
    """
    if task.joiners is None:
        task.joiners = []
    if task.state is not State.FINISHED:
        await suspend(Joining(task).park)
    if task.exception is not None:
        raise task.exception
    return task.result


class Sleeping:
    """The wait of a task for the clock."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def park(self, scheduler: Scheduler, task: Task[Any]) -> None:
        scheduler.wake_at(scheduler.clock() + self.seconds, task)


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds of the clock, from now on; 0 or less just lets the others go first."""
    if seconds > 0:
        yield Sleeping(seconds).park
    else:
        yield Scheduler.ready
