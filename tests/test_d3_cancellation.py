"""What waits can be stopped: it cleans up, nobody is left behind, and no order to stop is lost."""

import inspect
from contextlib import suppress

import pytest

from dojo.kit.crew import Crew, Desk
from dojo.kit.interruptions import cancelled_everywhere
from dojo.kit.small_tasks import Stop, again, suspend
from katas.d1_coroutine_scheduler import Scheduler, join, sleep
from katas.d3_cancellation import Cancelled, TaskGroup, cancel, timeout


def make_crew():
    return Crew(Scheduler, sleep, cancel)


@pytest.fixture
def crew():
    return make_crew()


class TestCancel:
    def test_cancelled_is_raised_where_it_waits(self, crew):
        ended = crew.ended_when_cancelled(crew.work("work", 5), 1)
        assert ended == "Cancelled at 1", "it slept, until 5"

    def test_nobody_complains_of_who_was_cancelled(self, crew):
        said = crew.cancel_after(1, crew.work("work", 5))
        assert said is None, "how it ended is what its canceller had asked for: no failure"

    def test_old_timer_does_not_wake_its_cleanup(self, crew):
        desk = Desk()

        async def sleeper():
            try:
                await sleep(5)
            finally:
                heard.append(await desk.wait())

        async def bell():
            await sleep(11)
            desk.ring(crew.scheduler, "come in")

        heard = []
        crew.scheduler.spawn(bell())
        crew.ended_when_cancelled(sleeper(), 1)
        assert heard == ["come in"], "called in at 11; the sleep that was cancelled would have been over at 5"

    @pytest.mark.parametrize(
        ("fate", "due"),
        [
            ({"cleanup": 2}, "done at 3"),
            ({"cleanup": 5, "goes_on": True}, "done at 6"),
            ({"cleanup_fails": KeyError("lost")}, "KeyError('lost') at 1"),
        ],
        ids=["cleans up", "goes on", "fails"],
    )
    def test_waits_until_the_task_has_ended(self, crew, fate, due):
        crew.ended_when_cancelled(crew.work("work", 5, **fate), 1)
        assert crew.ends["cancel"] == due, (
            f"cancelled at 1, the task ended with {crew.ends['work']}: that is what cancel waits for, and a "
            "failure is not what it had asked for"
        )

    def test_task_that_is_ready_is_cancelled_too(self, crew):
        crew.cancel_after(0, crew.tell("it", suspend(again)))
        assert crew.ends == {"it": "Cancelled at 0"}, "it was ready to go on, but had not gone on yet"

    def test_task_that_has_not_begun_never_begins(self, crew):
        said = crew.cancel_after(None, crew.work("work", 5))
        assert (said, crew.ends) == (None, {}), "not one line of it was to run"

    def test_finished_task_is_left_alone(self, crew):
        said = crew.cancel_after(2, crew.work("work", 1, fails=KeyError("lost")))
        assert said == "ExceptionGroup of KeyError('lost')", "nothing was left to stop; nobody joined it"

    def test_all_joiners_hear_of_it(self, crew):
        async def main():
            task = crew.scheduler.spawn(crew.work("work", 5))
            for name in ("a", "b"):
                crew.scheduler.spawn(crew.tell(name, join(task))).joiners = []
            await sleep(1)
            await cancel(task)
            crew.scheduler.spawn(crew.tell("late", join(task))).joiners = []
            await sleep(0)

        crew.outcome(main())
        due = dict.fromkeys(["work", "a", "b", "late"], "Cancelled at 1")
        assert crew.ends == due, "join raises how it ended, to all of them, whenever they ask"

    def test_second_cancel_interrupts_the_cleanup(self, crew):
        ended = crew.ended_when_cancelled(crew.work("work", 5, cleanup=50), 1, 2)
        assert ended == "Cancelled at 2", "its cleanup, begun at 1, would have lasted until 51"

    @pytest.mark.parametrize("failure", [None, KeyError("lost")], ids=["ends", "fails"])
    def test_task_may_cancel_itself(self, crew, failure):
        async def itself():
            try:
                await cancel(tasks[0])
                await sleep(5)
            except Cancelled as cancelled:
                raise failure or cancelled from None

        tasks = [crew.scheduler.spawn(crew.tell("it", itself()))]
        said = crew.outcome(sleep(9))
        assert crew.ends["it"].endswith("at 0"), "the await where it stands is that of cancel itself"
        due = failure and "ExceptionGroup of KeyError('lost')"
        assert said == due, f"nobody has joined it, and it ended with {crew.ends['it']}"

    def test_canceller_can_be_cancelled_while_it_waits(self, crew):
        async def canceller():
            await sleep(1)
            await cancel(slow)

        slow = crew.scheduler.spawn(crew.work("slow", 9, cleanup=9))
        ended = crew.ended_when_cancelled(canceller(), 2)
        assert ended == "Cancelled at 2", "it waited for slow's end; but this Cancelled was its own"

    def test_cancelled_anywhere_leaves_nobody_behind(self):
        async def program(crew):
            await crew.work("a", 1)
            await sleep(0)
            await cancel(crew.scheduler.spawn(crew.work("b", 1)))
            await join(crew.scheduler.spawn(sleep(1)))

        for ending in cancelled_everywhere(make_crew, program):
            assert ending.how == "Cancelled", f"{ending.where} it was cancelled"
            assert ending.at <= 2, f"cancelled {ending.where}, it went on until {ending.at}"


async def within(seconds, wait=None):
    async with timeout(seconds):
        return wait and await wait


class TestTimeout:
    @pytest.mark.parametrize(("seconds", "takes"), [(5, 3), (0, None)])
    def test_body_in_time_is_left_alone(self, crew, seconds, takes):
        async def main():
            await within(seconds, takes and crew.work("body", takes))
            await crew.work("more", 9)

        crew.outcome(main())
        assert crew.ends.get("more") == f"done at {9 + (takes or 0)}", "it was in time"

    def test_late_body_is_stopped_with_timeout_error(self, crew):
        ended = crew.ended(within(5, crew.work("body", 9)))
        assert crew.ends["body"] == "Cancelled at 5", "the body is stopped as by cancel, and can clean up"
        assert ended.startswith("TimeoutError"), f"in place of Cancelled a TimeoutError was due, not {ended}"

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_no_time_at_all_stops_the_first_wait(self, crew, seconds):
        crew.ended(within(seconds, crew.work("body", 9)))
        assert crew.ends["body"] == "Cancelled at 0", "its deadline was over when it began"

    def test_seconds_count_from_the_beginning(self, crew):
        async def body():
            crew.clock.advance(3)
            await crew.work("body", 9)

        crew.ended(within(5, body()))
        assert crew.ends["body"] == "Cancelled at 5", "three seconds of work, without an await, count too"

    def test_body_that_is_always_ready_is_stopped_too(self, crew):
        async def body():
            for _ in range(20):
                crew.clock.advance(1)
                await sleep(0)

        ended = crew.ended(within(5, body()))
        assert ended.startswith("TimeoutError"), f"it never parks, but has awaits to be stopped at: {ended}"

    @pytest.mark.parametrize("error", [KeyError("lost"), TimeoutError("its own")])
    def test_failure_of_the_body_goes_on(self, crew, error):
        ended = crew.ended(within(5, crew.work("body", 1, fails=error)))
        assert ended == f"{error!r} at 1", "the deadline had not come"

    @pytest.mark.parametrize("seconds", [0, 1])
    def test_no_timer_is_left_behind(self, crew, seconds):
        async def main():
            await within(5, seconds and sleep(seconds))
            await Desk().wait()

        said = crew.outcome(main())
        assert crew.clock.now == seconds, "the body was done; its timer was waited for all the same"
        assert str(said).count(" waits for ") == 1, f"nobody but main was due to be left: {said}"

    @pytest.mark.parametrize(
        ("time", "fate", "last"),
        [(2, {}, False), (5, {}, False), (5, {}, True), (2, {"cleanup": 9}, False)],
        ids=["before", "just before", "just after", "in the cleanup"],
    )
    def test_cancel_before_or_after_the_deadline_goes_on(self, crew, time, fate, last):
        ended = crew.ended_when_cancelled(within(5, crew.work("body", 9, **fate)), time, last=last)
        assert ended.partition(" at ")[0] == "Cancelled", f"cancelled at {time}; its time was over at 5"

    def test_deadline_set_in_a_cleanup_is_its_own(self, crew):
        async def it():
            try:
                await sleep(9)
            finally:
                await crew.tell("goodbye", within(3, sleep(9)))

        crew.ended_when_cancelled(it(), 1)
        assert crew.ends["goodbye"].startswith("TimeoutError"), (
            f"the cancel came before that block: {crew.ends}"
        )

    def test_inner_deadline_leaves_the_outer_alone(self, crew):
        async def body():
            with pytest.raises(TimeoutError):
                await within(2, sleep(9))
            await crew.work("more", 9)

        crew.ended(within(5, body()))
        assert crew.ends["more"] == "Cancelled at 5", "the inner one was over at 2, the outer is not before 5"

    @pytest.mark.parametrize("seconds", [2, 5, 7])
    def test_outer_deadline_is_not_taken_for_the_inner(self, crew, seconds):
        async def body():
            try:
                await within(seconds, crew.work("work", 9, cleanup=9))
            except TimeoutError:
                await crew.work("second try", 9)

        ended = crew.ended(within(5, body()))
        assert ended.startswith("TimeoutError"), f"the outer deadline was at 5, but {ended}"
        assert "second try" not in crew.ends, "the outer deadline was lost in the inner block"

    def test_closed_with_the_scheduler_it_is_quiet(self, crew):
        said = crew.closed_after(1, within(5, crew.work("body", 9)))
        assert (said, crew.ends) == (None, {"body": "left behind"}), "run was over: nobody can wait"

    def test_cancelled_anywhere_leaves_nobody_behind(self):
        async def program(crew):
            async with timeout(9):
                await crew.work("a", 1)
                await within(9, sleep(1))
            await sleep(1)

        for ending in cancelled_everywhere(make_crew, program):
            assert (ending.how, ending.left) == ("Cancelled", []), f"{ending.where} it was cancelled"


async def group_of(*tasks, body=None):
    async with TaskGroup() as group:
        for task in tasks:
            group.spawn(task)
        if body is not None:
            await body


async def handled(crew, *tasks, body=None):
    try:
        await group_of(*tasks, body=body)
    except* KeyError:
        pass
    await crew.work("more", 9)


class TestTaskGroup:
    def test_block_ends_when_all_its_tasks_have(self, crew):
        ended = crew.ended(group_of(crew.work("a", 3), crew.work("b", 2), body=sleep(1)))
        assert ended == "done at 3", "the slowest was done at 3, and they all work at the same time"

    def test_spawn_returns_a_task_to_join(self, crew):
        async def give():
            return 42

        async def main():
            async with TaskGroup() as group:
                return await join(group.spawn(give()))

        assert crew.outcome(main()) == 42

    def test_task_that_comes_late_is_waited_for(self, crew):
        async def parent(group):
            await sleep(1)
            group.spawn(crew.work("late", 2))

        async def main():
            async with TaskGroup() as group:
                group.spawn(parent(group))

        assert crew.ended(main()) == "done at 3", "it was spawned at 1, when the block waited for its parent"

    def test_first_failure_cancels_and_waits_for_the_others(self, crew):
        a, b, c = crew.work("a", 9, cleanup=2), crew.work("b", 1, fails=KeyError("b")), crew.work("c", 9)
        ended = crew.ended(group_of(a, b, c, body=crew.work("body", 9)))
        assert crew.ends.get("c") == "Cancelled at 1", "b failed at 1"
        assert crew.ends["body"] == "Cancelled at 1", "what waits in the body is to be stopped like the tasks"
        assert ended == "ExceptionGroup of KeyError('b') at 3", "a's cleanup was to be waited for, until 3"

    def test_failure_of_the_body_cancels_the_tasks(self, crew):
        a, body = crew.work("a", 9, cleanup=2), crew.work("body", 1, fails=KeyError("body"))
        ended = crew.ended(group_of(a, body=body))
        assert crew.ends["a"] == "Cancelled at 3", "it was to be cancelled at 1, and waited for"
        assert ended == "ExceptionGroup of KeyError('body') at 3", "the body's failure is one of the group's"

    def test_later_failures_are_only_added_to_the_group(self, crew):
        a, c = crew.work("a", 1, fails=KeyError("a")), crew.work("c", 9, cleanup=5)
        b = crew.work("b", 9, cleanup=1, cleanup_fails=ValueError("b"))
        ended = crew.ended(group_of(a, b, c, body=crew.work("body", 9, cleanup_fails=OSError("body"))))
        due = "ExceptionGroup of KeyError('a'), OSError('body'), ValueError('b') at 6"
        assert ended == due, "b and the body failed when they were cancelled for a: that may not vanish"
        assert crew.ends["c"] == "Cancelled at 6", "c was cancelled at 1; b's failure at 2 is only noted"

    def test_task_that_has_not_begun_never_begins(self, crew):
        async def body():
            raise KeyError("body")

        ended = crew.ended(group_of(crew.work("a", 9), body=body()))
        assert ended == "ExceptionGroup of KeyError('body') at 0", "no `finally` of a task tells of its end"
        assert "a" not in crew.ends, "the body failed before any task had begun"

    def test_newcomer_to_a_cancelled_group_never_begins(self, crew):
        async def parent(group):
            try:
                await sleep(9)
            finally:
                group.spawn(crew.work("late", 9))

        async def main():
            async with TaskGroup() as group:
                group.spawn(parent(group))
                await crew.work("body", 1, fails=KeyError("body"))

        ended = crew.ended(main())
        assert ended == "ExceptionGroup of KeyError('body') at 1", "all tasks were cancelled when it came"
        assert "late" not in crew.ends, "it was spawned when the others were being cancelled"

    def test_cancelled_task_is_no_failure(self, crew):
        async def main():
            async with TaskGroup() as group:
                group.spawn(crew.work("a", 3))
                task = group.spawn(crew.work("b", 9))
                await sleep(1)
                await cancel(task)

        ended = crew.ended(main())
        assert (ended, crew.ends["a"]) == ("done at 3", "done at 3"), "b was told to end, and did"

    @pytest.mark.parametrize("seconds", [0, 9], ids=["waiting", "in the body"])
    def test_cancel_from_outside_reaches_all_and_goes_on(self, crew, seconds):
        tasks = crew.work("a", 9, cleanup=2), crew.work("b", 9)
        ended = crew.ended_when_cancelled(group_of(*tasks, body=sleep(seconds)), 1)
        assert crew.ends["b"] == "Cancelled at 1", "who is in the block is cancelled with it"
        assert ended == "Cancelled at 3", "a's cleanup was to be waited for; then Cancelled goes on"

    def test_second_cancel_reaches_the_cleanups(self, crew):
        ended = crew.ended_when_cancelled(group_of(crew.work("a", 9, cleanup=50)), 1, 2)
        assert crew.ends["a"] == "Cancelled at 2", "what reaches the block while it waits is passed on"
        assert ended == "Cancelled at 2"

    def test_failure_outranks_cancelled(self, crew):
        ended = crew.ended(within(1, group_of(crew.work("a", 9, cleanup_fails=KeyError("a")))))
        assert ended == "ExceptionGroup of KeyError('a') at 1", "it failed in its cleanup: it has to be heard"

    @pytest.mark.parametrize(("seconds", "due"), [(99, "done at 10"), (5, "TimeoutError")])
    def test_failure_that_is_handled_is_over(self, crew, seconds, due):
        it = handled(crew, crew.work("a", 1, fails=KeyError("a")), body=sleep(9))
        ended = crew.ended(within(seconds, group_of(body=it)))
        assert ended.startswith(due), (
            f"it was handled at 1, nobody further out had wanted to stop it: {ended}"
        )

    @pytest.mark.parametrize(
        ("time", "fate", "seconds"),
        [(1, {}, 0), (1, {}, 9), (3, {"fails": KeyError("a"), "cleanup": 5}, 9)],
        ids=["waiting", "in the body", "being stopped"],
    )
    def test_failure_that_is_handled_does_not_lose_the_cancel(self, crew, time, fate, seconds):
        a = crew.work("a", 1 if fate else 9, **(fate or {"cleanup_fails": KeyError("a")}))
        body = crew.work("body", seconds, cleanup=fate.get("cleanup", 0))
        ended = crew.ended_when_cancelled(handled(crew, a, body=body), time)
        assert ended == f"Cancelled at {time}", "the failure was handled; the task was to end all the same"

    def test_failure_that_is_handled_does_not_lose_a_deadline(self, crew):
        ended = crew.ended(within(1, handled(crew, crew.work("a", 9, cleanup_fails=KeyError("a")))))
        assert ended.startswith("TimeoutError"), f"its time was over at 1, and it went on: {ended}"

    @pytest.mark.parametrize("outside", ["cancel", "failure"])
    def test_once_more_is_not_once_more_for_the_tasks(self, crew, outside):
        inner = group_of(crew.work("a", 9, cleanup_fails=KeyError("a")))
        tasks = [crew.work("slow", 9, cleanup=5)]
        if outside == "failure":
            tasks.append(crew.work("b", 1, fails=KeyError("b")))
        crew.ended_when_cancelled(group_of(*tasks, body=inner), *[1][: outside == "cancel"])
        assert crew.ends["slow"] == "Cancelled at 6", (
            "all were told to stop at 1, and for one reason only; that a failed when it was stopped, in a "
            "group further in, interrupts no cleanup"
        )

    def test_groups_that_fail_together_both_end(self, crew):
        a, b = (crew.work(name, 1, fails=KeyError(name)) for name in "ab")
        ended = crew.ended(group_of(b, body=handled(crew, a)))
        assert ended == "ExceptionGroup of KeyError('b') at 1", "a's failure was handled, b's was not"

    def test_deadline_around_a_group_stops_all_of_it(self, crew):
        ended = crew.ended(within(2, group_of(crew.work("a", 9, cleanup=1))))
        assert crew.ends["a"] == "Cancelled at 3", "it was to be cancelled at 2, and waited for"
        assert ended.startswith("TimeoutError"), f"the Cancelled was the deadline's: {ended}"

    def test_deadline_in_a_task_gives_way_to_the_group(self, crew):
        a, slow = crew.work("a", 2, fails=KeyError("a")), within(5, crew.work("slow", 9, cleanup=9))
        ended = crew.ended(group_of(a, slow))
        assert ended.partition(" at ")[0] == "ExceptionGroup of KeyError('a')", (
            "slow was cancelled because of a; that its time was over while it cleaned up is no failure more"
        )

    @pytest.mark.parametrize(
        ("error", "in_body", "due"),
        [
            (Stop(), True, "BaseExceptionGroup of Stop()"),
            (Stop(), False, "BaseExceptionGroup of Stop()"),
            (KeyboardInterrupt(), True, "KeyboardInterrupt"),
        ],
        ids=["body", "task", "order"],
    )
    def test_what_is_no_exception_is_a_failure_too(self, crew, error, in_body, due):
        async def main():
            fails, slow = crew.work("fails", 1, error), crew.work("slow", 9, cleanup=1)
            with suppress(BaseException):
                await crew.tell("it", group_of(slow, body=fails) if in_body else group_of(slow, fails))

        crew.outcome(main())
        assert crew.ends["it"] == f"{due} at 2", "only an order to stop the program is not wrapped in a group"

    @pytest.mark.parametrize("entered", [False, True], ids=["before", "after"])
    def test_nothing_is_spawned_outside_of_the_block(self, crew, entered):
        async def main():
            group = TaskGroup()
            if entered:
                async with group:
                    pass
            group.spawn(work)

        work = crew.work("work", 1)
        said, state = str(crew.outcome(main())), inspect.getcoroutinestate(work)
        work.close()
        assert said.startswith("RuntimeError"), f"nobody would wait for its end: run gave {said}"
        assert state == "CORO_CREATED", "the coroutine remains the caller's, who may give it to somebody else"

    @pytest.mark.parametrize("seconds", [0, 9], ids=["waiting", "in the body"])
    def test_closed_with_the_scheduler_it_is_quiet(self, crew, seconds):
        said = crew.closed_after(1, group_of(crew.work("a", 9), body=sleep(seconds)))
        assert (said, crew.ends) == (None, {"a": "left behind"}), "run was over: nobody can wait any more"

    def test_cancelled_anywhere_leaves_nobody_behind(self):
        async def deeper(crew):
            async with timeout(9), TaskGroup() as group:
                group.spawn(crew.work("b", 1))
                group.spawn(crew.work("c", 2, cleanup=1))

        async def program(crew):
            async with TaskGroup() as group:
                group.spawn(crew.work("a", 2, cleanup=1))
                group.spawn(deeper(crew))
                await deeper(crew)
            await sleep(1)

        for ending in cancelled_everywhere(make_crew, program):
            assert (ending.how, ending.left) == ("Cancelled", []), f"{ending.where} it was cancelled"
