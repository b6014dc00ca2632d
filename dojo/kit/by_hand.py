"""Coroutines taken by the hand: one step at a time, with no loop anywhere."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Coroutine, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dojo.kit.sockets import complain


@types.coroutine
def ask(question: Any) -> Generator[Any, Any, Any]:
    """Pause with this question, return what is sent in: for tests of those who drive."""
    return (yield question)


@dataclass(frozen=True)
class Paused:
    """The step ended at a pause, with this value."""

    value: Any


@dataclass(frozen=True)
class Returned:
    """The step ended the coroutine, with this result."""

    result: Any


def step(coroutine: Coroutine[Any, Any, Any], answer: Any = None) -> Paused | Returned:
    """Send answer into the coroutine (None, where it has not begun), and tell how far it came."""
    try:
        return Paused(coroutine.send(answer))
    except StopIteration as end:
        return Returned(end.value)


def steps(coroutine: Coroutine[Any, Any, Any], *answers: Any) -> list[Paused | Returned]:
    """Begin the coroutine, send it one answer after the other, and tell how far each step came.

    An answer that is an exception is thrown in.
    """
    told = [step(coroutine)]
    for answer in answers:
        if isinstance(told[-1], Paused):
            told.append((throw if isinstance(answer, BaseException) else step)(coroutine, answer))
    return told


def throw(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Paused | Returned:
    """Raise error at the pause where the coroutine stands, and tell how far it came."""
    try:
        return Paused(coroutine.throw(error))
    except StopIteration as end:
        return Returned(end.value)


@contextmanager
def comes_out(error: BaseException, cause: str) -> Iterator[None]:
    """Complain where no exception of this kind is raised, or another one of the same kind."""
    __tracebackhide__ = True
    try:
        yield
    except type(error) as raised:
        if raised is not error:
            complain(f"another {type(error).__name__} came out, {raised!r}, and not the very one: {cause}")
        return
    complain(f"{error!r} was due and did not come out: {cause}")


def depth() -> int:
    """Return how many calls stand one above the other."""
    frame, calls = sys._getframe(), 0
    while frame.f_back is not None:
        frame, calls = frame.f_back, calls + 1
    return calls


def left_open(*coroutines: Coroutine[Any, Any, Any]) -> list[str]:
    """Return the states of those that are not closed, and close them."""
    states = [inspect.getcoroutinestate(each) for each in coroutines]
    for each in coroutines:
        with suppress(BaseException):
            each.close()
    return [state for state in states if state != "CORO_CLOSED"]


def interrupt(coroutine: Coroutine[Any, Any, Any], pause: int, error: BaseException, cause: str) -> None:
    """Raise error at the pause of that number (the first is 1); complain where it does not come out."""
    try:
        outcomes = steps(coroutine, *[None] * (pause - 1))
        assert isinstance(outcomes[-1], Paused), f"it ended before its pause {pause}: {outcomes[-1]}"
        with comes_out(error, cause):
            throw(coroutine, error)
    finally:
        left_open(coroutine)
