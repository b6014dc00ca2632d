"""The kit's clock and barrier: time that obeys, and waits that end in a sentence."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest

from dojo.kit.barrier import Barrier
from dojo.kit.cancel import cancel_at, cancel_task_at
from dojo.kit.clock import Deadlock, new_event_loop

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(coroutine)


class TestClock:
    def test_sleeping_takes_no_time(self) -> None:
        async def sleepers() -> float:
            await asyncio.gather(*(asyncio.sleep(3600) for _ in range(3)))
            await asyncio.sleep(1)
            return asyncio.get_running_loop().time()

        start = time.monotonic()
        assert run(sleepers()) == 3601
        assert time.monotonic() - start < 60

    def test_deadlock_is_said_at_once(self) -> None:
        async def wait() -> None:
            await asyncio.Event().wait()

        with pytest.raises(Deadlock, match="a deadlock: every task waits"):
            run(wait())

    def test_octets_arrive_before_time_goes_on(self) -> None:
        async def ping() -> bytes:
            async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(b"hi")
                await reader.read()
                writer.close()
                await writer.wait_closed()

            server = await asyncio.start_server(greet, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answer = await asyncio.wait_for(reader.readexactly(2), 0.001)
            writer.close()
            await writer.wait_closed()
            server.close()
            await asyncio.sleep(1)
            return answer

        assert run(ping()) == b"hi"

    @pytest.mark.parametrize("offload", [asyncio.to_thread, anyio.to_thread.run_sync])
    def test_thread_at_work_is_waited_for(self, offload: object) -> None:
        async def work() -> float:
            held = threading.Event()
            threading.Timer(0.05, held.set).start()
            for _ in range(2):  # the second time by a thread that has been idle
                await asyncio.wait_for(offload(held.wait), 3600)  # type: ignore[operator]
                await asyncio.sleep(100)
            return asyncio.get_running_loop().time()

        assert 200 <= run(work()) < 210

    def test_pool_of_ones_own_is_waited_for_and_may_rest(self) -> None:
        async def work() -> float:
            with ThreadPoolExecutor(1) as pool:
                for _ in range(50):
                    await asyncio.wrap_future(pool.submit(sum, range(100)))
                await asyncio.wrap_future(pool.submit(time.sleep, 0.02))
                await asyncio.sleep(3600)  # nobody is at work: the clock moves
            return asyncio.get_running_loop().time()

        assert run(work()) == 3600

    def test_thread_that_hangs_meets_its_deadline(self) -> None:
        async def work(held: threading.Event) -> None:
            try:
                async with asyncio.timeout(0.05):
                    await asyncio.to_thread(held.wait)
            finally:
                held.set()

        with pytest.raises(TimeoutError):
            run(work(threading.Event()))

    def test_nothing_is_left_open(self) -> None:
        loop = new_event_loop()
        a, b = socket.socketpair()
        with a, b:
            a.setblocking(False)
            loop.add_reader(a, lambda: None)
            loop.run_until_complete(asyncio.sleep(1))  # moves the clock: the fence is made
            loop.remove_reader(a)
            loop.close()
        assert loop._virtual._fence is not None
        assert loop._virtual._fence._in.fileno() == -1


class TestBarrier:
    def test_calls_together_pass(self) -> None:
        barrier = Barrier(3)

        async def calls() -> None:
            await asyncio.gather(*(barrier.call() for _ in range(5)))

        run(calls())
        assert (barrier.most, barrier.in_flight, barrier.finished) == (5, 0, 5)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    @pytest.mark.parametrize(
        ("together", "says"), [(1, "one after the other"), (2, "never were more than 2")]
    )
    def test_too_few_are_told_so(self, backend: str, together: int, says: str) -> None:
        barrier = Barrier(3)

        async def calls() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(together):
                    group.start_soon(barrier.call)

        with pytest.raises(ExceptionGroup) as failure:
            anyio.run(calls, backend=backend)
        assert re.search(says, str(failure.value.exceptions[0]))


class TestCancelAt:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_each_point_once(self, backend: str) -> None:
        reached = []

        async def three() -> None:
            for point in range(3):
                reached.append(point)
                await anyio.lowlevel.checkpoint()

        async def every() -> int:
            point = 1
            while await cancel_at(point, three):
                point += 1
            return point - 1

        assert anyio.run(every, backend=backend) >= 3
        assert reached[-3:] == [0, 1, 2]


class TestCancelTaskAt:
    def test_each_point_once_and_only_once(self) -> None:
        reached: list[object] = []

        async def two() -> None:
            for point in range(2):
                reached.append(point)
                try:
                    await asyncio.sleep(1)
                finally:
                    await asyncio.sleep(1)  # interrupted where anyio cancels: it does so again and again
                    reached.append("tidy")

        async def every() -> list[str | None]:
            return [await cancel_task_at(point, two) for point in range(1, 6)]

        where = run(every())
        assert [bool(place) for place in where] == [True, True, True, True, False]
        assert reached[:2] == [0, "tidy"]

    def test_swallowed_cancellation_is_told(self) -> None:
        async def deaf() -> str:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
            return "done"

        with pytest.raises(AssertionError, match=r"in sleep\(\), it went on, and gave 'done'"):
            run(cancel_task_at(1, deaf))
