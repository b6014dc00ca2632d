"""Pascal's triangle: an endless algorithm, kept in a frame."""

from collections.abc import Iterable, Iterator


class _Triangle(Iterator[list[int]]):
    """Holds the row that was given last, as a tuple: nobody can write on it."""

    def __init__(self) -> None:
        self._last: tuple[int, ...] | None = None

    def __next__(self) -> tuple[int, ...]:
        self._last = (1,) if self._last is None else next_row(self._last)
        return self._last


class _Diagonal(Iterator[int]):
    def __init__(self, k: int) -> None:
        self._k = k
        self._rows = _Triangle()
        self._begun = False

    def __next__(self) -> int:
        if not self._begun:
            self._begun = True
            for _ in range(self._k):
                next(self._rows)
        return next(self._rows)[self._k]


def next_row(row: list[int]) -> list[int]:
    """Return the row below row: 1 at both ends, and between them the sums of neighbours.

    row itself stays as it is.
    """
    left = (0, *row)
    right = (*row, 0)
    return tuple(a + b for a, b in zip(left, right, strict=True))


def pascal_triangle() -> Iterator[list[int]]:
    """Yield the rows of Pascal's triangle, from [1] downwards, without end.

    Each row is worked out when it is asked for, and not before. A row that was
    given away stays as it is. The caller may change it: that changes none of
    the rows that come after it.
    """
    return _Triangle()


def row(n: int) -> list[int]:
    """Return row n of the triangle, counted from 0: row(4) is [1, 4, 6, 4, 1].

    Each call returns a row that is the caller's own.
    """
    triangle = pascal_triangle()
    for _ in range(n):
        next(triangle)
    return next(triangle)


def diagonal(k: int) -> Iterator[int]:
    """Yield entry k of row k, of row k + 1, of row k + 2, and so on without end.

    Rows and entries are counted from 0. The call works nothing out. Each entry is
    worked out when it is asked for, and with it no row below its own.
    """
    return _Diagonal(k)


def render(rows: Iterable[list[int]]) -> str:
    """Return a picture of rows: a line for each, in the middle, one space between its numbers.

    Each line is indented by half of what it lacks of the longest line's width,
    rounded down; nothing comes after its last number. A newline stands between two
    lines, and none at the end. No rows give "". Any iterable of rows that ends will
    do, and it is gone through once.
    """
    lines = tuple(" ".join(map(str, numbers)) for numbers in rows)
    width = max((len(line) for line in lines), default=0)
    return "\n".join(" " * ((width - len(line)) // 2) + line for line in lines)
