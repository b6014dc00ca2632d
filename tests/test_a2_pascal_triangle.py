"""An endless triangle in a frame: worked out row by row, and given away without regret."""

import io
from itertools import islice
from math import comb

import pytest

import katas.a2_pascal_triangle as kata
from dojo.kit.lazy import kept_after_first, patient
from dojo.kit.rows import Row, scribble_on
from katas.a2_pascal_triangle import next_row, render

# The same functions; but a loop without end is told so before it fills the memory.
pascal_triangle = patient(kata.pascal_triangle)
row = patient(kata.row)
diagonal = patient(kata.diagonal)

WORKBENCH = "you gave away the list you go on working with"


@pytest.fixture
def lowest_row(monkeypatch):
    """Say which is the lowest row that next_row has worked out: row n adds up to 2 ** n."""
    sums = [1]

    def watched(row):
        below = next_row(row)
        sums.append(sum(below))
        return below

    monkeypatch.setattr(kata, "next_row", watched)
    return lambda: max(sums).bit_length() - 1


class TestNextRow:
    def test_ends_are_one(self):
        assert next_row([1]) == Row([1, 1])

    def test_neighbours_add_up_between_the_ends(self):
        assert next_row([1, 4, 6, 4, 1]) == Row([1, 5, 10, 10, 5, 1])

    def test_row_itself_stays_as_it_is(self):
        above = [1, 2, 1]
        next_row(above)
        assert above == [1, 2, 1], "next_row changed the row that it was given"


class TestPascalTriangle:
    def test_first_five_rows_print_as_shown(self):
        page = io.StringIO()
        for numbers in islice(pascal_triangle(), 5):
            print(list(numbers), file=page)
        assert page.getvalue().splitlines() == [
            "[1]",
            "[1, 1]",
            "[1, 2, 1]",
            "[1, 3, 3, 1]",
            "[1, 4, 6, 4, 1]",
        ]

    def test_new_triangle_starts_at_the_top(self):
        list(islice(pascal_triangle(), 3))
        assert next(pascal_triangle()) == Row([1]), "it went on where another triangle had stopped"

    def test_rows_go_on_and_on(self):
        row_80 = next(islice(pascal_triangle(), 80, None), None)
        assert row_80 is not None, "the triangle ended before row 80, but it has no last row"
        assert sum(row_80) == 2**80, "every row adds up to twice the row above it"

    def test_rows_given_away_stay_as_they_were(self):
        given = []  # each row, and what it was when it was given away
        for latest, numbers in enumerate(islice(pascal_triangle(), 5)):
            for number, (kept, before) in enumerate(given):
                changed = list(kept) != before
                assert not changed, (
                    f"row {number} changed from {before} to {list(kept)} "
                    f"after row {latest} was asked for: {WORKBENCH}"
                )
            given.append((numbers, list(numbers)))

    def test_caller_may_change_the_row_it_got(self):
        triangle = pascal_triangle()
        scribble_on(next(triangle))
        assert next(triangle) == Row([1, 1]), f"the caller changed row 0, as it may: {WORKBENCH}"

    def test_changed_rows_change_no_row_below(self):
        triangle = pascal_triangle()
        for _ in range(4):
            scribble_on(next(triangle))
        assert next(triangle) == Row([1, 4, 6, 4, 1]), f"the caller changed the rows above: {WORKBENCH}"

    def test_first_row_keeps_no_others_in_memory(self):
        kept = kept_after_first(pascal_triangle)
        assert kept < 1_000, f"the first next() left {kept:,} objects in memory: rows nobody asked for"

    def test_no_row_is_worked_out_early(self, lowest_row):
        triangle = pascal_triangle()
        for number in range(4):
            next(triangle)
            lowest = lowest_row()
            assert lowest <= number, f"row {lowest} was worked out when row {number} was asked for"

    def test_two_triangles_do_not_meddle(self):
        first, second = pascal_triangle(), pascal_triangle()
        rows = [next(first), next(second), next(first), next(second)]
        assert rows == [Row([1]), Row([1]), Row([1, 1]), Row([1, 1])], "two triangles share one state"


class TestRow:
    def test_rows_are_counted_from_zero(self):
        assert row(4) == Row([1, 4, 6, 4, 1]), "row(0) is the top, so row(4) is the fifth row, and only that"

    def test_second_call_starts_at_the_top(self):
        row(3)
        assert row(3) == Row([1, 3, 3, 1]), "a triangle that was used goes on from where it stands"

    def test_row_zero_is_the_top(self):
        assert row(0) == Row([1])

    def test_numbers_grow_beyond_one_digit(self):
        assert row(6) == Row([1, 6, 15, 20, 15, 6, 1])

    def test_caller_may_change_the_row_it_got(self):
        scribble_on(row(2))
        assert row(2) == Row([1, 2, 1]), "the caller changed what another row(2) gave it, as it may"


class TestDiagonal:
    @pytest.mark.parametrize(
        ("k", "entries"),
        [(0, [1, 1, 1, 1]), (1, [1, 2, 3, 4]), (2, [1, 3, 6, 10]), (3, [1, 4, 10, 20])],
        ids=["0", "1", "2", "3"],
    )
    def test_begins_with_entry_k_of_row_k(self, k, entries):
        assert list(islice(diagonal(k), 4)) == entries, f"entry {k} of row {k}, of row {k + 1}, and so on"

    def test_entries_go_on_and_on(self):
        entry = next(islice(diagonal(2), 60, None), "no entry")
        assert entry == comb(62, 2), "a diagonal has no last entry"

    def test_call_works_nothing_out(self, lowest_row):
        diagonal(3)
        lowest = lowest_row()
        assert lowest == 0, f"diagonal(3) worked out row {lowest} at the call: the first next() runs it"

    def test_no_row_is_worked_out_early(self, lowest_row):
        entries = diagonal(2)
        for number in (2, 3, 4):
            next(entries)
            lowest = lowest_row()
            assert lowest <= number, f"row {lowest} was worked out for an entry of row {number}"

    def test_two_diagonals_do_not_meddle(self):
        first, second = diagonal(1), diagonal(1)
        entries = [next(first), next(second), next(first), next(second)]
        assert entries == [1, 1, 2, 2], "two diagonals share one state"


class TestRender:
    def test_numbers_stand_one_space_apart(self):
        assert render([[1, 2, 1]]) == "1 2 1"

    def test_nothing_comes_after_the_last_number(self):
        assert render([[1], [1, 1]]) == " 1\n1 1", "nothing comes after the last number of a line"

    def test_rows_make_a_triangle(self):
        rows = [[1], [1, 1], [1, 2, 1], [1, 3, 3, 1], [1, 4, 6, 4, 1], [1, 5, 10, 10, 5, 1]]
        assert render(rows).split("\n") == [
            "      1",
            "     1 1",
            "    1 2 1",
            "   1 3 3 1",
            "  1 4 6 4 1",
            "1 5 10 10 5 1",
        ]

    def test_longest_line_decides_where_the_middle_is(self):
        assert render([[1, 2, 1], [1]]) == "1 2 1\n  1"

    def test_half_a_space_is_rounded_down(self):
        assert render([[1, 1], [10]]) == "1 1\n10", "it lacks one space: half of that, rounded down, is none"

    def test_one_shot_iterator_will_do(self):
        assert render(iter([[1], [1, 1]])) == " 1\n1 1", "an iterator can be gone through only once"

    def test_no_rows_are_an_empty_picture(self):
        assert render([]) == ""
