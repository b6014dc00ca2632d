"""Only while, next, send and throw: what for, zip and yield from do, written out."""

from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def countdown(start: int) -> Iterator[int]:
    if start <= 0:
        return
    yield start
    yield from countdown(start - 1)


def take(count: int, items: Iterable[T]) -> Iterator[T]:
    source = iter(items)
    taken = 0
    while taken < count:
        try:
            item = next(source)
        except StopIteration:
            return
        taken += 1
        yield item


def running_average() -> Generator[float | None, float, None]:
    average, count = 0.0, 0
    number = yield None
    while True:
        count += 1
        average += (number - average) / count
        number = yield average


def session(log: list[str]) -> Generator[int, None, None]:
    number = 0
    try:
        log.append("open")
        while True:
            number += 1
            yield number
    except GeneratorExit:
        log.append("close")
    except BaseException as error:
        log.append("close")
        raise error


def relay(*parts: Generator[Any, Any, Any]) -> Generator[Any, Any, list[Any]]:
    returned = []
    for part in parts:
        try:
            value = next(part)
            while True:
                try:
                    sent = yield value
                except GeneratorExit:
                    part.close()
                    raise
                except BaseException as error:
                    value = part.throw(error)
                else:
                    value = next(part) if sent is None else part.send(sent)
        except StopIteration as end:
            returned.append(end.value)
    return returned
