"""A coroutine scheduler: many tasks, one thread."""

import time
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
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
        self.state = "running"
        try:
            if self.error is not None:
                trap = self.coroutine.throw(self.error)
            else:
                trap = self.coroutine.send(self.answer)
        except StopIteration as stop:
            self.state = "finished"
            self.result = stop.value
        except BaseException as error:
            self.state = "finished"
            self.exception = error
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            self.state = "parked"
            try:
                if not callable(trap):
                    raise TypeError(f"not a trap: {trap!r}")
                trap(scheduler, self)
            except Exception as error:
                scheduler.ready(self)
                self.error = error
        if self.state == "finished" and self.joiners is not None:
            for joiner in self.joiners:
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
        self.queue = []  # the tasks that are ready
        self.unfinished = []  # all tasks that have not finished
        self.failed = []  # all tasks that have failed
        self.timers = []  # (deadline, number, task) of all that sleep
        self.number = 0

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Make a task of coroutine, at the end of the ready queue. TypeError for a function not called."""
        if not hasattr(coroutine, "send"):
            raise TypeError(f"not a coroutine: {coroutine!r}")
        task = Task(coroutine)
        self.queue.append(task)
        self.unfinished.append(task)
        return task

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue: its await returns answer or raises error.

        Whatever else was to wake it from this wait is forgotten. A task that is not parked is left alone.
        """
        if task.state != "parked":
            return
        task.state = "ready"
        task.answer = answer
        task.error = error
        task.waits_for = None
        self.queue.append(task)

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Have a parked task wait for this time of the clock, and be ready then: part of the step sleep."""
        task.waits_for = deadline
        self.number = self.number + 1
        self.timers.append((deadline, self.number, task))
        self.timers.sort()

    def gap(self) -> float | None:
        """Return the seconds until there is something to do: 0 while a task is ready, None for never."""
        if self.queue:
            return 0
        while self.timers:
            deadline, number, task = self.timers[0]
            if task.waits_for == deadline:
                return max(0, deadline - self.clock())
            self.timers.pop(0)
        return None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Spawn coroutine, run laps until it has finished, return its result or raise its exception.

        Then nobody takes a step any more: the other coroutines are closed. A gap is passed by one
        idle(gap); where it is endless, RuntimeError says "a waits for b" of all that are parked.
        Exceptions nobody joined come in an ExceptionGroup, or as notes on what run raises anyway.
        """
        problem = None
        try:
            main = self.spawn(coroutine)
            while main.state != "finished":
                self.lap(main)
            problem = main.exception
        except BaseException as error:
            problem = error
        others = []
        for error in self.clean_up():
            if error is not problem:
                others.append(error)
        if problem is not None:
            for error in others:
                problem.add_note(repr(error))
            raise problem
        if others:
            raise BaseExceptionGroup("nobody has joined these", others)
        return main.result

    def lap(self, main: Task[Any]) -> None:
        """Let all that are ready take one step."""
        gap = self.gap()
        if gap is None:
            waiting = []
            for task in self.unfinished:
                waiting.append(f"{task} waits for {task.waits_for}")
            raise RuntimeError("deadlock: " + ", ".join(waiting))
        if gap > 0:
            self.idle(gap)
        now = self.clock()
        while self.timers and self.timers[0][0] <= now:
            deadline, number, task = self.timers.pop(0)
            if task.waits_for == deadline:
                self.ready(task)
        count = len(self.queue)
        while count > 0:
            count = count - 1
            task = self.queue.pop(0)
            task.step(self)
            if task.state == "finished":
                self.unfinished.remove(task)
                if task.exception is not None:
                    self.failed.append(task)
            if main.state == "finished":
                return

    def clean_up(self) -> list[BaseException]:
        """Close all that is left, and return the exceptions that nobody has got."""
        errors = []
        for task in self.failed:
            if task.joiners is None:
                errors.append(task.exception)
        for task in self.unfinished:
            try:
                task.coroutine.close()
            except BaseException as error:
                errors.append(error)
        self.queue = []
        self.unfinished = []
        self.failed = []
        self.timers = []
        return errors


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception: when it has finished, or at once if it has.

    Any number of tasks may join it; they are woken in the order in which they came.
    """

    def trap(scheduler, joiner):
        joiner.waits_for = task
        task.joiners.append(joiner)

    if task.joiners is None:
        task.joiners = []
    if task.state != "finished":
        await suspend(trap)
    if task.exception is not None:
        raise task.exception
    return task.result


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds of the clock, from now on; 0 or less just lets the others go first."""

    def trap(scheduler, task):
        if seconds <= 0:
            scheduler.ready(task)
        else:
            scheduler.wake_at(scheduler.clock() + seconds, task)

    yield trap
