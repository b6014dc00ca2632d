"""Threads that stand still where a test wants them to, and what becomes of tasks meanwhile.

Gate, held(thread)       the thread stands still in a call, until its gate is opened
stops_before(thread, …)  the thread stands still where it is about to run this statement
begun(work)              a task that has begun, and waits by now
stops(task)              cancels a task: does it end, although the thread stands still?
abandon(work, gate, n)   cancels work while a thread stands still, and sees that it ends so
close_inside(work)       closes a coroutine in the middle, as a scheduler does in the end
soon(awaitable, cause)   waits, unless nothing moves any more
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from dojo.kit.cancel import gave
from dojo.kit.sockets import complain

T = TypeVar("T")
PATIENCE = 5.0  # seconds that a thread stands at a gate which nobody opens, or has for its last line


class Gate:
    """Something to call in a thread, which stands still there until the gate is opened.

    Called in the loop's own thread it lets through, as nobody could open it then; reached() tells.
    """

    def __init__(self) -> None:
        self._loop, self._home = asyncio.get_running_loop(), threading.get_ident()
        self._is_reached, self._is_open = asyncio.Event(), threading.Event()
        self._came_to_the_loop = False
        self.thread = 0  # who stood here last

    def __call__(self, *_: object) -> int:
        self.thread = threading.get_ident()
        if self.thread == self._home:
            self._came_to_the_loop = True
            self._is_reached.set()
        elif not self._is_open.is_set():
            self._loop.call_soon_threadsafe(self._is_reached.set)
            self._is_open.wait(PATIENCE)
        return 1

    def open(self) -> None:
        self._is_open.set()

    async def reached(self, task: asyncio.Task[Any]) -> None:
        """Wait until a thread stands here; raise what task raises where it ends before that."""
        looking = asyncio.create_task(self._is_reached.wait())
        await asyncio.wait([task, looking], return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()
        if self._came_to_the_loop:
            complain("it ran in the thread of the event loop: nobody else can do anything until it ends")
        if not self._is_reached.is_set():
            complain(f"it gave {task.result()!r}, and what was to run in the thread has not run")


@asynccontextmanager
async def held(thread: Any) -> AsyncIterator[Gate]:
    """Let the thread stand still in a call. In the end the gate is opened, and the call over."""
    gate = Gate()
    call = asyncio.create_task(thread.call(gate))
    try:
        await gate.reached(call)
        yield gate
    finally:
        gate.open()
        await asyncio.wait([call])


@asynccontextmanager
async def stops_before(thread: Any, statement: str) -> AsyncIterator[Gate]:
    """Let the thread stand still where it is about to run a statement that begins so, the first time."""
    gate = Gate()

    def watch(sql: str) -> None:
        if sql.upper().startswith(statement):
            gate()

    await thread.call(lambda connection: connection.set_trace_callback(watch))
    try:
        yield gate
    finally:
        gate.open()


async def abandon(work: Coroutine[Any, Any, Any], gate: Gate, times: int) -> None:
    """Cancel work so many times while a thread stands at the gate; open it, and see that work ends so."""
    task = asyncio.create_task(work)
    try:
        await gate.reached(task)
    except Exception:
        complain(f"it was over before the thread had done what it had to wait for: it {gave(task)}")
    await let_it_run()
    for _ in range(times):
        task.cancel()
        await let_it_run()
    gate.open()
    await asyncio.wait([task])
    if not task.cancelled():
        complain(f"CancelledError was due, as it was cancelled while it had to wait: it {gave(task)}")


def close_inside(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine, waiting for each Future that it pauses with; where it pauses with None, close it."""
    answer = None
    while (waits_for := work.send(answer)) is not None:
        answer = waits_for.result()
    try:
        work.close()
    except RuntimeError as error:
        complain(f"it was closed, and waited once more, for which it is too late: {error}")


async def soon(awaitable: Awaitable[T], cause: str) -> T:
    """Return what awaitable returns; complain, with the cause, where everybody waits and it does not come."""
    try:
        # Virtual time: the deadline comes at once where nothing else can, and not before.
        return await asyncio.wait_for(awaitable, 3600)
    except TimeoutError:
        complain(f"everybody waits, and nothing moves any more: {cause}")


async def begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run work as a task, until it waits."""
    task = asyncio.create_task(work)
    await let_it_run()
    return task


async def stops(task: asyncio.Task[Any]) -> bool:
    """Cancel a task; has it ended with that, with no thread's help?"""
    task.cancel()
    await let_it_run()
    return task.cancelled()


async def let_it_run() -> None:
    """Give everybody on the loop all the turns that they can use while a thread stands still."""
    for _ in range(20):
        await asyncio.sleep(0)
