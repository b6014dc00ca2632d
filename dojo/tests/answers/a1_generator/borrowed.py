"""What the standard library has already, recursion where it has nothing, and a closure."""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from statistics import mean
from typing import Any, TypeVar

T = TypeVar("T")


def countdown(start: int) -> Iterator[int]:
    return iter(range(start, 0, -1))


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    return islice(items, count)


def running_average() -> Generator[float | None, float, None]:
    numbers: list[float] = []

    def answers() -> Generator[float | None, float, None]:
        numbers.append((yield None))
        while True:
            numbers.append((yield mean(numbers)))

    return answers()


def session(log: list[str]) -> Generator[int, None, None]:
    number = 1
    log.append("open")
    while True:
        try:
            yield number
        except BaseException:
            log.append("close")
            raise
        number += 1


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    if not parts:
        return []
    first = yield from parts[0]
    rest = yield from relay(*parts[1:])
    return [first, *rest]
