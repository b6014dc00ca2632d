"""Rows that nobody can change; the workbench may then be given away."""

from collections.abc import Iterable, Iterator
from itertools import count, pairwise


def next_row(row: Iterable[int]) -> tuple[int, ...]:
    return (1, *(left + right for left, right in pairwise(row)), 1)


def pascal_triangle() -> Iterator[tuple[int, ...]]:
    row: tuple[int, ...] = (1,)
    while True:
        yield row
        row = next_row(row)


def row(n: int) -> tuple[int, ...]:
    return next(row for number, row in enumerate(pascal_triangle()) if number == n)


def diagonal(k: int) -> Iterator[int]:
    return (row(n)[k] for n in count(k))


def render(rows: Iterable[Iterable[int]]) -> str:
    lines = [" ".join(str(number) for number in row) for row in list(rows)]
    width = max([0, *(len(line) for line in lines)])
    return "\n".join(f"{line:^{width}}".rstrip() for line in lines)
