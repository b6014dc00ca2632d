"""Telling lazy code from eager code, and code that never comes back from code that does."""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 50_000  # lines that may run for one answer: a great many, and gone in a moment


def patient(function: Callable[P, Any]) -> Callable[P, Any]:
    """Return function, made to give up with a sentence where it, or its iterator, never comes back.

    A loop that runs for ever fills the memory long before a time limit ends it. What
    counts here is how many lines run for one call or one next(), not how long it takes.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        __tracebackhide__ = True
        with _patience(f"{function.__name__}({', '.join(map(repr, args))})"):
            result = function(*args, **kwargs)
        return _PatientIterator(result, function.__name__) if isinstance(result, Iterator) else result

    return wrapper


def kept_after_first(make: Callable[[], Iterator[object]]) -> int:
    """Return how many objects came to stay in memory while an iterator was made and gave one item.

    What has been worked out in advance has to be kept somewhere.
    """
    collecting = gc.isenabled()
    gc.disable()  # other people's rubbish must not be counted as ours
    try:
        before = sys.getallocatedblocks()
        iterator = make()
        item = next(iterator)
        kept = sys.getallocatedblocks() - before
        del iterator, item
    finally:
        if collecting:
            gc.enable()
    return kept


class _PatientIterator(Generic[T]):
    def __init__(self, items: Iterator[T], name: str) -> None:
        self._items = items
        self._name = name

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        __tracebackhide__ = True
        with _patience(f"one next() of {self._name}"):
            return next(self._items)

    def __repr__(self) -> str:
        return repr(self._items)  # what the learner gave, and not what became of it


@contextmanager
def _patience(what: str) -> Iterator[None]:
    """Raise AssertionError out of the line after the last that PATIENCE allows to run."""
    if sys.gettrace() is not None:  # somebody debugs, or measures coverage: let them
        yield
        return
    lines = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines > PATIENCE:
                raise AssertionError(
                    f"{what} ran for {PATIENCE:,} lines and did not come back: "
                    "it loops without end, or goes through something that has none"
                )
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        if sys.gettrace() is trace:  # else somebody has called breakpoint()
            sys.settrace(None)
