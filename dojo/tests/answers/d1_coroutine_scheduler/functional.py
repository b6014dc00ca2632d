"""A coroutine scheduler: many tasks, one thread."""

import time
import types
from collections.abc import Callable, Coroutine, Generator
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T")

# What a task yields. It is called with the scheduler and the task, which is parked by then, and leaves
# the task with somebody who will wake it: scheduler.ready(task), now or later.
Trap: TypeAlias = Callable[["Scheduler", "Task[Any]"], object]


@types.coroutine
def suspend(trap: Trap) -> Generator[Trap, Any, Any]:
    """Stop the running task, have trap park it, return the answer that it is woken with. (Given.)"""
    return (yield trap)


@dataclass(slots=True, eq=False, repr=False)
class Task(Generic[T]):
    """Carry one coroutine from trap to trap, and keep its result or exception.

    str(task) is the coroutine's name; repr(task) has the name and the state in it.
    """

    coroutine: Coroutine[Any, Any, T]
    state: str = "ready"  # "ready", "running", "parked" or "finished"
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
        answer, error, self.answer, self.error = self.answer, self.error, None, None
        self.state = "running"
        resume = (
            partial(self.coroutine.send, answer) if error is None else partial(self.coroutine.throw, error)
        )
        try:
            trap = resume()
        except StopIteration as finished:
            self.result = finished.value
            self.finish(scheduler)
        except BaseException as failed:
            self.exception = failed
            self.finish(scheduler)
            if isinstance(failed, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self.state = "parked"
            try:
                if not callable(trap):
                    raise TypeError(f"{trap!r} is no trap")
                trap(scheduler, self)
            except Exception as failed:
                scheduler.ready(self, error=failed)
                self.error = failed  # also where the trap has woken its task before it failed

    def finish(self, scheduler: "Scheduler") -> None:
        self.state = "finished"
        for joiner in self.joiners or ():
            if joiner.waits_for is self:
                scheduler.ready(joiner)

    def __str__(self) -> str:
        return self.coroutine.__name__

    def __repr__(self) -> str:
        return f"<Task {self} {self.state}>"


class Scheduler:
    """Run tasks in laps: all that are ready when a lap begins take one step each, in turn."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, idle: Callable[[float], object] = time.sleep
    ) -> None:
        self.clock, self.idle = clock, idle
        self.afresh()

    def afresh(self) -> None:
        self.queue: deque[Task[Any]] = deque()
        self.tasks: dict[Task[Any], None] = {}  # all that have not finished, in the order of spawn
        self.failed: list[Task[Any]] = []
        self.timers: list[tuple[float, int, Task[Any]]] = []
        self.numbers = count()

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Make a task of coroutine, at the end of the ready queue. TypeError for a function not called."""
        if not hasattr(coroutine, "send"):
            raise TypeError(f"{coroutine!r} is no coroutine: was it called?")
        task = Task(coroutine)
        self.tasks[task] = None
        self.queue.append(task)
        return task

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue: its await returns answer or raises error.

        Whatever else was to wake it from this wait is forgotten. A task that is not parked is left alone.
        """
        if task.state == "parked":
            task.state, task.waits_for = "ready", None
            task.answer, task.error = answer, error
            self.queue.append(task)

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Have a parked task wait for this time of the clock, and be ready then: part of the step sleep."""
        task.waits_for = deadline
        heappush(self.timers, (deadline, next(self.numbers), task))

    def gap(self) -> float | None:
        """Return the seconds until there is something to do: 0 while a task is ready, None for never."""
        if self.queue:
            return 0
        while self.timers and self.timers[0][2].waits_for != self.timers[0][0]:
            heappop(self.timers)
        return max(0, self.timers[0][0] - self.clock()) if self.timers else None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Spawn coroutine, run laps until it has finished, return its result or raise its exception.

        Then nobody takes a step any more: the other coroutines are closed. A gap is passed by one
        idle(gap); where it is endless, RuntimeError says "a waits for b" of all that are parked.
        Exceptions nobody joined come in an ExceptionGroup, or as notes on what run raises anyway.
        """
        main = self.spawn(coroutine)
        try:
            while main.state != "finished":
                self.lap(main)
            if main.exception is not None:
                raise main.exception
        except BaseException as error:
            for failure in self.end(main):
                if failure is error:
                    continue
                error.add_note(repr(failure))
            raise
        if failures := self.end(main):
            raise BaseExceptionGroup("nobody joined", failures)
        return main.result

    def lap(self, main: Task[Any]) -> None:
        now = self.clock()
        while self.timers and self.timers[0][0] <= now:
            deadline, _, task = heappop(self.timers)
            if task.waits_for == deadline:
                self.ready(task)
        if (gap := self.gap()) is None:
            raise RuntimeError(
                "deadlock: " + ", ".join(f"{task} waits for {task.waits_for}" for task in self.tasks)
            )
        if gap:
            self.idle(gap)
        for _ in range(len(self.queue)):
            if main.state == "finished":
                return
            task = self.queue.popleft()
            task.step(self)
            if task.state == "finished":
                del self.tasks[task]
                if task.exception is not None:
                    self.failed.append(task)

    def end(self, main: Task[Any]) -> list[BaseException]:
        """Close what has not finished; return the failures that belong to nobody."""
        failures: list[BaseException] = []
        while self.tasks:  # a finally can spawn
            del self.tasks[task := next(iter(self.tasks))]
            try:
                task.coroutine.close()
            except BaseException as failure:
                failures.append(failure)
        orphans = [task.exception for task in self.failed if task.joiners is None and task is not main]
        self.afresh()
        return orphans + failures


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception: when it has finished, or at once if it has.

    Any number of tasks may join it; they are woken in the order in which they came.
    """

    def park(scheduler: Scheduler, me: Task[Any]) -> None:
        me.waits_for = task
        task.joiners.append(me)

    if task.joiners is None:
        task.joiners = []
    if task.state != "finished":
        await suspend(park)
    if task.exception is not None:
        raise task.exception
    return task.result


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds of the clock, from now on; 0 or less just lets the others go first."""
    yield (
        Scheduler.ready
        if seconds <= 0
        else lambda scheduler, task: scheduler.wake_at(scheduler.clock() + seconds, task)
    )
