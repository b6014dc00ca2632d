"""Generators: functions that can pause."""

from collections.abc import Generator, Iterable, Iterator
from itertools import count as count_from
from typing import Any, TypeVar

T = TypeVar("T")


def countdown(start: int) -> Iterator[int]:
    """Yield start, start - 1, ... down to 1; nothing where start is below 1.

    Each number is worked out when it is asked for, and not before.
    """
    while start > 0:
        yield start
        start -= 1


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    """Yield the first count items, or all of them where there are fewer.

    The items are asked for one at a time, and never one more than is yielded.
    """
    # zip asks its arguments from left to right and stops at the first that has
    # no more: with range on the left, the items are not asked once too often.
    for _, item in zip(range(count), items, strict=False):
        yield item


def running_average() -> Generator[float | None, float, None]:
    """Answer every number sent with the average of all numbers sent so far.

    The first next(), which starts it, gets None. It never ends by itself.
    """
    total = 0.0
    average = None
    for count in count_from(1):
        total += yield average
        average = total / count


def session(log: list[str]) -> Generator[int, None, None]:
    """Append "open" to log when it starts and "close" however it ends; yield 1, 2, 3, ... between.

    It ends when it is closed, or when an exception is thrown into it;
    that exception goes on to the caller.
    """
    log.append("open")
    try:
        yield from count_from(1)
    finally:
        # close() raises GeneratorExit at the yield, throw() whatever it was
        # given: finally sees them all and swallows none.
        log.append("close")


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    """Yield all that each part yields, one part after the other; return what they returned.

    What is sent or thrown in reaches the part that is running, and close() closes it.
    No part begins before the one in front of it has ended. The parts' return values
    come back as a list, in the order of the parts.
    """
    returned = []
    for part in parts:
        # yield from is a value too: the one that the part returned.
        returned.append((yield from part))
    return returned
