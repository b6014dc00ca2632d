"""A limit that holds, a deadline that is kept, a loop that never stands still, a worker that goes on."""

import asyncio
import threading

import pytest

from dojo.kit.barrier import Barrier
from dojo.kit.cancel import cancel_task_at
from dojo.kit.jobs import LOST, Jobs, cancelled_everywhere, joined, let_work, outcome, queue_of
from dojo.kit.sources import CountingSource
from katas.b2_limits import bounded_map, offload, within, worker

pytestmark = pytest.mark.asyncio


@pytest.fixture
def job():
    return Jobs()


async def run(job):
    return await job()


class TestBoundedMap:
    async def test_calls_are_in_flight_together(self):
        barrier = Barrier(3)
        await bounded_map(run, [barrier.call] * 3, limit=3)
        assert barrier.finished == 3, "bounded_map was over before all three had ended"

    async def test_results_come_in_the_order_of_items(self, job):
        assert await bounded_map(run, [job("slow", 2), job("quick", 1)], limit=2) == ["slow", "quick"]

    async def test_no_items_have_no_results(self):
        assert await bounded_map(run, [], limit=2) == []

    async def test_never_more_calls_than_the_limit(self):
        barrier = Barrier(2)
        await bounded_map(run, [barrier.call] * 6, limit=2)
        assert barrier.most == 2, "so many calls were in flight together, with a limit of 2"

    async def test_free_place_is_used_at_once(self, job):
        items = [job("long", 3), job("a", 1), job("b", 1), job("c", 1)]
        _, seconds = await outcome(bounded_map(run, items, limit=2))
        assert seconds == 3, "a, b and c need 1 second each: one after the other beside the one that needs 3"

    async def test_items_are_taken_when_there_is_a_place(self, job):
        source, taken = CountingSource([job(name, 1) for name in "abcdef"]), []

        async def look(job):
            await job()
            taken.append(source.asked - len(taken))

        await bounded_map(look, source, limit=2)
        assert max(taken) == 2, "so many items were taken and not done yet, with a limit of 2"

    async def test_failure_cancels_the_rest_and_comes_out(self, job):
        items = [job("tidy", tidying=2), job("fails", 1, fails=LOST), job("never")]
        came = await outcome(bounded_map(run, items, limit=2))
        assert job.ended == {"tidy": "cancelled", "fails": "failed"}, "at 1 all was lost, the rest in vain"
        assert came == ("ValueError: lost", 3), "the failure itself, when the last one has tidied up"

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_limit_below_one_is_refused(self, limit):
        with pytest.raises(ValueError):  # noqa: PT011  in words of your own
            await bounded_map(run, [], limit)

    async def test_cancelled_anywhere_it_leaves_nobody_running(self):
        await cancelled_everywhere(lambda job: bounded_map(run, [job("a", 1), job("b", tidying=1)] * 2, 2))


class TestWithin:
    @pytest.mark.parametrize("result", ["in time", None])
    async def test_result_in_time_is_returned(self, job, result):
        assert await outcome(within(2, job("quick", 1, returns=result), "default")) == (result, 1)

    async def test_failure_in_time_comes_out(self, job):
        assert await outcome(within(2, job("fails", 1, fails=LOST), "default")) == ("ValueError: lost", 1)

    async def test_timeout_of_its_own_comes_out(self, job):
        came = await outcome(within(2, job("fails", 1, fails=TimeoutError("its own")), "default"))
        assert came == ("TimeoutError: its own", 1), "not every TimeoutError is that of this deadline"

    async def test_late_function_is_cancelled_for_the_default(self, job):
        assert await outcome(within(2, job("late", 5), "default")) == ("default", 2)
        assert job.ended == {"late": "cancelled"}, "it goes on, though nobody waits for it any longer"

    @pytest.mark.parametrize("last", [None, "too late", LOST])
    async def test_late_function_has_ended_when_it_comes_back(self, job, last):
        came, seconds = await outcome(within(2, job("tidy", tidying=3, last=last), "default"))
        assert seconds == 5, "it was cancelled at 2, and tidied up for 3 seconds"
        due = "ValueError: lost" if last is LOST else "default"
        assert came == due, "a late result is none, and a late failure is one"

    async def test_cancelled_in_time_it_ends_with_the_function(self):
        await cancelled_everywhere(lambda job: within(5, job("slow", 1, tidying=1), "default"))

    async def test_cancelled_when_late_it_is_no_timeout(self):
        await cancelled_everywhere(lambda job: within(1, job("late", tidying=2), "default"))


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


class TestOffload:
    async def test_function_runs_in_another_thread(self):
        same = await offload(threading.get_ident) == threading.get_ident()
        assert not same, "function ran in the loop's own thread: every other task stands still meanwhile"

    async def test_function_gets_its_arguments(self):
        assert await offload(divmod, 7, 2) == (3, 1)

    async def test_failure_comes_out(self):
        with pytest.raises(ValueError, match="'one'"):
            await offload(int, "one")

    async def test_loop_goes_on_meanwhile(self):
        held = threading.Event()
        call = asyncio.create_task(offload(held.wait))
        await turns()  # never come back while offload itself waits for the thread
        await offload(held.set)  # nor while one thread has to do for all
        assert await call is True

    @pytest.mark.parametrize("times", [1, 2])
    async def test_cancelled_it_waits_for_the_thread(self, times):
        held = threading.Event()
        call = asyncio.create_task(offload(held.wait))
        for _ in range(times):
            await turns()
            call.cancel()
        await turns()
        over = call.done()
        held.set()
        came, _ = await outcome(call)
        assert came == "CancelledError", "offload was cancelled, and whoever did that hears nothing of it"
        assert not over, "offload was over while function still ran in its thread"

    async def test_cancelled_it_drops_what_the_thread_gave(self):
        held = threading.Event()

        def fail():
            held.wait()
            raise LOST

        call = asyncio.create_task(offload(fail))
        await turns()
        call.cancel()
        held.set()
        came, _ = await outcome(call)
        assert came == "CancelledError", "offload was cancelled: nobody asks any more what function raised"


class TestWorker:
    async def test_items_have_their_turn_in_order(self):
        log = []

        async def handle(item):
            log.append(f"{item} begins")
            await asyncio.sleep(1)
            log.append(f"{item} ends")

        await let_work(worker, ["a", None, "b"], handle)
        due = [f"{item} {event}" for item in ["a", None, "b"] for event in ("begins", "ends")]
        assert log == due, "one after the other, first come first, and None is an item, too"

    async def test_queue_is_told_of_each_item(self, job):
        queue = await let_work(worker, [job("a", 1), job("b", 1)], run)
        assert await joined(queue) is True, "who waits in queue.join() waits for task_done()"

    async def test_failing_item_does_not_end_it(self, job):
        queue = await let_work(worker, [job("fails", 1, fails=LOST), job("next", 1)], run)
        assert job.ended == {"fails": "failed", "next": "returned"}, "one item failed, and another waited"
        assert await joined(queue) is True, "a failed item is done, too: nobody will try it again"

    async def test_failure_is_logged(self, job, caplog):
        await let_work(worker, [job("fails", 1, fails=LOST)], run)
        records = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(records) == 1, "an exception that nobody hears of will be looked for a long time"
        logged = (records[0].exc_info or [None, None])[1]
        assert logged == LOST, "the traceback has to be in the log as well (exc_info): it says where that was"

    async def test_cancelled_anywhere_it_ends(self):
        def working(job):
            return worker(queue_of(job("a", 1), job("b", 1, tidying=1)), run)

        await cancelled_everywhere(working, points=3)  # in a, in b, and where it waits for a third

    async def test_item_in_hand_is_done_when_cancelled(self, job):
        queue = queue_of(job("slow"), job("next"))
        await cancel_task_at(1, worker, queue, run)
        assert queue.qsize() == 1, "a worker takes the next item when it has done with this one"
        queue.get_nowait()
        queue.task_done()
        assert await joined(queue) is True, "who waits in queue.join() would wait for this item for ever"
