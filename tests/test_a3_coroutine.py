"""A coroutine stops where somebody yields, and whoever drives it is its event loop."""

import pytest

from dojo.kit.by_hand import Paused, Returned, ask, comes_out, depth, left_open, step, steps
from dojo.kit.causes import must_not_raise, must_raise
from dojo.kit.small_tasks import Stop, fail, give, stay
from dojo.kit.talkers import Mortal, ask_again, count, fail_after, interview, refuse, talk, three_deep
from katas.a3_coroutine import Pausing, drive, pause, round_robin

BOTTOM = "await only hands on: what stops a coroutine is a yield, at the bottom of all awaits"


class TestPause:
    def test_value_goes_out_to_the_driver(self):
        assert step(talk(pause)) == Paused("colour?"), BOTTOM

    @pytest.mark.parametrize("answer", ["blue", None, 0, ""])
    def test_what_the_driver_sends_comes_back(self, answer):
        due = [Paused("colour?"), Returned(f"heard {answer}")]
        assert steps(talk(pause), answer) == due, "what is sent in is the value of the yield"

    def test_what_the_driver_throws_is_raised_there(self):
        due = [Paused("colour?"), Returned("was told KeyError('no colour')")]
        assert steps(talk(pause), KeyError("no colour")) == due

    def test_all_awaits_above_it_stand_still(self):
        assert steps(three_deep(pause), "blue") == [Paused("colour?"), Returned("heard blue")]


class TestPausing:
    def test_value_goes_out_to_the_driver(self):
        assert step(talk(Pausing)) == Paused("colour?"), BOTTOM

    @pytest.mark.parametrize("answer", ["blue", None, 0, ""])
    def test_what_the_driver_sends_comes_back(self, answer):
        due = [Paused("colour?"), Returned(f"heard {answer}")]
        cause = "what is sent in goes to the iterator's send, and is what the await has to give"
        assert steps(talk(Pausing), answer) == due, cause

    def test_what_the_driver_throws_is_raised_there(self):
        due = [Paused("colour?"), Returned("was told KeyError('no colour')")]
        assert steps(talk(Pausing), KeyError("no colour")) == due

    def test_stop_iteration_thrown_in_is_no_answer(self):
        with must_raise(RuntimeError, "a StopIteration was thrown in, and the await took it for its end"):
            steps(talk(Pausing), StopIteration("blue"))

    def test_same_one_pauses_at_every_await(self):
        async def ask_twice():
            colour = Pausing("colour?")
            return [await colour, await colour]

        answered_twice = [Paused("colour?"), Paused("colour?"), Returned(["blue", "red"])]
        cause = "what __await__ returns runs once, like any generator: each await is due a new one"
        assert steps(ask_twice(), "blue", "red") == answered_twice, cause

    def test_two_may_await_the_same_one_at_once(self):
        colour = Pausing("colour?")
        first, second = talk(lambda value: colour), talk(lambda value: colour)
        cause = "each await is due an iterator of its own, though the one before has not ended"
        assert [step(first), step(second)] == [Paused("colour?"), Paused("colour?")], cause
        assert [step(first, "blue"), step(second, "red")] == [Returned("heard blue"), Returned("heard red")]


class TestDrive:
    def test_returns_what_the_coroutine_returned(self):
        cause = "what a coroutine returns is the value of its StopIteration"
        assert drive(give(42), str) == 42, cause

    def test_exception_of_the_coroutine_comes_out(self):
        error = ZeroDivisionError()
        with comes_out(error, "it ended the coroutine: it is neither swallowed nor thrown in again"):
            drive(Mortal(fail(error)), str)

    def test_answer_is_given_each_value_in_turn(self):
        asked = []
        drive(interview([]), asked.append)
        assert asked == ["name?", "age?"], "each value that the coroutine paused with is due, once"

    def test_what_answer_returns_is_the_value_of_the_await(self):
        log = []
        drive(interview(log), {"name?": "Ada", "age?": 36}.get)
        assert log == ["Ada", 36], "what answer returned has to be sent into the coroutine"

    def test_await_that_pauses_nowhere_asks_nobody(self):
        async def busy():
            return [await give(1), await give(await give(2)), await ask("three")]

        asked = []
        drive(busy(), asked.append)
        assert asked == ["three"], f"it awaits four times and pauses once: {BOTTOM}"

    @pytest.mark.parametrize("value", [None, 0, "", False])
    def test_any_value_may_be_asked_and_answered(self, value):
        async def asker():
            return [await ask(value), await ask("and?")]

        answers = {value: "asked", "and?": value}
        cause = f"{value!r} is a value like any other, as a question and as an answer"
        assert drive(asker(), answers.__getitem__) == ["asked", value], cause

    @pytest.mark.parametrize("error", [LookupError(), Stop(), KeyboardInterrupt(), SystemExit()])
    def test_exception_of_answer_is_raised_at_the_await(self, error):
        def answer(question):
            if question == "name?":
                raise error
            return "Countess"

        cause = "what answer raises is thrown in, and what the coroutine then pauses with is answered"
        with must_not_raise(type(error), cause):
            assert drive(ask_again(), answer) == "Countess", cause

    @pytest.mark.parametrize("error", [LookupError(), Stop(), KeyboardInterrupt(), SystemExit()])
    def test_exception_that_nobody_catches_comes_out(self, error):
        log = []
        with comes_out(error, "the exception that answer raised is due"):
            drive(Mortal(interview(log)), refuse(error))
        assert log == [type(error).__name__], "it is raised at the await first: there may be a finally"

    def test_stop_iteration_of_answer_is_not_the_end(self):
        async def asker():
            try:
                return [await ask("name?"), await ask("age?")]
            except RuntimeError:  # what Python makes of a StopIteration that is thrown in
                return "no more answers"

        answers = iter(["Ada"])
        cause = "the StopIteration came out of answer: only one out of the coroutine is its end"
        assert drive(asker(), lambda value: next(answers)) == "no more answers", cause

    def test_finished_coroutine_is_not_driven_again(self):
        used = Mortal(give(42))
        drive(used, str)
        with pytest.raises(RuntimeError):
            drive(used, str)

    def test_many_pauses_do_not_fill_the_stack(self):
        depths = []

        async def asker():
            for number in range(50):
                await ask(number)

        drive(asker(), lambda number: depths.append(depth()))
        deeper = depths[-1] - depths[0]
        assert deeper < 40, f"50 pauses, and answer was called {deeper} calls deeper: soon the stack is full"


class TestRoundRobin:
    def test_each_takes_a_step_in_turn(self):
        log = []
        round_robin([count(log, "a", 2), count(log, "b", 2)])
        assert log == ["a0", "b0", "a1", "b1", "a ends", "b ends"], "a step goes on to the next pause"

    def test_who_ends_costs_nobody_a_turn(self):
        log = []
        round_robin([count(log, "a", 1), count(log, "b", 2), count(log, "c", 2)])
        cause = "a left the round: the turn after that is b's"
        assert log == ["a0", "b0", "c0", "a ends", "b1", "c1", "b ends", "c ends"], cause

    def test_results_stand_in_the_order_given(self):
        results = round_robin([count([], "slow", 3), count([], "quick", 1), give(None)])
        assert results == ["slow", "quick", None], "who ends first is not who was given first"

    def test_pause_is_answered_with_none(self):
        async def asker():
            return [await ask("colour?"), await ask(0)]

        assert round_robin([asker()]) == [[None, None]]

    @pytest.mark.parametrize("number", [0, 3])
    def test_any_iterable_of_coroutines_will_do(self, number):
        assert round_robin(give(n) for n in range(number)) == [*range(number)]

    @pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()])
    def test_exception_comes_out_when_all_are_closed(self, error):
        log = []
        others = [count(log, "a", 9), count(log, "b", 9)]
        with comes_out(error, "one of the coroutines raised it"):
            round_robin([others[0], fail_after(1, error), others[1]])
        assert log[:3] == ["a0", "b0", "a1"], "before the exception, everybody had a turn"
        assert sorted(log[3:]) == ["a ends", "b ends"], "one failed: the others are closed where they stand"

    def test_who_never_began_is_closed_as_well(self):
        late = give(42)
        with pytest.raises(ZeroDivisionError):
            round_robin([fail(ZeroDivisionError()), late])
        assert left_open(late) == [], "it was made and never begun: Python warns of one that nobody awaits"

    @pytest.mark.parametrize("error", [LookupError(), KeyboardInterrupt()])
    def test_cleanup_that_fails_keeps_nobody_from_being_closed(self, error):
        others = [stay([], "a", error), stay([], "b", error)]
        with pytest.raises((ZeroDivisionError, type(error))):
            round_robin([*others, fail(ZeroDivisionError())])
        cause = "a finally that raises ends its own coroutine, and not the closing of the others"
        assert left_open(*others) == [], cause
