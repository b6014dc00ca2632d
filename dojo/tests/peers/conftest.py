"""Servers that others wrote, for the clients of the katas: in real time, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dojo.kit.real_peers import BIG, aiohttp_server, uvicorn_server


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)  # real time: the servers are threads with loops of their own


@pytest.fixture(params=[uvicorn_server, aiohttp_server], ids=["uvicorn", "aiohttp"], scope="module")
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with request.param(BIG) as port:
        yield port
