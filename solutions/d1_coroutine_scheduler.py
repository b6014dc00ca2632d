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
# What a task yields: trap(scheduler, task) leaves the task, parked by then, with somebody who will wake it.
Trap: TypeAlias = Callable[["Scheduler", "Task[Any]"], object]


@types.coroutine
def suspend(trap: Trap) -> Generator[Trap, Any, Any]:
    """Stop the running task, have trap park it, return the answer that it is woken with. (Given.)"""
    return (yield trap)


@dataclass(slots=True, eq=False, repr=False)
class Task(Generic[T]):
    """Carry one coroutine from trap to trap, and keep its result or exception."""

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

        What a trap raises, or a TypeError that shows what is no trap, is thrown in by the next step.
        At its end joiners that still wait for it are woken; KeyboardInterrupt and SystemExit go on.
        """
        self.state = "running"
        try:
            if self.error is None:
                trap = self.coroutine.send(self.answer)
            else:
                trap = self.coroutine.throw(self.error)
        except StopIteration as end:
            self.result = end.value
        except BaseException as error:
            self.exception = error
        else:
            self.state = "parked"
            try:
                trap(scheduler, self)
            except Exception as error:  # asking callable() before would cost every switch
                scheduler.ready(self)  # it may have done that itself: so the error is set afterwards
                self.error = error if callable(trap) else TypeError(f"{self} yielded {trap!r}: no trap")
            return
        self.state = "finished"
        for joiner in self.joiners or ():
            if joiner.waits_for is self:  # and was not woken by somebody else
                scheduler.ready(joiner)
        if isinstance(self.exception, (KeyboardInterrupt, SystemExit)):
            raise self.exception

    def __str__(self) -> str:
        return str(getattr(self.coroutine, "__name__", self.coroutine))

    def __repr__(self) -> str:
        return f"<Task {self} {self.state}>"


class Scheduler:
    """Run tasks in laps: all that are ready when a lap begins take one step each, in turn."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, idle: Callable[[float], Any] = time.sleep
    ):
        self.clock, self.idle = clock, idle
        self._ready: deque[Task[Any]] = deque()
        # Tasks cannot be compared: a number between deadline and task settles ties, first come first.
        self._timers: list[tuple[float, int, Task[Any]]] = []
        self._numbers = count()
        # The unfinished and the failed that nobody joined. (A dict is a set that keeps its order.)
        self._tasks: dict[Task[Any], None] = {}

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Queue a task for a coroutine, or for what suspend returns. TypeError for a function not called."""
        if callable(coroutine):
            raise TypeError(f"{coroutine!r} is not a coroutine: call it")
        task = Task(coroutine)
        self._tasks[task] = None
        self._ready.append(task)
        return task

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue: its await returns answer or raises error."""
        if task.state == "parked":
            task.state, task.answer, task.error = "ready", answer, error
            task.waits_for = None  # whoever finds this changed leaves the task alone
            self._ready.append(task)

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Have a parked task wait for this time of the clock, and be ready then: part of the step sleep."""
        task.waits_for = deadline
        heappush(self._timers, (deadline, next(self._numbers), task))

    def gap(self) -> float | None:
        """Return the seconds until there is something to do: 0 while a task is ready, None for never."""
        if self._ready:
            return 0
        while self._timers and self._timers[0][2].waits_for != self._timers[0][0]:
            heappop(self._timers)  # somebody else has woken it
        return max(0, self._timers[0][0] - self.clock()) if self._timers else None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run laps until coroutine has finished; close the others, return its result or raise its failure."""
        main = self.spawn(coroutine)
        main.joiners = []  # run asks how it ended
        try:
            while main.state != "finished":
                if self._timers or not self._ready:  # timers in every lap, however busy the others are
                    self._wait()
                self._lap(main)
            if main.exception is not None:
                raise main.exception
        except BaseException as error:
            for unheard in self._close_all():
                error.add_note(f"and a task that nobody joined raised {unheard!r}")
            raise
        if failures := self._close_all():
            raise BaseExceptionGroup("tasks that nobody joined", failures)
        return main.result

    def _wait(self) -> None:
        if (gap := self.gap()) is None:
            parked = [f"{task} waits for {task.waits_for}" for task in self._tasks if task.state == "parked"]
            raise RuntimeError(f"deadlock: {', '.join(parked)}")
        if gap > 0:
            self.idle(gap)
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            deadline, _, task = heappop(self._timers)
            if task.waits_for == deadline:
                self.ready(task)

    def _lap(self, main: Task[Any]) -> None:
        for _ in range(len(self._ready)):
            task = self._ready.popleft()
            task.step(self)
            if task.state == "finished":
                if task.exception is None or task.joiners is not None:
                    del self._tasks[task]
                if task is main:
                    return

    def _close_all(self) -> list[BaseException]:
        """Close all that is left, the newest first; return the exceptions that nobody asked for."""
        unheard = []
        while self._tasks:  # a cleanup may spawn one more
            task, _ = self._tasks.popitem()
            try:
                if task.state != "finished":
                    task.state = "finished"
                    task.coroutine.close()
                elif task.exception is not None and task.joiners is None:
                    unheard.append(task.exception)
            except BaseException as error:  # the others are closed all the same
                unheard.append(error)
        self._ready.clear()
        self._timers.clear()
        return unheard


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception: when it has finished, or at once if it has."""
    joiners = task.joiners = task.joiners or []  # from now on its failure is the joiners' affair
    if task.state != "finished":

        def park(_: Scheduler, joiner: Task[Any]) -> None:
            joiner.waits_for = task
            joiners.append(joiner)

        await suspend(park)
    if task.exception is not None:
        raise task.exception
    return task.result


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds from now; 0 or less: just go to the end of the ready queue."""
    # An async def around suspend() reads as well, and Python would warn of one that nobody awaits;
    # but this stands below nearly every switch, and makes it a quarter quicker.
    yield Scheduler.ready if seconds <= 0 else lambda s, task: s.wake_at(s.clock() + seconds, task)
