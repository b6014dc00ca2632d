"""Waiting together: nobody waits for a turn, nobody is left behind, and no failure goes unheard."""

import asyncio
import gc
import weakref

import pytest

from dojo.kit.cancel import cancel_task_at
from dojo.kit.jobs import LOST, Jobs, cancelled_everywhere, closed, forgotten, in_flight, outcome, told_by
from katas.b1_tasks import Background, all_or_nothing, first_of, run_together

pytestmark = pytest.mark.asyncio


@pytest.fixture
def job():
    return Jobs()


class TestRunTogether:
    async def test_functions_are_in_flight_together(self):
        assert await in_flight(run_together) == 3, "it was over before all three had ended"

    async def test_results_come_in_the_order_of_functions(self, job):
        assert await run_together(job("slow", 2), job("quick", 1)) == ["slow", "quick"]

    async def test_no_functions_have_no_results(self):
        assert await run_together() == []

    async def test_failure_stops_nobody_else(self, job):
        came = await outcome(run_together(job("fails", 1, fails=LOST), job("slow", 2)))
        assert job.ended == {"fails": "failed", "slow": "returned"}, "one failed at 1, the other had until 2"
        assert came == ("ValueError: lost", 2), "the failure waits until the last one has ended"

    async def test_of_two_failures_the_first_in_order_comes_out(self, job):
        late, early = job("late", 2, fails=LOST), job("early", 1, fails=KeyError("early"))
        assert await outcome(run_together(late, early)) == ("ValueError: lost", 2)

    async def test_job_that_ends_cancelled_has_no_result(self, job):
        came = await outcome(run_together(job("ends", 1, fails=asyncio.CancelledError()), job("slow", 2)))
        assert came == ("CancelledError", 2), "nobody here has cancelled it, and it has no result to return"

    async def test_exception_that_is_returned_is_a_result(self, job):
        assert await run_together(job("looks", 1, returns=LOST)) == [LOST], "it was returned, and not raised"

    async def test_cancelled_anywhere_it_leaves_nobody_running(self):
        await cancelled_everywhere(lambda job: run_together(job("a", 1), job("b", 2, tidying=1, last=LOST)))


class TestAllOrNothing:
    async def test_functions_are_in_flight_together(self):
        assert await in_flight(all_or_nothing) == 3, "it was over before all three had ended"

    async def test_results_come_in_the_order_of_functions(self, job):
        assert await all_or_nothing(job("slow", 2), job("quick", 1)) == ["slow", "quick"]

    async def test_failure_cancels_the_others_and_waits(self, job):
        _, seconds = await outcome(all_or_nothing(job("slow", tidying=2), job("fails", 1, fails=LOST)))
        assert job.ended["slow"] == "cancelled", "at 1 all was lost, and slow had 3599 seconds to go"
        assert seconds == 3, "one failed at 1, and the other then tidied up for 2 seconds"

    async def test_failure_comes_out_as_itself(self, job):
        came, _ = await outcome(all_or_nothing(job("fails", 1, fails=LOST), job("slow")))
        assert came == "ValueError: lost", "a TaskGroup makes a group even of a single failure"

    async def test_group_that_a_function_raises_is_not_opened(self, job):
        came, _ = await outcome(all_or_nothing(job("fails", fails=ExceptionGroup("its own", [LOST]))))
        assert came == "ExceptionGroup: its own (1 sub-exception)", "this group is what the function raised"

    async def test_failures_of_others_are_noted(self, job):
        first, second = ValueError("first"), KeyError("second")
        with pytest.raises(ValueError, match="first"):
            await all_or_nothing(job("breaks", last=second), job("fails", 1, fails=first))
        notes = " ".join(getattr(first, "__notes__", []))
        assert repr(second) in notes, f"{second!r} was raised too, and the notes on the first say {notes!r}"

    async def test_cancelled_anywhere_it_leaves_nobody_running(self):
        await cancelled_everywhere(  # once before the failure, and once when the other tidies up
            lambda job: all_or_nothing(job("fails", 1, fails=LOST), job("b", tidying=1, last=LOST))
        )


class TestFirstOf:
    async def test_functions_are_in_flight_together(self):
        await in_flight(first_of)

    async def test_others_are_cancelled_and_waited_for(self, job):
        _, seconds = await outcome(first_of(job("slow", tidying=2), job("quick", 1)))
        assert job.ended["slow"] == "cancelled", "the race was over at 1, and slow had 3599 seconds to go"
        assert seconds == 3, "the race was over at 1, and the other then tidied up for 2 seconds"

    @pytest.mark.parametrize("result", ["won", None, LOST])
    async def test_first_to_end_gives_the_result(self, job, result):
        assert await outcome(first_of(job("slow", 2), job("quick", 1, returns=result))) == (result, 1)

    async def test_first_to_end_may_be_a_failure(self, job):
        came = await outcome(first_of(job("slow", 2), job("fails", 1, fails=LOST)))
        assert came == ("ValueError: lost", 1), "a function that fails has ended, too"

    @pytest.mark.parametrize("last", ["late", LOST])
    async def test_last_words_of_others_are_of_no_interest(self, job, last):
        came, _ = await outcome(first_of(job("stopped", last=last), job("quick", 1)))
        assert came == "quick", "what a loser raises or returns when it is stopped changes nothing"

    async def test_first_of_nobody_is_refused(self):
        with pytest.raises(ValueError):  # noqa: PT011  in words of your own
            await first_of()

    async def test_cancelled_anywhere_it_leaves_nobody_running(self):
        await cancelled_everywhere(lambda job: first_of(job("a", 1), job("b", 2, tidying=1, last=LOST)))


class TestBackground:
    async def test_task_gives_its_result(self, job):
        background = Background()
        assert await outcome(background.start(job("a", 1)())) == ("a", 1)
        await background.aclose()

    async def test_waiting_task_is_not_lost(self):
        background = Background()
        task = weakref.ref(background.start(forgotten()))
        await asyncio.sleep(0)
        gc.collect()
        assert task() is not None, "it was garbage while it waited: the loop keeps no task, so you have to"
        task().cancel()
        await background.aclose()

    async def test_aclose_cancels_and_waits(self, job):
        background = Background()
        background.start(job("tidy", tidying=2)())
        await asyncio.sleep(1)
        calls = [asyncio.create_task(background.aclose()) for _ in range(2)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        running = [*job.running]
        await asyncio.gather(*calls)
        assert job.ended == {"tidy": "cancelled"}, "aclose has to cancel what still runs"
        assert running == [], "aclose waits for those who tidy up, and so it does if it is called twice"

    @pytest.mark.parametrize("fails", [None, LOST])
    async def test_ended_task_is_not_kept(self, job, fails):
        background = Background()
        task = weakref.ref(background.start(job("a", 1, fails=fails)()))
        await asyncio.sleep(2)
        LOST.with_traceback(None)  # the failure may be kept, and its traceback might hold the task
        gc.collect()
        kept = task() is not None
        await outcome(background.aclose())
        assert not kept, "a task that ended is still kept: whoever starts tasks for a year has no memory left"

    async def test_task_that_has_not_begun_is_stopped_too(self, job):
        background, coroutine = Background(), job("a")()
        background.start(coroutine)
        await background.aclose()
        assert closed(coroutine) is True, (
            "cancelled before its first step, a task never enters a `try` of yours"
        )

    async def test_aclose_tells_all_failures_and_only_once(self, job):
        background, now = Background(), KeyError("now")
        background.start(job("fails", 1, fails=LOST)())
        await asyncio.sleep(2)
        background.start(job("at once", 0, fails=now)())
        await asyncio.sleep(0)  # it begins
        await asyncio.sleep(0)  # it ends, and its callbacks are still to come
        assert await told_by(background) == {LOST, now}, "one failed long ago, and one just now"
        again, _ = await outcome(background.aclose())
        assert again is None, "the first aclose() has told it already"

    @pytest.mark.parametrize("seconds", [1, 3])
    async def test_nothing_starts_once_aclose_was_called(self, job, seconds):
        background, coroutine = Background(), job("a")()
        background.start(job("tidy", tidying=2)())
        await asyncio.sleep(0)
        closing = asyncio.create_task(background.aclose())
        await asyncio.sleep(seconds)  # at 1 it waits for the other, at 3 it has ended
        with pytest.raises(RuntimeError):
            background.start(coroutine)
        await closing
        assert closed(coroutine) is True, "nobody will ever await it, so it has to be closed"

    async def test_cancelled_anywhere_aclose_leaves_nobody_running(self):
        def closing(job):
            background = Background()
            background.start(job("a")())
            background.start(job("b", tidying=1)())
            return background.aclose()

        await cancelled_everywhere(closing)

    async def test_cancelled_aclose_leaves_failures_to_the_next(self, job):
        background, late = Background(), KeyError("late")
        background.start(job("fails", 1, fails=LOST)())
        background.start(job("breaks", last=late)())
        await asyncio.sleep(2)
        await cancel_task_at(1, background.aclose)
        told = await told_by(background)
        assert told == {LOST, late}, "aclose was cancelled, and nobody has heard of these yet"
