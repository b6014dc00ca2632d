"""What can be asked of a pool of connections, and its waiters, on asyncio and trio."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import anyio

from dojo.kit.sockets import complain

T = TypeVar("T")

A_WHILE = 20  # seconds, virtual ones where the loop's time is: less than an upstream's SPARE
MANY = 9  # connections, more than any pool in a test may lend


async def patiently(call: Awaitable[T]) -> T | None:
    """Return what comes of call, or None where it goes on waiting for a while: it is cancelled then."""
    with anyio.move_on_after(A_WHILE):
        return await call
    return None


async def use(pool: Any, url: str, times: int = 1) -> list[Any]:
    """Acquire so many connections together, and release them all, to be kept; return them."""
    lent = [await pool.acquire(url) for _ in range(times)]
    for connection in lent:
        await pool.release(connection, True)
    return lent


async def free_slots(pool: Any, url: str) -> int:
    """How many connections a pool lends until somebody has to wait; they are given back, to be closed."""
    lent: list[Any] = []
    while len(lent) < MANY and (connection := await patiently(pool.acquire(url))) is not None:
        lent.append(connection)
    for connection in lent:
        await pool.release(connection, False)
    return len(lent)


async def served(pool: Any, url: str, waiters: str) -> str:
    """The order in which waiters get the one connection of a pool.

    All but the last wait when it comes back, and the last asks for it in the same moment.
    """
    order = []

    async def wait(name: str) -> None:
        connection = await pool.acquire(url)
        order.append(name)  # not later: while it is released, the next one may be served
        await pool.release(connection, True)

    held = await pool.acquire(url)
    async with anyio.create_task_group() as group:
        for name in waiters[:-1]:
            group.start_soon(wait, name)
            await anyio.wait_all_tasks_blocked()
        await pool.release(held, True)
        await wait(waiters[-1])
    return "".join(order)


async def hand_to_a_quitter(pool: Any, url: str, quits: str) -> None:
    """Give the one connection of a pool back, and cancel who waits for it just "before" or "after" that."""
    scope = anyio.CancelScope()
    raised: list[Exception] = []

    async def wait() -> None:
        with scope:
            try:
                await use(pool, url)
            except (LookupError, ValueError) as error:  # a place in line that is not there any more
                raised.append(error)

    held = await pool.acquire(url)
    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        if quits == "before":
            scope.cancel()
        await pool.release(held, True)
        scope.cancel()
    if raised:
        complain(
            f"who waited for a slot was cancelled just {quits} it got one, and acquire raised {raised[0]!r}"
        )


async def heard_by_waiters(pool: Any, url: str) -> list[str]:
    """What two hear who wait for the one connection of a pool, when it comes back and the pool was closed."""
    heard = []

    async def wait() -> None:
        try:
            heard.append(type(await patiently(pool.acquire(url))).__name__)
        except (OSError, anyio.ClosedResourceError) as error:
            heard.append(type(error).__name__)

    held = await pool.acquire(url)
    async with anyio.create_task_group() as group:
        for _ in "12":
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
        await pool.aclose()
        await pool.release(held, True)
    return heard
