"""Pascal's triangle: an endless algorithm, kept in a frame."""

from collections.abc import Iterable, Iterator


def next_row(row: list[int]) -> list[int]:
    """Return the row below row: 1 at both ends, and between them the sums of neighbours.

    row itself stays as it is.
    """
    result = [1]
    i = 1
    while i < len(row):
        result.append(row[i - 1] + row[i])
        i = i + 1
    result.append(1)
    return result


def pascal_triangle() -> Iterator[list[int]]:
    """Yield the rows of Pascal's triangle, from [1] downwards, without end.

    Each row is worked out when it is asked for, and not before. A row that was
    given away stays as it is. The caller may change it: that changes none of
    the rows that come after it.
    """
    current = [1]
    while True:
        yield list(current)
        current = next_row(current)


def row(n: int) -> list[int]:
    """Return row n of the triangle, counted from 0: row(4) is [1, 4, 6, 4, 1].

    Each call returns a row that is the caller's own.
    """
    triangle = pascal_triangle()
    i = 0
    while i < n:
        next(triangle)
        i = i + 1
    return next(triangle)


def diagonal(k: int) -> Iterator[int]:
    """Yield entry k of row k, of row k + 1, of row k + 2, and so on without end.

    Rows and entries are counted from 0. The call works nothing out. Each entry is
    worked out when it is asked for, and with it no row below its own.
    """
    triangle = pascal_triangle()
    i = 0
    while i < k:
        next(triangle)
        i = i + 1
    while True:
        current = next(triangle)
        yield current[k]


def render(rows: Iterable[list[int]]) -> str:
    """Return a picture of rows: a line for each, in the middle, one space between its numbers.

    Each line is indented by half of what it lacks of the longest line's width,
    rounded down; nothing comes after its last number. A newline stands between two
    lines, and none at the end. No rows give "". Any iterable of rows that ends will
    do, and it is gone through once.
    """
    lines = []
    width = 0
    for numbers in rows:
        line = ""
        for number in numbers:
            if line != "":
                line = line + " "
            line = line + str(number)
        lines.append(line)
        if len(line) > width:
            width = len(line)
    picture = ""
    first = True
    for line in lines:
        if not first:
            picture = picture + "\n"
        first = False
        picture = picture + " " * ((width - len(line)) // 2) + line
    return picture
