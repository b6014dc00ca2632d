"""A generator runs when it is asked, stops where it yields, and can be spoken to."""

import pytest

from dojo.kit.lazy import kept_after_first
from dojo.kit.sources import CountingSource, listed
from katas.a1_generator import countdown, relay, running_average, session, take


class TestCountdown:
    def test_counts_down_to_one(self):
        assert listed(countdown(3)) == [3, 2, 1]

    @pytest.mark.parametrize("start", [0, -2])
    def test_below_one_yields_nothing(self, start):
        assert listed(countdown(start)) == [], f"{start} is below 1"

    def test_next_works_out_one_number(self):
        kept = kept_after_first(lambda: countdown(100_000))
        assert kept < 1_000, f"the first next() left {kept:,} objects in memory: numbers nobody asked for"

    def test_two_countdowns_do_not_meddle(self):
        first, second = countdown(3), countdown(3)
        assert [next(first), next(second), next(first), next(second)] == [3, 3, 2, 2]

    def test_once_used_up_stays_empty(self):
        numbers = countdown(2)
        listed(numbers)
        assert listed(numbers) == [], "a generator runs once: whoever wants it again makes a new one"


class TestTake:
    def test_hands_on_the_first_items(self):
        assert list(take(2, "abc")) == ["a", "b"]

    def test_short_input_simply_ends(self):
        handed_on = list(take(5, "ab"))
        assert handed_on == ["a", "b"]

    def test_call_asks_the_source_for_nothing(self):
        source = CountingSource("abc")
        take(2, source)
        assert source.asked == 0, "calling take() only makes it: the first next() runs it"

    def test_each_next_asks_for_one_item(self):
        source = CountingSource("abc")
        assert next(take(2, source)) == "a"
        assert source.asked == 1, "one item was handed on, so one had to be asked for"

    def test_never_asks_for_one_item_more(self):
        source = CountingSource("abc")
        list(take(2, source))
        assert source.asked == 2, "take(2, source) asked for an item that it does not hand on"

    def test_nothing_wanted_asks_for_nothing(self):
        source = CountingSource("abc")
        assert list(take(0, source)) == []
        assert source.asked == 0, "take(0, source) asked for an item that it does not hand on"


class TestRunningAverage:
    def test_starting_it_gets_none(self):
        assert next(running_average()) is None

    def test_each_number_gets_the_average_so_far(self):
        average = running_average()
        next(average)
        assert [average.send(10), average.send(15), average.send(2)] == [10, 12.5, 9]

    def test_two_averages_do_not_meddle(self):
        first, second = running_average(), running_average()
        next(first), next(second)
        first.send(100)
        assert second.send(2) == 2, "100 was sent to another running_average()"


class TestSession:
    def test_call_logs_nothing(self):
        log = []
        session(log)
        assert log == [], "calling session() only makes it: the first next() opens it"

    def test_open_is_logged_at_the_first_next(self):
        log = []
        numbers = session(log)
        assert [next(numbers), next(numbers), next(numbers)] == [1, 2, 3]
        assert log == ["open"]
        numbers.close()

    def test_close_is_logged_when_closed(self):
        log = []
        numbers = session(log)
        next(numbers)
        numbers.close()
        assert log == ["open", "close"], "numbers.close() ends it where it stands, at a yield"

    def test_closed_session_yields_no_more(self):
        numbers = session([])
        next(numbers)
        numbers.close()
        with pytest.raises(StopIteration):
            next(numbers)

    def test_exception_closes_it_and_goes_on_to_the_caller(self):
        log, thrown = [], ZeroDivisionError()
        numbers = session(log)
        next(numbers)
        with pytest.raises(ZeroDivisionError) as caught:
            numbers.throw(thrown)
        same = caught.value is thrown
        assert same, "another exception came out than was thrown in"
        assert log == ["open", "close"], "an exception was thrown in"

    def test_keyboard_interrupt_closes_it_as_well(self):
        log = []
        numbers = session(log)
        next(numbers)
        with pytest.raises(KeyboardInterrupt):
            numbers.throw(KeyboardInterrupt())
        assert log == ["open", "close"], "a KeyboardInterrupt is no Exception, but it ends it as well"


def spell(word):
    yield from word


def echo(name):
    heard = yield f"{name} speaks"
    yield f"{name} heard {heard}"
    return f"{name} is done"


def patch_up():
    try:
        yield "whole"
    except ZeroDivisionError:
        yield "patched up"


def finish(generator):
    """Run a generator to its end; return what it yielded, and what it returned."""
    yielded = []
    while True:
        try:
            yielded.append(next(generator))
        except StopIteration as end:
            return yielded, end.value


class TestRelay:
    def test_parts_speak_one_after_the_other(self):
        assert listed(relay(spell("ab"), spell("cd"))) == ["a", "b", "c", "d"]

    def test_call_starts_no_part(self):
        log = []
        relay(session(log))
        assert log == [], "calling relay() only makes it: the first next() starts the first part"

    def test_no_part_begins_before_its_turn(self):
        log = []
        talk = relay(spell("ab"), session(log))
        assert [next(talk), next(talk)] == ["a", "b"]
        assert log == [], "the second part was started while the first was running"

    def test_returns_what_the_parts_returned(self):
        _, returned = finish(relay(echo("a"), echo("b")))
        cause = "one result for each part, in a list: what it returned is the value of its `yield from`"
        assert returned == ["a is done", "b is done"], cause

    def test_sent_value_reaches_the_running_part(self):
        talk = relay(echo("a"), echo("b"))
        next(talk)
        assert talk.send("hello") == "a heard hello"

    def test_value_that_ends_a_part_does_not_start_the_next(self):
        talk = relay(echo("a"), echo("b"))
        next(talk)
        talk.send("hello")
        answer = talk.send("goodbye")
        assert answer == "b speaks"

    def test_thrown_exception_reaches_the_running_part(self):
        talk = relay(patch_up())
        next(talk)
        answer = talk.throw(ZeroDivisionError())
        assert answer == "patched up"

    def test_running_part_is_closed_with_the_relay(self):
        log = []
        part = session(log)  # held here, so that nobody else closes it
        talk = relay(part)
        next(talk)
        talk.close()
        assert log == ["open", "close"], "the part that was running was not closed"
        part.close()

    def test_no_parts_return_an_empty_list(self):
        assert finish(relay()) == ([], [])
