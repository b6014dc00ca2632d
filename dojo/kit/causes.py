"""Failures with a cause: what it means that an exception came, or that none did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dojo.kit.sockets import complain


@contextmanager
def must_raise(error: type[BaseException], cause: str) -> Iterator[None]:
    """Like pytest.raises, with a sentence about what it means when nothing is raised."""
    __tracebackhide__ = True
    try:
        yield
    except error:
        return
    complain(f"{error.__name__} was due and was not raised: {cause}")


@contextmanager
def must_not_raise(error: type[BaseException], cause: str) -> Iterator[None]:
    """Fail with a sentence about what it means that this error came out; let others pass."""
    __tracebackhide__ = True
    try:
        yield
    except error as raised:
        text = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
        complain(f"it raised {text}: {cause}")
