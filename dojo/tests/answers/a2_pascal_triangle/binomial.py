"""A formula instead of a row above, and classes instead of generators."""

from collections.abc import Iterable, Iterator
from itertools import count
from math import comb


def next_row(row: list[int]) -> list[int]:
    return [comb(len(row), k) for k in range(len(row) + 1)]


class pascal_triangle(Iterator[list[int]]):  # noqa: N801
    def __init__(self) -> None:
        self.numbers = count()

    def __next__(self) -> list[int]:
        return row(next(self.numbers))


def row(n: int) -> list[int]:
    return [comb(n, k) for k in range(n + 1)]


def diagonal(k: int) -> Iterator[int]:
    return map(comb, count(k), iter(lambda: k, None))


def render(rows: Iterable[list[int]]) -> str:
    lines = [" ".join(map(str, numbers)) for numbers in rows]
    for i, line in enumerate(lines):
        widest = max(len(other) for other in lines)
        lines[i] = " " * ((widest - len(line)) // 2) + line
    return "\n".join(lines)
