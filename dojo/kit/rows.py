"""Rows of numbers: what is due, and what careless callers do to them."""

from __future__ import annotations

from collections.abc import Sequence


class Row(list[int]):
    """A row that is due: equal to a list and to a tuple of the same ints, and to nothing else.

    1.0 is equal to 1, but it does not look like it.
    """

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, list | tuple):
            return NotImplemented
        return list(self) == list(other) and all(isinstance(number, int) for number in other)


def scribble_on(row: Sequence[int]) -> None:
    """Overwrite the first number of a row, and append one; a tuple does not let us."""
    if isinstance(row, list):
        row[0] = 99
        row.append(99)
