"""Pascal's triangle: an endless algorithm, kept in a frame."""

from collections.abc import Iterable, Iterator
from itertools import accumulate, islice, pairwise, repeat
from operator import itemgetter


def next_row(row: list[int]) -> list[int]:
    """Return the row below row: 1 at both ends, and between them the sums of neighbours.

    row itself stays as it is.
    """
    return list(map(sum, pairwise([0, *row, 0])))


def pascal_triangle() -> Iterator[list[int]]:
    """Yield the rows of Pascal's triangle, from [1] downwards, without end.

    Each row is worked out when it is asked for, and not before. A row that was
    given away stays as it is. The caller may change it: that changes none of
    the rows that come after it.
    """
    return map(list, accumulate(repeat([1]), lambda row, _: next_row(row)))


def row(n: int) -> list[int]:
    """Return row n of the triangle, counted from 0: row(4) is [1, 4, 6, 4, 1].

    Each call returns a row that is the caller's own.
    """
    return next(islice(pascal_triangle(), n, None))


def diagonal(k: int) -> Iterator[int]:
    """Yield entry k of row k, of row k + 1, of row k + 2, and so on without end.

    Rows and entries are counted from 0. The call works nothing out. Each entry is
    worked out when it is asked for, and with it no row below its own.
    """
    return map(itemgetter(k), islice(pascal_triangle(), k, None))


def render(rows: Iterable[list[int]]) -> str:
    """Return a picture of rows: a line for each, in the middle, one space between its numbers.

    Each line is indented by half of what it lacks of the longest line's width,
    rounded down; nothing comes after its last number. A newline stands between two
    lines, and none at the end. No rows give "". Any iterable of rows that ends will
    do, and it is gone through once.
    """
    lines = [" ".join(map(str, row)) for row in rows]
    width = max(map(len, lines), default=0)
    return "\n".join(line.rjust((width + len(line)) // 2) for line in lines)
