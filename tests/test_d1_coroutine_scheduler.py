"""A task runs until it traps; the scheduler gives everybody a turn, and loses nobody."""

import inspect

import pytest

from dojo.kit.manual_clock import ManualClock, no_spinning
from katas.d1_coroutine_scheduler import Scheduler, Task, join, sleep, suspend

NO_END = "nobody is ready and no timer is set, so this is a deadlock: say so at once"


def nowhere(scheduler, task):
    """A trap that parks the task and tells nobody."""


async def ask(log):
    log.append("asks")
    answer = await suspend(nowhere)
    log.append(answer)
    return f"was told {answer}"


async def fail(error):
    raise error


async def count(log, name, times):
    for number in range(times):
        log.append(f"{name}{number}")
        await suspend(Scheduler.ready)


async def stay(log, name):
    try:
        await suspend(nowhere)
    finally:
        log.append(f"{name} cleaned up")


async def trapped(trap):
    return await suspend(trap)


async def nap(log, seconds, clock, name=None):
    await sleep(seconds)
    log.append((name or seconds, clock.now))


def deadlock(scheduler, coroutine):
    """Return what the RuntimeError says that is due."""
    with no_spinning(NO_END):
        try:
            return f"nothing: run() returned {scheduler.run(coroutine)}"
        except NotImplementedError:  # a RuntimeError too
            raise
        except RuntimeError as error:
            return str(error)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def scheduler(clock):
    return Scheduler(clock=clock, idle=clock.idle)


class TestTask:
    def test_step_runs_up_to_the_next_trap(self, scheduler):
        log = []
        task = Task(ask(log))
        assert log == [], "making a task runs nothing: its first step does"
        task.step(scheduler)
        assert log == ["asks"]

    def test_trap_is_called_with_scheduler_and_parked_task(self, scheduler):
        calls = []
        task = Task(trapped(lambda *args: calls.append((*args, args[-1].state))))
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

    def test_next_step_throws_the_error_in(self, scheduler):
        log = []

        async def catch():
            try:
                log.append(await suspend(nowhere))
            except KeyError as error:
                log.append(repr(error))

        task = Task(catch())
        task.step(scheduler)
        task.error = KeyError("lost")
        task.step(scheduler)
        assert log == ["KeyError('lost')"], "the await has to raise what the task was woken with"

    def test_returned_value_is_kept_as_result(self, scheduler):
        task = Task(ask([]))
        task.step(scheduler)
        task.answer = "yes"
        task.step(scheduler)
        assert (task.state, task.result) == ("finished", "was told yes"), (
            "StopIteration carries what was returned"
        )

    def test_exception_is_kept_and_not_raised(self, scheduler):
        error = ZeroDivisionError()
        task = Task(fail(error))
        task.step(scheduler)
        assert (task.state, task.exception) == ("finished", error), (
            "one task's failure is not the scheduler's"
        )

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_order_to_stop_goes_on_to_the_caller(self, error, scheduler):
        with pytest.raises(error):
            Task(fail(error())).step(scheduler)

    def test_repr_names_the_coroutine_and_its_state(self, scheduler):
        task = Task(ask([]))
        task.step(scheduler)
        assert str(task) == "ask", "people look for a task by the name of its coroutine"
        for word in ("ask", "parked"):
            assert word in repr(task), f"repr(task) is {task!r}, in which there is no {word!r}"


class TestScheduler:
    def test_run_returns_what_the_coroutine_returned(self, scheduler):
        async def main():
            return 42

        assert scheduler.run(main()) == 42

    def test_run_raises_what_the_coroutine_raised(self, scheduler):
        with pytest.raises(ZeroDivisionError):
            scheduler.run(fail(ZeroDivisionError()))

    def test_spawn_runs_nothing_before_run_does(self, scheduler):
        log = []
        task = scheduler.spawn(count(log, "a", 1))
        assert (log, str(task)) == ([], "count"), "spawn only puts it at the end of the ready queue"
        scheduler.run(count(log, "main", 2))
        assert log == ["a0", "main0", "main1"], "who was spawned first goes first"

    def test_function_that_was_not_called_is_refused(self, scheduler):
        with pytest.raises(TypeError):
            scheduler.spawn(count)

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
            log.append("main goes on")
            await suspend(Scheduler.ready)
            log.append("main is back")
            await suspend(Scheduler.ready)

        scheduler.spawn(main())
        scheduler.run(count(log, "x", 4))
        assert log[:4] == ["asks", "x0", "main goes on", "x1"], (
            "waking somebody is not running it: x was ready before"
        )
        assert log[4:7] == ["woken", "new0", "main is back"], "they run in the order in which they got ready"

    def test_answer_and_error_reach_the_await(self, scheduler):
        async def main():
            told = await suspend(lambda scheduler, task: scheduler.ready(task, "hello"))
            with pytest.raises(KeyError):
                await suspend(lambda scheduler, task: scheduler.ready(task, error=KeyError()))
            return told

        assert scheduler.run(main()) == "hello", "ready(task, answer) is what the await returns"

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

    @pytest.mark.parametrize("thing", [42, None])
    def test_yield_of_no_trap_is_a_type_error_there(self, scheduler, thing):
        async def main():
            with pytest.raises(TypeError, match=repr(thing)):
                await suspend(thing)
            return "went on"

        assert scheduler.run(main()) == "went on"

    def test_exception_in_a_trap_goes_to_the_task(self, scheduler):
        def broken(scheduler, task):
            raise LookupError("no such place")

        async def main():
            with pytest.raises(LookupError):
                await suspend(broken)
            return "went on"

        assert scheduler.run(main()) == "went on"

    def test_failures_nobody_joined_come_at_the_end(self, scheduler):
        for number in range(2):
            scheduler.spawn(fail(ValueError(number)))
        log = []
        with pytest.raises(ExceptionGroup) as raised:
            scheduler.run(count(log, "main", 2))
        assert log == ["main0", "main1"], "one task's failure ended the others"
        assert sorted(error.args[0] for error in raised.value.exceptions) == [0, 1], "no failure may vanish"

    def test_failures_are_notes_on_what_is_raised_anyway(self, scheduler):
        async def main():
            await suspend(Scheduler.ready)
            raise KeyError("mine")

        scheduler.spawn(fail(ValueError("unheard")))
        with pytest.raises(KeyError) as raised:
            scheduler.run(main())
        notes = "".join(getattr(raised.value, "__notes__", []))
        assert "ValueError('unheard')" in notes, (
            f"nobody will hear of the other failure: the notes are {notes!r}"
        )

    def test_coroutines_left_over_are_closed(self, scheduler):
        log = []
        scheduler.spawn(stay(log, "parked"))

        async def main():
            new = stay(log, "new")
            scheduler.spawn(new)
            return new

        new = scheduler.run(main())
        assert log == ["parked cleaned up"], (
            "run was over: finally of who had begun was due, and of nobody else"
        )
        assert inspect.getcoroutinestate(new) == "CORO_CLOSED", "it would be warned of as never awaited"

    def test_nobody_takes_a_step_after_the_end(self, scheduler):
        log, sleepers = [], []

        async def waker():
            await suspend(Scheduler.ready)
            scheduler.ready(sleepers[0])
            await suspend(Scheduler.ready)  # so it stands right behind main, in the same lap
            log.append("one more step")

        scheduler.spawn(waker())
        scheduler.run(trapped(lambda scheduler, task: sleepers.append(task)))
        assert log == [], "in the lap in which main finished, those behind it were still run"

    def test_leftovers_are_closed_when_main_fails_too(self, scheduler):
        log = []
        scheduler.spawn(stay(log, "parked"))
        with pytest.raises(ZeroDivisionError):
            scheduler.run(fail(ZeroDivisionError()))
        assert log == ["parked cleaned up"]

    def test_cleanup_that_fails_neither_vanishes_nor_stops_others(self, scheduler):
        async def clumsy():
            try:
                await suspend(nowhere)
            finally:
                raise ValueError("in the cleanup")

        log = []
        for coroutine in (stay(log, "first"), clumsy(), stay(log, "last")):
            scheduler.spawn(coroutine)
        with pytest.raises(ExceptionGroup) as raised:
            scheduler.run(count([], "main", 2))
        assert sorted(log) == ["first cleaned up", "last cleaned up"], (
            "one bad cleanup cost the others theirs"
        )
        assert [repr(error) for error in raised.value.exceptions] == ["ValueError('in the cleanup')"]

    def test_second_run_begins_afresh(self, scheduler):
        log = []
        scheduler.spawn(count(log, "old", 5))
        scheduler.run(count(log, "main", 1))
        log.clear()
        scheduler.run(count(log, "again", 2))
        assert log == ["again0", "again1"], "the first run had closed the others"

    def test_deadlock_is_said_at_once(self, scheduler):
        said = deadlock(scheduler, ask([]))
        assert "ask waits for" in said, f"a RuntimeError that names the parked task was due; it says {said}"


class TestJoin:
    def test_returns_the_result_of_a_running_task(self, scheduler):
        async def main():
            task = scheduler.spawn(trapped(lambda scheduler, task: scheduler.ready(task, "result")))
            return await join(task)

        assert scheduler.run(main()) == "result"

    def test_returns_the_result_after_the_end_too(self, scheduler):
        async def main():
            task = scheduler.spawn(trapped(lambda scheduler, task: scheduler.ready(task, "result")))
            await count([], "main", 5)
            return [await join(task), await join(task)]

        assert scheduler.run(main()) == ["result", "result"], "a result may be asked for late, and again"

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
            with pytest.raises(KeyError):
                await join(task)
            return "heard"

        assert scheduler.run(main()) == "heard", "it was joined: run has nothing left to complain about"

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
        async def egg():
            await join(tasks["hen"])

        async def hen():
            await join(tasks["egg"])

        tasks = {"hen": scheduler.spawn(hen()), "egg": scheduler.spawn(egg())}
        said = deadlock(scheduler, ask([]))
        for due in ("hen waits for egg", "egg waits for hen"):
            assert due in said, f"that {due} was due to be said; the RuntimeError says {said}"

    def test_joiner_woken_otherwise_is_forgotten(self, scheduler):
        log = []

        async def wait(task):
            with pytest.raises(KeyError):
                await join(task)
            await ask(log)

        async def main():
            task = scheduler.spawn(ask([]))
            joiner = scheduler.spawn(wait(task))
            await count([], "main", 2)
            scheduler.ready(joiner, error=KeyError())
            await count([], "main", 2)
            scheduler.ready(task)
            await count([], "main", 2)

        scheduler.run(main())
        assert log == ["asks"], "the task that it no longer waits for woke it from another wait"


class TestSleep:
    def test_idles_once_for_exactly_the_gap(self, scheduler, clock):
        scheduler.run(sleep(2.5))
        assert clock.idles == [2.5], "one idle for the whole gap was due"

    def test_zero_lets_the_others_go_first(self, scheduler, clock):
        log = []

        async def main():
            scheduler.spawn(count(log, "other", 1))
            await sleep(0)
            log.append("main")

        scheduler.run(main())
        assert log == ["other0", "main"], "sleep(0) has to suspend, or nobody else's turn comes"
        assert clock.idles == []

    def test_sleepers_wake_by_deadline_one_gap_each(self, scheduler, clock):
        log = []
        for seconds in (3, 1, 2):
            scheduler.spawn(nap(log, seconds, clock))
        scheduler.run(sleep(4))
        assert log == [(1, 1), (2, 2), (3, 3)], "due were (seconds, time when it woke)"
        assert clock.idles == [1, 1, 1, 1], "they sleep at the same time: one gap up to each deadline"

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
                await sleep(0)

        scheduler.spawn(nap(log, 3, clock, "woke"))
        scheduler.run(main())
        assert log == [0, 1, 2, 3, ("woke", 4), 4, 5], (
            "its deadline was over after lap 2: it joins the next lap"
        )

    def test_all_that_are_overdue_wake_in_order(self):
        clock = ManualClock(oversleep=10)
        log = []
        scheduler = Scheduler(clock=clock, idle=clock.idle)
        for seconds in (3, 1, 2):
            scheduler.spawn(nap(log, seconds, clock))
        scheduler.run(sleep(4))
        assert log == [(1, 11), (2, 11), (3, 11)], "a machine that slept too long makes up for it in one lap"
        assert clock.idles == [1]

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

    def test_gap_is_the_time_until_something_happens(self, scheduler):
        gaps = []

        async def main():
            gaps.append(scheduler.gap())
            other = scheduler.spawn(sleep(7))
            gaps.append(scheduler.gap())
            await sleep(0)
            gaps.append(scheduler.gap())
            scheduler.ready(other)
            await sleep(0)
            gaps.append(scheduler.gap())

        scheduler.run(main())
        assert gaps == [None, 0, 7, None], (
            "due were: nothing to come, a task ready, a timer, a timer forgotten"
        )

    def test_nobody_sleeps_on_when_main_is_done(self, scheduler, clock):
        log = []
        scheduler.spawn(nap(log, 100, clock))
        scheduler.run(sleep(1))
        assert (clock.idles, log) == ([1], []), "run is over when its coroutine is"
        scheduler.run(sleep(200))
        assert clock.idles == [1, 200], "a timer of the first run ended a gap of the second"
