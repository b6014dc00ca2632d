"""An asyncio loop on virtual time: sleeping takes no time, and a deadlock is said at once.

    new_event_loop()    for asyncio.Runner, anyio's {"loop_factory": ...}, pytest-asyncio's hook

trio has its own: trio.testing.MockClock(autojump_threshold=0).
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import thread as pools
from typing import Any

from dojo import parked
from dojo.kit.fence import Fence

SLICE = 0.01  # seconds between two looks whether a thread is still at work
MOMENT = 0.0005  # seconds in which a thread that can run gets its turn
POOLED = ("asyncio_", "ThreadPoolExecutor")  # threads that outlive their work: the loop counts it


class Deadlock(AssertionError):  # noqa: N818  it is one, whoever is at fault
    """Nobody can go on: every task waits, and nothing is left that could wake one."""


class VirtualTimeSelector(selectors.DefaultSelector):
    """Where a selector would wait for a timer, this one moves the clock instead.

    Sockets work as ever: octets on their way between two of this process arrive first.
    While a thread that was started since is at work, time is real, as nobody knows how
    long that takes. Threads that were there before, and those named "dojo...", do not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.in_executor = 0
        self._before = set(threading.enumerate())
        self._fence: Fence | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if (ready := super().select(0)) or (timeout is not None and timeout <= 0):
            return ready
        waited = 0.0
        while (timeout is None or waited < timeout) and self._others_work():
            if ready := super().select(SLICE):
                return ready
            waited += SLICE
        if len(self.get_map()) > 1:  # more than the loop's own wake-up socket
            self._fence = self._fence or Fence()
            self._fence.wait()
        if ready := super().select(0):  # what came while we looked at threads and fence
            return ready
        if timeout is None:
            raise Deadlock(
                f"a deadlock: every task waits, and nothing is left to wake one\n{parked.describe([])}"
            )
        self.now += timeout
        return []

    def close(self) -> None:
        if self._fence is not None:
            self._fence.close()
        super().close()

    def _others_work(self) -> bool:
        known = {*self._before, threading.current_thread()}
        others = [thread for thread in threading.enumerate() if thread not in known]
        if self.in_executor > 0 or any(map(works, others)):
            return True
        if not any(thread in pools._threads_queues for thread in others):
            return False
        time.sleep(MOMENT)  # one of a pool may have taken a job just now, and not looked at it yet
        return any(map(works, others))


def works(thread: threading.Thread) -> bool:
    """Is this thread at work, as far as anybody can tell? One of a pool that has nothing to do is not."""
    jobs: Any = getattr(thread, "queue", None)  # anyio's worker threads have one, and stay when it is empty
    if hasattr(jobs, "unfinished_tasks"):
        return bool(jobs.unfinished_tasks)
    if thread in pools._threads_queues:  # those of a ThreadPoolExecutor stay too
        return not (pools._threads_queues[thread].empty() and _rests(thread))
    return not thread.name.startswith((*POOLED, "dojo"))


def _rests(thread: threading.Thread) -> bool:
    """Does a thread of a ThreadPoolExecutor stand where it waits for the next job, and none is on its way?"""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return True
    if frame.f_code is not pools._worker.__code__ or frame.f_locals.get("work_item") is not None:
        return False
    # Since Python 3.13 a job can have left the queue, and not reached the thread yet.
    pool = frame.f_locals["executor_reference"]()
    return pool is None or pool._idle_semaphore._value >= len(pool._threads)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, but for what its clock says."""

    def __init__(self) -> None:
        self._virtual = VirtualTimeSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = super().run_in_executor(executor, func, *args)
        self._virtual.in_executor += 1
        future.add_done_callback(self._executed)
        return future

    def _executed(self, future: asyncio.Future[Any]) -> None:
        self._virtual.in_executor -= 1


def new_event_loop() -> VirtualTimeLoop:
    return VirtualTimeLoop()
