"""Small coroutines to give a scheduler, and traps for them to yield."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any


class Stop(BaseException):
    """No Exception, and no order to stop the program either."""


def ready_by_hand(scheduler: Any, task: Any, answer: Any = None, error: BaseException | None = None) -> None:
    """Wake the task as Scheduler.ready has to, and put it in no queue: the test takes its steps."""
    if task.state == "parked":
        task.state, task.answer, task.error, task.waits_for = "ready", answer, error, None


def nowhere(scheduler: Any, task: Any) -> None:
    """A trap that parks the task and tells nobody."""


def again(scheduler: Any, task: Any) -> None:
    """A trap that just lets the others go first."""
    scheduler.ready(task)


def broken(scheduler: Any, task: Any) -> None:
    """A trap that fails."""
    raise LookupError("no such place")


def broken_too_late(scheduler: Any, task: Any) -> None:
    """A trap that fails when it has woken its task already."""
    scheduler.ready(task)
    raise LookupError("no such place")


@types.coroutine
def suspend(trap: Callable[[Any, Any], object]) -> Generator[Any, Any, Any]:
    """Yield the trap, return the answer."""
    return (yield trap)


async def ask(log: list[Any]) -> str:
    """Note the answer that ends a wait which nothing else ends."""
    log.append("asks")
    answer = await suspend(nowhere)
    log.append(answer)
    return f"was told {answer}"


async def give(value: Any) -> Any:
    """Return value."""
    return value


async def fail(error: BaseException) -> Any:
    """Raise error."""
    raise error


async def count(log: list[Any], name: str, times: int) -> None:
    """Note name0, name1, ... and let the others go first after each."""
    for number in range(times):
        log.append(f"{name}{number}")
        await suspend(again)


async def stay(log: list[Any], name: str, error: BaseException | None = None) -> None:
    """Wait for ever; note the end of that, and raise error if there is one."""
    try:
        await suspend(nowhere)
    finally:
        log.append(f"{name} cleaned up")
        if error is not None:
            raise error


async def hear(wait: Awaitable[Any]) -> Any:
    """Return what wait returns, or say which Exception it raised."""
    try:
        return await wait
    except NotImplementedError:
        raise
    except Exception as error:
        return f"heard {error!r}"
