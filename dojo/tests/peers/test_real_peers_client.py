"""The client of E1 against servers that others wrote, in real time, on asyncio and on trio."""

from __future__ import annotations

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
pytest.importorskip("aiohttp")


import anyio

from dojo.kit.real_peers import BIG
from katas.e1_async_http_client import build_request, fetch, get, get_all


@pytest.mark.anyio
class TestRealPeers:
    @pytest.mark.parametrize(
        ("path", "status", "body"),
        [
            ("/hello", 200, None),
            ("/stream", 200, b"Hello, World"),
            ("/nothing", 204, b""),
            ("/big", 200, bytes(BIG)),
            ("/missing", 404, None),
        ],
    )
    async def test_get_understands_what_they_answer(
        self, port: int, path: str, status: int, body: bytes | None
    ) -> None:
        response = await get(f"http://127.0.0.1:{port}{path}", 10)
        assert response.status == status
        assert body is None or response.body == body

    async def test_hello_is_json(self, port: int) -> None:
        response = await get(f"http://127.0.0.1:{port}/hello", 10)
        assert response.headers["content-type"].startswith("application/json")
        assert response.body.replace(b" ", b"") == b'{"Hello":"World"}'

    async def test_name_is_looked_up(self, port: int) -> None:
        assert (await get(f"http://localhost:{port}/hello", 10)).status == 200

    async def test_one_stream_carries_many_requests(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        requests = [
            build_request("GET", f"{url}/stream"),
            build_request("HEAD", f"{url}/hello"),
            build_request("POST", f"{url}/echo", {"Expect": "100-continue"}, "né".encode()),
            build_request("POST", f"{url}/echo"),
            build_request("GET", f"{url}/nothing"),
        ]
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            bodies = [(await fetch(stream, request)).body for request in requests]
        assert bodies == [b"Hello, World", b"", "né".encode(), b"", b""]

    async def test_get_all_keeps_the_order(self, port: int) -> None:
        paths = ["/hello", "/stream", "/nothing", "/big"] * 3
        responses = await get_all([f"http://127.0.0.1:{port}{path}" for path in paths], limit=4)
        assert [response.status for response in responses] == [200, 200, 204, 200] * 3
