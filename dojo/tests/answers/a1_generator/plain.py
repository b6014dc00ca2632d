"""Generators: functions that can pause."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def countdown(start: int) -> Iterator[int]:
    """Yield start, start - 1, ... down to 1; nothing where start is below 1.

    Each number is worked out when it is asked for, and not before.
    """
    while start > 0:
        yield start
        start = start - 1


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    """Yield the first count items, or all of them where there are fewer.

    The items are asked for one at a time, and never one more than is yielded.
    """
    iterator = iter(items)
    n = 0
    while n < count:
        try:
            item = next(iterator)
        except StopIteration:
            return
        yield item
        n = n + 1


def running_average() -> Generator[float | None, float, None]:
    """Answer every number sent with the average of all numbers sent so far.

    The first next(), which starts it, gets None. It never ends by itself.
    """
    total = 0
    count = 0
    average = None
    while True:
        number = yield average
        total = total + number
        count = count + 1
        average = total / count


def session(log: list[str]) -> Generator[int, None, None]:
    """Append "open" to log when it starts and "close" however it ends; yield 1, 2, 3, ... between.

    It ends when it is closed, or when an exception is thrown into it;
    that exception goes on to the caller.
    """
    log.append("open")
    number = 1
    try:
        while True:
            yield number
            number = number + 1
    finally:
        log.append("close")


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    """Yield all that each part yields, one part after the other; return what they returned.

    What is sent or thrown in reaches the part that is running, and close() closes it.
    No part begins before the one in front of it has ended. The parts' return values
    come back as a list, in the order of the parts.
    """
    results = []
    for part in parts:
        result = yield from part
        results.append(result)
    return results
