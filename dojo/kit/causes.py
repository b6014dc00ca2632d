"""Failures with a cause: what it means that an exception came, or that none did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dojo.kit.sockets import complain


@contextmanager
def must_raise(error: type[BaseException], cause: str) -> Iterator[None]:
    """Like pytest.raises, with a sentence about what it means when nothing, or another OSError, is raised."""
    __tracebackhide__ = True
    try:
        yield
    except error as raised:
        if isinstance(raised, NotImplementedError):  # a RuntimeError, and nobody's answer
            raise
        return
    except OSError as other:
        complain(f"{error.__name__} was due, and it raised {_told(other)}: {cause}")
    complain(f"{error.__name__} was due and was not raised: {cause}")


@contextmanager
def must_not_raise(error: type[BaseException], cause: str) -> Iterator[None]:
    """Fail with a sentence about what it means that this error came out; let others pass."""
    __tracebackhide__ = True
    try:
        yield
    except error as raised:
        complain(f"it raised {_told(raised)}: {cause}")


def _told(raised: BaseException) -> str:
    return f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
