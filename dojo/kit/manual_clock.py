"""Time moved by hand, an end to loops that would go round for ever, and how a run ended."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class ManualClock:
    """A clock that stands still until somebody idles: for Scheduler(clock=clock, idle=clock.idle).

    `idles` has every gap that was idled away. Asked to idle without end, or for a
    length that is none, or to be read or idled for 0 seconds more than
    `patience` times while it stands still, it complains with a sentence.
    """

    def __init__(self, now: float = 0.0, *, patience: int = 1000, oversleep: float = 0.0) -> None:
        self.now = now
        self.idles: list[float] = []
        self._patience = self._left = patience
        self._oversleep = oversleep

    def __call__(self) -> float:
        self._left -= 1
        if self._left < 0:
            raise AssertionError(
                f"the clock was looked at {self._patience} times while it stood still at {self.now}: "
                "that is a busy wait; idle(seconds) makes the time pass"
            )
        return self.now

    def idle(self, seconds: float | None = None) -> None:
        """Let that many seconds pass (and `oversleep` more, as a loaded machine does), and note them."""
        if seconds is None or seconds == math.inf:
            raise AssertionError(
                f"idle({seconds}) would never end: nobody is ready, no timer is set, nobody can ever go on"
            )
        if not seconds >= 0:
            raise AssertionError(
                f"idle({seconds}): that is no time to wait; a deadline that is over waits for nothing"
            )
        if seconds == 0:
            self()  # time stands still: count it
        self.idles.append(seconds)
        if seconds > 0:
            self.advance(seconds + self._oversleep)

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass in work: nobody idles, so `idles` does not show them."""
        self.now += seconds
        self._left = self._patience


@contextmanager
def no_spinning(cause: str, lines: int = 2_000) -> Iterator[None]:
    """Complain, with the cause, where the code inside runs more than so many lines.

    It counts them by sys.settrace, and stands back where a debugger or a
    coverage tool is at work with that; not where the kit itself has left something.
    """
    before, left = sys.gettrace(), lines

    def trace(_frame: FrameType, event: str, _arg: Any) -> Callable[..., Any]:
        nonlocal left
        left -= event == "line"
        if left < 0:
            raise AssertionError(f"after {lines} lines of code there was still no end: {cause}")
        return trace

    if before is not None and not getattr(before, "__module__", "").startswith("dojo."):
        yield
        return
    sys.settrace(trace)
    try:
        yield
    finally:
        if sys.gettrace() in (trace, None):  # else somebody has called breakpoint()
            sys.settrace(None)


def outcome(scheduler: Any, coroutine: Any, lines: int = 2_000) -> object:
    """Return what run returns, or say what it raises: a group with its members, anything with its notes.

    What is no answer's fault or is a sentence already (AssertionError, NotImplementedError) goes through.
    """
    try:
        with no_spinning("nobody is ready and no timer is set, so this is a deadlock: say so at once", lines):
            return scheduler.run(coroutine)
    except (Exception, BaseExceptionGroup) as error:
        if any(isinstance(leaf, AssertionError | NotImplementedError) for leaf in leaves(error)):
            raise
        return "; noted: ".join([shown(error), *getattr(error, "__notes__", [])])


def shown(error: BaseException) -> str:
    """An exception as Python writes it; a group as its kind and its members, sorted."""
    if not isinstance(error, BaseExceptionGroup):
        return repr(error)
    kind = "ExceptionGroup" if isinstance(error, ExceptionGroup) else "BaseExceptionGroup"
    return f"{kind} of {', '.join(sorted(map(repr, leaves(error))))}"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that a group is made of, in whatever depth; or the one exception."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
