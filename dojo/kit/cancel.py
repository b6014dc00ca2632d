"""To cancel a coroutine at every point where it can be cancelled, one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

import anyio

T = TypeVar("T")


async def cancel_at(point: int, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> str | None:
    """Run function(*args) and cancel it where it waits for the point-th time; return where that was.

    The first point is 1. None means that it ended before that: there are no more points.
    """
    with anyio.CancelScope() as scope:
        counted = _Counted(function(*args), point, scope.cancel)
        await counted
    return counted.where


class _Counted(Awaitable[T]):
    """A coroutine that reports its point-th suspension, and is itself in all else."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], point: int, report: Callable[[], object]) -> None:
        self.where: str | None = None
        self._coroutine, self._left, self._report = coroutine, point, report

    def __await__(self) -> Generator[Any, Any, T]:
        resume: Callable[[Any], Any] = self._coroutine.send
        answer: Any = None
        while True:
            try:
                trap = resume(answer)
            except StopIteration as finished:
                result: T = finished.value
                return result
            self._left -= 1
            if self._left == 0:
                self.where = _where(self._coroutine)
                self._report()
            try:
                answer = yield trap
                resume = self._coroutine.send
            except BaseException as error:
                answer = error
                resume = self._coroutine.throw


def _where(coroutine: Any) -> str:
    """The line of the coroutine where it stands, and the function that it waits in."""
    frame, waits_in = coroutine.cr_frame, coroutine.cr_code
    while (inner := getattr(coroutine, "cr_await", None)) is not None:
        coroutine = inner
        waits_in = getattr(coroutine, "cr_code", waits_in)
    return f"line {frame.f_lineno}, in {waits_in.co_name}()"
