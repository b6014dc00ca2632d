"""The pool of E2 before servers that others wrote, in real time, on asyncio and on trio."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
pytest.importorskip("aiohttp")

import math
from contextlib import aclosing

import anyio.lowlevel

from dojo.kit.real_peers import BIG
from katas.e2_connection_pool import Pool, ask


@pytest.mark.anyio
class TestRealPeers:
    async def test_one_connection_carries_all_they_answer(self, port: int) -> None:
        origin = f"http://127.0.0.1:{port}"
        async with aclosing(Pool(1)) as pool:
            connection = await pool.acquire(origin)
            await pool.release(connection, True)
            calls = [("GET", "/hello"), ("GET", "/stream"), ("HEAD", "/hello"), ("GET", "/nothing")]
            calls += [("GET", "/big"), ("GET", "/missing"), ("GET", "/hello")]
            for method, path in calls:
                await ask(pool, method, origin + path, 10)
            assert (await ask(pool, "POST", f"{origin}/echo", 10, "né".encode())).body == "né".encode()
            assert await pool.acquire(origin) is connection
            await pool.release(connection, False)

    async def test_many_calls_share_few_connections(self, port: int) -> None:
        bodies: list[bytes] = []

        async def call(pool: Pool, path: str) -> None:
            bodies.append((await pool.get(f"http://127.0.0.1:{port}{path}", 10)).body)

        async with aclosing(Pool(3)) as pool, anyio.create_task_group() as group:
            for path in ["/stream", "/nothing", "/big"] * 4:
                group.start_soon(call, pool, path)
        assert sorted(bodies) == sorted([b"Hello, World", b"", bytes(BIG)] * 4)

    async def test_call_that_is_cancelled_spoils_nothing(self, port: int) -> None:
        async with aclosing(Pool(1)) as pool:
            for turns in range(20):
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as group:
                        group.start_soon(pool.get, f"http://127.0.0.1:{port}/big", math.inf)
                        for _ in range(turns):
                            await anyio.lowlevel.checkpoint()
                        scope.cancel()
                assert (await pool.get(f"http://127.0.0.1:{port}/stream", 10)).body == b"Hello, World"
