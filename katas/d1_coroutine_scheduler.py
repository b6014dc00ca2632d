"""A coroutine scheduler: many tasks, one thread."""

import time
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
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
        raise NotImplementedError

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

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Queue a task for a coroutine, or for what suspend returns. TypeError for a function not called."""
        raise NotImplementedError

    def ready(self, task: Task[Any], answer: Any = None, error: BaseException | None = None) -> None:
        """Put a parked task at the end of the ready queue: its await returns answer or raises error."""
        raise NotImplementedError

    def wake_at(self, deadline: float, task: Task[Any]) -> None:
        """Have a parked task wait for this time of the clock, and be ready then: part of the step sleep."""
        raise NotImplementedError

    def gap(self) -> float | None:
        """Return the seconds until there is something to do: 0 while a task is ready, None for never."""
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run laps until coroutine has finished; close the others, return its result or raise its failure."""
        raise NotImplementedError


async def join(task: Task[T]) -> T:
    """Return the task's result or raise its exception: when it has finished, or at once if it has."""
    raise NotImplementedError


@types.coroutine
def sleep(seconds: float) -> Generator[Trap, None, None]:
    """Stand still for so many seconds from now; 0 or less: just go to the end of the ready queue."""
    raise NotImplementedError
