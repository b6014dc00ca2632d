"""No yield anywhere: every generator is a class that remembers where it stands."""

from collections.abc import Generator, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class countdown(Iterator[int]):  # noqa: N801
    def __init__(self, start: int) -> None:
        self.left = start

    def __next__(self) -> int:
        if self.left <= 0:
            raise StopIteration
        self.left -= 1
        return self.left + 1


class take(Iterator[T]):  # noqa: N801
    def __init__(self, count: int, items: Iterable[T]) -> None:
        self.count = count
        self.items = iter(items)

    def __next__(self) -> T:
        if self.count <= 0:
            raise StopIteration
        self.count -= 1
        return next(self.items)


class Talk(Generator[Any, Any, Any]):
    """A generator whose only difficult method is the one that is thrown at."""

    ended = False

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any:
        self.ended = True
        raise kind


class running_average(Talk):  # noqa: N801
    def __init__(self) -> None:
        self.numbers: list[float] = []

    def send(self, value: Any, /) -> float | None:
        if value is None:
            return None
        self.numbers.append(value)
        return sum(self.numbers) / len(self.numbers)


class session(Talk):  # noqa: N801
    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.number = 0

    def send(self, value: Any, /) -> int:
        if self.ended:
            raise StopIteration
        if self.number == 0:
            self.log.append("open")
        self.number += 1
        return self.number

    def throw(self, *thrown: Any) -> int:
        if self.number and not self.ended:
            self.log.append("close")
        self.ended = True
        raise thrown[0]


class relay(Talk):  # noqa: N801
    def __init__(self, *parts: Generator[Any, Any, Any]) -> None:
        self.parts = list(parts)
        self.returned: list[Any] = []

    def send(self, value: Any, /) -> Any:
        return self._go_on(lambda part: part.send(value))

    def throw(self, *thrown: Any) -> Any:
        return self._go_on(lambda part: part.throw(*thrown))

    def _go_on(self, step: Any) -> Any:
        while self.parts:
            try:
                return step(self.parts[0])
            except StopIteration as end:
                self.returned.append(end.value)
                del self.parts[0]
                step = next
        raise StopIteration(self.returned)
