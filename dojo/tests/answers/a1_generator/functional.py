"""Generators: functions that can pause."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from itertools import count as count_from, islice
from typing import Any, TypeVar

T = TypeVar("T")


def countdown(start: int) -> Iterator[int]:
    """Yield start, start - 1, ... down to 1; nothing where start is below 1.

    Each number is worked out when it is asked for, and not before.
    """
    return iter(range(start, 0, -1))


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    """Yield the first count items, or all of them where there are fewer.

    The items are asked for one at a time, and never one more than is yielded.
    """
    yield from islice(items, max(count, 0))


def running_average() -> Generator[float | None, float, None]:
    """Answer every number sent with the average of all numbers sent so far.

    The first next(), which starts it, gets None. It never ends by itself.
    """
    total = yield None
    for seen in count_from(1):
        total += yield total / seen


def session(log: list[str]) -> Generator[int, None, None]:
    """Append "open" to log when it starts and "close" however it ends; yield 1, 2, 3, ... between.

    It ends when it is closed, or when an exception is thrown into it;
    that exception goes on to the caller.
    """
    with ExitStack() as stack:
        log.append("open")
        stack.callback(log.append, "close")
        yield from count_from(1)


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    """Yield all that each part yields, one part after the other; return what they returned.

    What is sent or thrown in reaches the part that is running, and close() closes it.
    No part begins before the one in front of it has ended. The parts' return values
    come back as a list, in the order of the parts.
    """
    if not parts:
        return []
    first, *rest = parts
    return [(yield from first), *(yield from relay(*rest))]
