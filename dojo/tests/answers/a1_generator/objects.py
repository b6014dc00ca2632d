"""Generators: functions that can pause."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class _Countdown(Iterator[int]):
    def __init__(self, start: int) -> None:
        self._next = start

    def __next__(self) -> int:
        if self._next < 1:
            raise StopIteration
        value = self._next
        self._next -= 1
        return value


class _Take(Iterator[T]):
    def __init__(self, count: int, items: Iterable[T]) -> None:
        self._left = count
        self._items = items
        self._source: Iterator[T] | None = None

    def __next__(self) -> T:
        if self._left < 1:
            raise StopIteration
        if self._source is None:
            self._source = iter(self._items)
        try:
            item = next(self._source)
        except StopIteration:
            self._left = 0
            raise
        self._left -= 1
        return item


class _RunningAverage(Generator[float | None, float, None]):
    """Ends only by close() or throw()."""

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0
        self._state = "created"

    def send(self, value: float) -> float | None:
        if self._state == "closed":
            raise StopIteration
        if self._state == "created":
            if value is not None:
                raise TypeError("can't send a value to a running average that has not begun")
            self._state = "running"
            return None
        self._total += value
        self._count += 1
        return self._total / self._count

    def throw(self, typ, val=None, tb=None):
        self._state = "closed"
        super().throw(typ, val, tb)


class _Session(Generator[int, None, None]):
    def __init__(self, log: list[str]) -> None:
        self._log = log
        self._state = "created"
        self._number = 0

    def send(self, value: None) -> int:
        if self._state == "closed":
            raise StopIteration
        if self._state == "created":
            if value is not None:
                raise TypeError("can't send a value to a session that has not begun")
            self._state = "open"
            self._log.append("open")
        self._number += 1
        return self._number

    def throw(self, typ, val=None, tb=None):
        self._end()
        super().throw(typ, val, tb)

    def _end(self) -> None:
        if self._state == "open":
            self._log.append("close")
        self._state = "closed"


class _Relay(Generator[Any, Any, list[Any]]):
    """Stands in "created", then in "running" with a part in front of it, then in "ended"."""

    def __init__(self, parts: tuple[Generator[Any, Any, Any], ...]) -> None:
        self._waiting = parts
        self._part: Generator[Any, Any, Any] | None = None
        self._results: tuple[Any, ...] = ()
        self._state = "created"

    def send(self, value: Any) -> Any:
        if self._state == "ended":
            raise StopIteration
        if self._state == "created":
            if value is not None:
                raise TypeError("can't send a value to a relay that has not begun")
            self._state = "running"
            return self._start_next()
        return self._step(lambda part: part.send(value))

    def throw(self, typ, val=None, tb=None):
        if self._state != "running":
            self._state = "ended"
            return super().throw(typ, val, tb)
        exc = typ if val is None else val
        return self._step(lambda part: part.throw(exc))

    def close(self) -> None:
        if self._state == "running":
            self._part.close()
        self._state = "ended"

    def _start_next(self) -> Any:
        if not self._waiting:
            self._state = "ended"
            raise StopIteration(list(self._results))
        self._part, self._waiting = self._waiting[0], self._waiting[1:]
        return self._step(next)

    def _step(self, talk) -> Any:
        try:
            return talk(self._part)
        except StopIteration as end:
            self._results += (end.value,)
        except BaseException:
            self._state = "ended"
            raise
        return self._start_next()


def countdown(start: int) -> Iterator[int]:
    """Yield start, start - 1, ... down to 1; nothing where start is below 1.

    Each number is worked out when it is asked for, and not before.
    """
    return _Countdown(start)


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    """Yield the first count items, or all of them where there are fewer.

    The items are asked for one at a time, and never one more than is yielded.
    """
    return _Take(count, items)


def running_average() -> Generator[float | None, float, None]:
    """Answer every number sent with the average of all numbers sent so far.

    The first next(), which starts it, gets None. It never ends by itself.
    """
    return _RunningAverage()


def session(log: list[str]) -> Generator[int, None, None]:
    """Append "open" to log when it starts and "close" however it ends; yield 1, 2, 3, ... between.

    It ends when it is closed, or when an exception is thrown into it;
    that exception goes on to the caller.
    """
    return _Session(log)


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    """Yield all that each part yields, one part after the other; return what they returned.

    What is sent or thrown in reaches the part that is running, and close() closes it.
    No part begins before the one in front of it has ended. The parts' return values
    come back as a list, in the order of the parts.
    """
    return _Relay(parts)
