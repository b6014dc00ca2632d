"""Run a piece of foreign code so that it cannot take the whole run with it.

The code runs in a daemon thread of its own. The caller watches it, and gives up on it
when it computes for too long, stands still, or prints without end: then it says
where everybody is parked, stops the thread if it can be stopped, and goes on without it
if it cannot. Ctrl-C reaches the caller at once, whatever the code does.
"""

from __future__ import annotations

import ctypes
import gc
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from dojo import asyncs, parked, process

TICK = 0.05  # seconds between two looks at the thread
FLOOD = 10_000_000  # octets printed in one test


@dataclass(frozen=True)
class Limits:
    """When to give up, in seconds."""

    standing: float  # nobody in the process has done anything for so long
    computing: float  # CPU time of the thread
    in_all: float  # whatever it does
    unwinding: float  # what a stopped thread has to come to its end

    @classmethod
    def of(cls, patience: float) -> Limits:
        return cls(standing=patience, computing=1.5 * patience, in_all=15 * patience, unwinding=patience / 4)


class GaveUpError(Exception):
    """The code did not come to an end; the text says why, and where it stands."""


class BrokenKataError(Exception):
    """The code cannot be imported; the text says why."""


class _Stop(BaseException):
    """Thrown into a thread that is to end."""


@dataclass
class Outcome:
    """What a thread has to tell of itself."""

    clock: int | None = None  # of its CPU time, where the platform has one
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


abandoned: list[threading.Thread] = []
"""Threads that could not be stopped: whoever ends the process has to leave without them."""

left_behind: list[object] = []
"""Coroutines that were parked when a test was given up."""

suspended = False
"""True while a person is in a debugger: then nothing has a limit."""


def run(function: Callable[[], object], limits: Limits, name: str) -> None:
    """Call function within limits, in a thread of its own; raise what it raises.

    Raises GaveUpError where it goes beyond the limits; process.ExitCalledError where it calls os._exit.
    """
    if suspended:
        function()
        return
    outcome = Outcome()

    def body() -> None:
        if hasattr(time, "pthread_getcpuclockid"):
            outcome.clock = time.pthread_getcpuclockid(threading.get_ident())
        try:
            function()
        except BaseException as error:
            outcome.error = error
        finally:
            outcome.done.set()

    earlier = set(threading.enumerate())

    # Daemon: threads that the code starts in its turn inherit it, and so do
    # not keep the process alive.
    thread = threading.Thread(target=body, name=name, daemon=True)
    with process.exit_is_an_error(), process.last_resort(2 * limits.in_all):
        thread.start()
        verdict = _watch(outcome, limits)
        if verdict is not None:
            mine = sorted(set(threading.enumerate()) - earlier, key=lambda t: t.ident or 0)
            text = f"{verdict}\n{parked.describe([thread, *(t for t in mine if t is not thread)])}"
            _stop(thread, outcome.done, limits.unwinding)
            left_behind.extend(parked.coroutines())  # alive for ever: what closes one runs its code again
            gc.freeze()  # what stays parked is not to be described again with the next hang
            raise GaveUpError(text)
    if outcome.error is not None:
        try:
            raise outcome.error
        finally:
            outcome.error = None  # break the cycle of error, traceback and this frame


def _watch(outcome: Outcome, limits: Limits) -> str | None:
    """Wait for the end; the sentence that says why not to wait any longer, or None."""
    started = time.monotonic()
    quiet_ticks, last_cpu = 0, time.process_time()
    while not outcome.done.wait(TICK):
        if suspended:
            continue
        cpu = time.process_time()
        # The watch itself costs well under a tenth of a tick. Ticks are counted, not
        # seconds: a machine that stood still for a while is not the learner's fault.
        quiet = cpu - last_cpu < TICK / 10 and not _somebody_would_move()
        quiet_ticks = quiet_ticks + 1 if quiet else 0
        last_cpu = cpu
        if (printed := _printed()) > FLOOD:
            return f"it printed {printed // 1_000_000} million characters and goes on printing"
        if outcome.clock is not None and _seconds(outcome) > limits.computing:
            return f"it computed for {limits.computing:g} s and came to no end: an endless loop?"
        if quiet_ticks * TICK >= limits.standing:
            return f"it hangs: for {limits.standing:g} s nothing moved, everybody waits"
        if time.monotonic() - started > limits.in_all:
            return f"it did not end within {limits.in_all:g} s"
    return None


def _somebody_would_move() -> bool:
    """Does another thread wait for nothing but a core, or for a disk? (Only Linux can tell.)"""
    mine = str(threading.get_native_id())
    try:
        for task in set(os.listdir("/proc/self/task")) - {mine}:
            with open(f"/proc/self/task/{task}/stat", encoding="utf-8") as stat_file:
                if stat_file.read().rpartition(") ")[2][:1] in ("R", "D"):
                    return True
    except OSError:  # another system, or a thread that has just ended
        pass
    return False


def _seconds(outcome: Outcome) -> float:
    """The thread's CPU time; 0 once it has ended, as its clock may be another's by then."""
    try:
        seconds = time.clock_gettime(outcome.clock or 0)
    except OSError:
        return 0.0
    return 0.0 if outcome.done.is_set() else seconds


def _printed() -> int:
    """Octets in the file that pytest captures stdout in; 0 where stdout is anything else."""
    try:
        status = os.fstat(1)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _stop(thread: threading.Thread, done: threading.Event, grace: float) -> None:
    """Cancel what can be cancelled, throw _Stop into what cannot, and leave behind the rest."""
    asyncs.cancel_everything()
    done.wait(grace)
    for _ in range(2):  # the second for a loop that takes the first as a task's failure
        if not done.is_set():
            _throw(thread.ident or 0, ctypes.py_object(_Stop))
            asyncs.cancel_everything()  # it may sleep in its selector
            done.wait(grace)
    if not done.is_set():
        abandoned.append(thread)
        _take_back(thread.ident or 0)


def _throw(ident: int, exception: object) -> None:
    """Have an exception class raised in a thread, when it next runs Python code; None takes it back."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)


def _take_back(ident: int) -> None:
    """Take back what a thread that never runs again was to raise.

    The interpreter stays on the look-out for a pending exception until some thread has
    raised one, and Python 3.11 does not get on with tracing while it is. So we raise one.
    """
    _throw(ident, None)
    with suppress(_Stop):
        _throw(threading.get_ident(), ctypes.py_object(_Stop))
        for _ in range(1000):  # it comes at one of the next jumps
            pass


def leave_for_good(status: int) -> None:
    """End the process now where something that was left behind could keep it for ever."""
    if abandoned or left_behind:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
