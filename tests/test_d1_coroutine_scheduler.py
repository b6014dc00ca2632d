"""A task runs until it traps; the scheduler gives everybody a turn, and loses nobody."""

import inspect

import pytest

from dojo.kit.manual_clock import ManualClock, outcome
from dojo.kit.small_tasks import (
    Stop,
    ask,
    broken,
    broken_too_late,
    count,
    fail,
    give,
    hear,
    nowhere,
    ready_by_hand,
    stay,
)
from katas.d1_coroutine_scheduler import Scheduler, Task, join, sleep, suspend


async def nap(log, seconds, clock, name=None):
    await sleep(seconds)
    log.append((name or seconds, clock.now))


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(clock):
    return Scheduler(clock=clock, idle=clock.idle)


class TestTask:
    @pytest.fixture
    def scheduler(self, monkeypatch):
        monkeypatch.setattr(Scheduler, "ready", ready_by_hand)  # the learner's comes with the next step
        return Scheduler()

    def test_step_runs_up_to_the_next_trap(self, scheduler):
        log = []
        task = Task(ask(log))
        assert log == [], "making a task runs nothing: its first step does"
        task.step(scheduler)
        assert log == ["asks"]

    def test_trap_is_called_with_scheduler_and_parked_task(self, scheduler):
        calls = []
        task = Task(suspend(lambda *args: calls.append((*args, args[-1].state))))
        task.step(scheduler)
        assert calls == [(scheduler, task, "parked")], (
            "a trap gets the scheduler and the task, parked by then"
        )

    def test_next_step_sends_the_answer_in(self, scheduler):
        log = []
        task = Task(ask(log))
        task.step(scheduler)
        task.answer = 42
        task.step(scheduler)
        assert log == ["asks", 42], "what the task was woken with is the value of its await"

    def test_returned_value_is_kept_as_result(self, scheduler):
        task = Task(give(42))
        task.step(scheduler)
        assert (task.state, task.result) == ("finished", 42), "StopIteration carries what was returned"

    def test_next_step_throws_the_error_in(self, scheduler):
        task = Task(hear(suspend(nowhere)))
        task.step(scheduler)
        task.error = KeyError("lost")
        task.step(scheduler)
        assert task.result == "heard KeyError('lost')", "the await has to raise what the task was woken with"

    @pytest.mark.parametrize("error", [ZeroDivisionError(), Stop()])
    def test_exception_is_kept_and_not_raised(self, scheduler, error):
        task = Task(fail(error))
        task.step(scheduler)
        kept = (task.state, task.exception)
        assert kept == ("finished", error), "one task's failure is not the scheduler's"

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_order_to_stop_is_kept_and_goes_on(self, error, scheduler):
        task = Task(fail(error()))
        with pytest.raises(error):
            task.step(scheduler)
        kept = (task.state, type(task.exception))
        assert kept == ("finished", error), "whoever joined the task is to hear of it too"

    @pytest.mark.parametrize("trap", [broken, broken_too_late])
    def test_exception_in_a_trap_goes_to_the_task(self, scheduler, trap):
        task = Task(hear(suspend(trap)))
        for _ in range(2):
            task.step(scheduler)
        assert task.result == "heard LookupError('no such place')", (
            "what the trap raises is raised at the await, even if it called ready before"
        )

    @pytest.mark.parametrize("thing", [42, None])
    def test_yield_of_no_trap_is_a_type_error(self, scheduler, thing):
        task = Task(hear(suspend(thing)))
        for _ in range(2):
            task.step(scheduler)
        for word in ("TypeError", repr(thing)):
            assert word in str(task.result), (
                f"{thing!r} is no trap: a TypeError that shows it was due at the await, which {task.result}"
            )

    def test_end_wakes_those_who_still_wait(self, scheduler):
        task, waits, woken = Task(give(42)), Task(ask([])), Task(ask([]))
        task.joiners = [waits, woken]
        for joiner in task.joiners:
            joiner.step(scheduler)
        waits.waits_for = task
        task.step(scheduler)
        assert waits.state == "ready", "the task that it waits for has finished"
        assert woken.state == "parked", "it waits for something else by now"


class TestScheduler:
    def test_run_returns_what_the_coroutine_returned(self, scheduler):
        assert scheduler.run(give(42)) == 42

    def test_run_raises_what_the_coroutine_raised(self, scheduler):
        assert outcome(scheduler, fail(ZeroDivisionError())) == "ZeroDivisionError()"

    def test_spawn_runs_nothing_before_run_does(self, scheduler):
        log = []
        scheduler.spawn(count(log, "a", 1))
        assert log == [], "spawn only puts it at the end of the ready queue"
        scheduler.run(count(log, "main", 2))
        assert log == ["a0", "main0", "main1"], "who was spawned first goes first"

    def test_function_that_was_not_called_is_refused(self, scheduler):
        with pytest.raises(TypeError):
            scheduler.spawn(count)

    def test_what_suspend_returns_can_be_run(self, scheduler):
        wait = suspend(lambda scheduler, task: scheduler.ready(task, "hello"))
        assert outcome(scheduler, wait) == "hello", (
            "what a @types.coroutine returns can be awaited and driven as a coroutine can, and is none"
        )

    def test_ready_tasks_take_turns(self, scheduler):
        log = []
        for name in "ab":
            scheduler.spawn(count(log, name, 3))
        scheduler.run(count(log, "c", 3))
        assert log == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    def test_who_gets_ready_goes_behind_who_is(self, scheduler):
        log = []
        sleeper = scheduler.spawn(ask(log))

        async def main():
            await suspend(Scheduler.ready)
            scheduler.ready(sleeper, "woken")
            scheduler.spawn(count(log, "new", 1))
            await count(log, "main", 2)

        scheduler.spawn(main())
        scheduler.run(count(log, "x", 4))
        assert log[:4] == ["asks", "x0", "main0", "x1"], (
            "waking somebody is not running it: x was ready before"
        )
        assert log[4:7] == ["woken", "new0", "main1"], "they run in the order in which they got ready"

    def test_error_of_ready_reaches_the_await(self, scheduler):
        wait = suspend(lambda scheduler, task: scheduler.ready(task, error=KeyError("lost")))
        assert scheduler.run(hear(wait)) == "heard KeyError('lost')"

    def test_task_woken_twice_runs_once(self, scheduler):
        log = []
        sleeper = scheduler.spawn(ask(log))

        async def main():
            await suspend(Scheduler.ready)
            scheduler.ready(sleeper, "first")
            scheduler.ready(sleeper, "second")
            await count([], "main", 3)
            scheduler.ready(sleeper, "third")
            await count([], "main", 3)

        scheduler.run(main())
        assert log == ["asks", "first"], "who is not parked any more is not to be woken"

    def test_gap_is_zero_while_somebody_is_ready(self, scheduler):
        gaps = []

        async def look():
            gaps.append(scheduler.gap())

        scheduler.spawn(look())
        scheduler.run(look())
        assert gaps == [0, None], "the second has its turn in this lap, so it is ready; then nobody is"

    @pytest.mark.parametrize(
        ("error", "group"), [(ValueError, "ExceptionGroup"), (Stop, "BaseExceptionGroup")]
    )
    def test_failures_nobody_joined_come_at_the_end(self, scheduler, error, group):
        for number in range(2):
            scheduler.spawn(fail(error(number)))
        log = []
        due = f"{group} of {error.__name__}(0), {error.__name__}(1)"
        assert outcome(scheduler, count(log, "main", 2)) == due, "no failure may vanish"
        assert log == ["main0", "main1"], "one task's failure ended the others"

    def test_failures_are_notes_on_what_is_raised_anyway(self, scheduler):
        scheduler.spawn(fail(ValueError("unheard")))
        said = outcome(scheduler, fail(KeyError("mine")))
        for due in ("KeyError('mine')", "ValueError('unheard')"):
            assert due in str(said), f"nobody will hear of {due}: run gave {said}"

    @pytest.mark.parametrize("end", [None, ZeroDivisionError()])
    def test_coroutines_left_over_are_closed(self, scheduler, end):
        log, new = [], []

        async def main():
            new.append(stay(log, "new"))
            scheduler.spawn(new[0])
            if end:
                raise end

        scheduler.spawn(stay(log, "parked"))
        outcome(scheduler, main())
        assert log == ["parked cleaned up"], (
            "run was over: due was finally of who had begun, and of nobody else"
        )
        assert inspect.getcoroutinestate(new[0]) == "CORO_CLOSED", "it would be warned of as never awaited"

    def test_nobody_takes_a_step_after_the_end(self, scheduler):
        log, sleepers = [], []

        async def waker():
            await suspend(Scheduler.ready)
            scheduler.ready(sleepers[0])
            await suspend(Scheduler.ready)  # so it stands right behind main, in the same lap
            log.append("one more step")

        scheduler.spawn(waker())
        scheduler.run(suspend(lambda scheduler, task: sleepers.append(task)))
        assert log == [], "in the lap in which main finished, those behind it were still run"

    def test_cleanup_that_fails_neither_vanishes_nor_stops_others(self, scheduler):
        log = []
        for name, error in [("first", None), ("clumsy", ValueError("in the cleanup")), ("last", None)]:
            task = scheduler.spawn(stay(log, name, error))
            task.joiners = []
        said = outcome(scheduler, count([], "main", 2))
        assert said == "ExceptionGroup of ValueError('in the cleanup')", (
            "no joiner takes a step to hear of it"
        )
        assert sorted(log) == [f"{name} cleaned up" for name in ("clumsy", "first", "last")], (
            "one bad cleanup cost the others theirs"
        )

    def test_second_run_begins_afresh(self, scheduler):
        log = []
        scheduler.spawn(count(log, "old", 5))
        scheduler.run(count(log, "main", 1))
        log.clear()
        scheduler.run(count(log, "again", 2))
        assert log == ["again0", "again1"], "the first run had closed the others"

    def test_deadlock_is_said_at_once(self, scheduler):
        said = str(outcome(scheduler, ask([])))
        for due in ("RuntimeError", "ask waits for"):
            assert due in said, f"a RuntimeError that names the parked task was due; run gave {said}"


class TestJoin:
    @pytest.mark.parametrize("laps", [0, 5], ids=["before", "after"])
    def test_returns_the_result_of_the_task(self, scheduler, laps):
        async def main():
            task = scheduler.spawn(give(42))
            await count([], "main", laps)
            return [await join(task), await join(task)]

        assert outcome(scheduler, main()) == [42, 42], "a result may be asked for early, late, and again"

    def test_finished_task_is_joined_without_suspending(self, scheduler):
        log = []

        async def main():
            task = scheduler.spawn(count([], "done", 1))
            await count([], "main", 3)
            scheduler.spawn(count(log, "other", 1))
            await join(task)
            log.append("main went on")

        scheduler.run(main())
        assert log == ["main went on"], "there was nothing to wait for, so nobody else's turn"

    @pytest.mark.parametrize("laps", [0, 3], ids=["before", "after"])
    def test_failure_is_raised_in_the_joiner(self, scheduler, laps):
        async def main():
            task = scheduler.spawn(fail(KeyError("lost")))
            await count([], "main", laps)
            return await hear(join(task))

        assert outcome(scheduler, main()) == "heard KeyError('lost')", (
            "it was joined: the joiner hears of it, and run has nothing left to complain about"
        )

    def test_all_joiners_are_woken_in_their_order(self, scheduler):
        log = []

        async def wait(name, task):
            log.append((name, await join(task)))

        async def main():
            task = scheduler.spawn(ask([]))
            for name in "abc":
                scheduler.spawn(wait(name, task))
            await count([], "main", 2)
            scheduler.ready(task, "it")
            await count([], "main", 3)

        scheduler.run(main())
        assert log == [(name, "was told it") for name in "abc"], "each of its joiners waits for the result"

    def test_deadlock_says_who_waits_for_whom(self, scheduler):
        async def hen():
            await join(egg)

        egg = scheduler.spawn(ask([]))
        said = outcome(scheduler, hen())
        assert "hen waits for ask" in str(said), f"that hen waits for ask was due to be said; run gave {said}"


class TestSleep:
    def test_idles_once_for_exactly_the_gap(self, scheduler, clock):
        scheduler.run(sleep(2.5))
        assert clock.idles == [2.5], "one idle for the whole gap was due"

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_zero_goes_behind_those_who_are_ready(self, scheduler, clock, seconds):
        log = []

        async def pause():
            for number in range(2):
                log.append(f"pause{number}")
                await sleep(seconds)

        scheduler.spawn(pause())
        outcome(scheduler, count(log, "other", 3))
        assert log[:4] == ["pause0", "other0", "pause1", "other1"], (
            "it suspends and sets no timer: it stands at the end of the ready queue at once"
        )

    @pytest.mark.parametrize(("oversleep", "woke"), [(0, [1, 2, 3]), (10, [11, 11, 11])])
    def test_sleepers_wake_by_deadline_one_gap_each(self, oversleep, woke):
        clock, log = ManualClock(oversleep=oversleep), []
        scheduler = Scheduler(clock=clock, idle=clock.idle)
        for seconds in (3, 1, 2):
            scheduler.spawn(nap(log, seconds, clock))
        scheduler.run(sleep(4))
        assert log == list(zip([1, 2, 3], woke, strict=True)), "due were (seconds, time when it woke)"
        gaps = [1] if oversleep else [1, 1, 1, 1]
        assert clock.idles == gaps, "they sleep at the same time: one gap up to each deadline to come"

    def test_equal_deadlines_wake_in_the_order_set(self, scheduler, clock):
        log = []
        for name in "dacb":
            scheduler.spawn(nap(log, 1, clock, name))
        scheduler.run(sleep(2))
        assert [name for name, _ in log] == ["d", "a", "c", "b"]

    def test_seconds_count_from_the_await(self, scheduler, clock):
        async def main():
            clock.advance(5)
            await sleep(1)

        scheduler.run(main())
        assert clock.idles == [1], "the five seconds of work were over when it began to sleep"

    def test_timers_are_seen_while_others_are_busy(self, scheduler, clock):
        log = []

        async def main():
            for lap in range(6):
                clock.advance(1)
                log.append(lap)
                await suspend(Scheduler.ready)

        scheduler.spawn(nap(log, 3, clock, "woke"))
        scheduler.run(main())
        assert log == [0, 1, 2, 3, ("woke", 4), 4, 5], (
            "a lap is over when all that were ready at its beginning had one step: "
            "then timers are looked at, and who is due goes behind who is ready"
        )

    def test_sleeper_woken_early_forgets_its_timer(self, scheduler, clock):
        async def restless():
            await suspend(lambda scheduler, task: scheduler.wake_at(5, task))
            await sleep(10)
            return clock.now

        async def main():
            task = scheduler.spawn(restless())
            await sleep(1)
            scheduler.ready(task)
            return await join(task)

        assert scheduler.run(main()) == 11, "the old timer, of 5, cut the second sleep short"
        assert clock.idles == [1, 10], "nobody waits for the old timer, so no gap ends there"

    def test_gap_is_the_time_to_the_deadline(self, scheduler, clock):
        gaps = []

        async def main():
            scheduler.spawn(sleep(7))
            await suspend(Scheduler.ready)
            gaps.append(scheduler.gap())
            clock.advance(9)
            gaps.append(scheduler.gap())

        scheduler.run(main())
        assert gaps == [7, 0], "due were 7 seconds, and nothing to wait for when it is overdue by 2"

    def test_nobody_sleeps_on_when_main_is_done(self, scheduler, clock):
        log = []
        scheduler.spawn(nap(log, 100, clock))
        scheduler.run(sleep(1))
        assert (clock.idles, log) == ([1], []), "run is over when its coroutine is"
        said = outcome(scheduler, sleep(200))
        assert (said, clock.idles) == (None, [1, 200]), (
            "the second run of one scheduler came upon a timer of the first"
        )
