"""Every function calls itself; a triangle stands on another triangle."""

from collections.abc import Iterable, Iterator
from itertools import accumulate, repeat


def next_row(row: list[int]) -> list[int]:
    below = [*row, 0]
    for i in range(len(row), 0, -1):
        below[i] += below[i - 1]
    return below


def pascal_triangle() -> Iterator[list[int]]:
    yield [1]
    for above in pascal_triangle():
        yield next_row(above)


def row(n: int) -> list[int]:
    return [1] if n == 0 else next_row(row(n - 1))


def diagonal(k: int) -> Iterator[int]:
    return repeat(1) if k == 0 else accumulate(diagonal(k - 1))


def render(rows: Iterable[list[int]]) -> str:
    picture: list[str] = []
    for numbers in rows:
        line = " ".join(map(str, numbers))
        picture.append(line)
    if not picture:
        return ""
    width = len(max(picture, key=len))
    return "\n".join(line.rjust(len(line) + (width - len(line)) // 2) for line in picture)
