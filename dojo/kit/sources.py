"""Things to iterate over, that notice how they are used, and a safe way to iterate over the learner's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")


class CountingSource(Generic[T]):
    """An iterator that counts in `asked` how many times it was asked for an item."""

    def __init__(self, items: Iterable[T]) -> None:
        self.asked = 0
        self._items = iter(items)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        self.asked += 1
        return next(self._items)


def listed(items: Iterable[T], most: int = 12) -> list[T]:
    """Return the items as a list; only the first ones where there are more, or no end of them."""
    return list(islice(items, most))
