"""Asking another service: an endpoint that waits, and makes nobody else wait."""

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from katas.e2_connection_pool import Pool
from katas.f2_mini_framework import App, HTTPError

T = TypeVar("T")
LIMIT = 10  # calls in flight at a time


async def fetch_all(get: Callable[[str], Awaitable[T]], urls: Iterable[str], limit: int) -> list[T]:
    """Return what get(url) returns for each of urls, in their order; at most limit calls are in flight.

    A place that gets free is used at once. The first failure cancels the other calls; when they
    have ended it comes out, as itself and not in a group. Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} lets nothing through")
    urls = list(urls)
    results: dict[int, T] = {}
    todo = iter(enumerate(urls))

    async def work() -> None:
        for place, url in todo:  # all workers share it: each url is taken by one of them
            results[place] = await get(url)

    try:
        async with anyio.create_task_group() as workers:
            for _ in range(min(limit, len(urls))):
                workers.start_soon(work)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [results[place] for place in range(len(urls))]


async def fetch_some(
    get: Callable[[str], Awaitable[T]], urls: Iterable[str], per_call: float, limit: int = LIMIT
) -> list[T | Exception]:
    """Return for each of urls what get(url) returns, or the Exception that it raises; otherwise as fetch_all.

    A call that has not ended per_call seconds after it began is cancelled, and counts as a TimeoutError.
    No call's failure is another's. A cancellation of fetch_some itself goes through.
    """

    async def attempt(url: str) -> T | Exception:
        try:
            with anyio.fail_after(per_call):
                return await get(url)
        except Exception as error:  # a cancellation is none, on asyncio and on trio
            return error

    return await fetch_all(attempt, urls, limit)


def to_gateway_error(error: Exception) -> HTTPError:
    """Return what our client is told when the upstream fails: 504 for a TimeoutError, else 502.

    502 stands for any other OSError, EOFError, ValueError and anyio.BrokenResourceError (RFC 9110 sections
    15.6.3 and 15.6.5). The detail has nothing of the error's text, which tells where our upstream
    lives. Whatever else error is, it is a mistake of our own, and is raised.
    """
    if isinstance(error, TimeoutError):  # which is an OSError, too
        return HTTPError(504, "the upstream did not answer in time")
    if isinstance(error, OSError | EOFError | ValueError | anyio.BrokenResourceError):
        return HTTPError(502, "the upstream did not answer well")
    raise error


def make_app(base_url: str, timeout: float = 5.0, limit: int = LIMIT) -> App:
    """Return an app that answers with what the upstream at base_url has, on one Pool(limit) for all its life.

    GET /items/{id} answers with the JSON value at base_url + "/items/" + id, id as one segment of a URL. GET
    /items?ids=a,b,c answers {"items": {id: value}, "failed": {id: status}}, status as to_gateway_error
    has it, and asks for all of them at a time. No call takes longer than timeout seconds; an
    answer that is not 200, or no JSON, is a failure of the upstream. The app's shutdown closes the pool.
    """
    pool = Pool(limit)  # it connects to nobody yet
    app = App(shutdown=pool.aclose)

    async def get_value(url: str) -> Any:
        response = await pool.get(url, timeout)
        if response.status != 200:
            raise ValueError(f"{url} was answered with {response.status}")
        return json.loads(response.body)

    def url_of(id: str) -> str:
        return f"{base_url}/items/{quote(id, safe='')}"  # "a?b" and "a#b" are ids, and no query, no fragment

    @app.get("/items/{id}")
    async def item(id: str) -> Any:
        try:
            return await get_value(url_of(id))
        except Exception as error:
            raise to_gateway_error(error) from error

    @app.get("/items")
    async def items(ids: str) -> Any:
        names = [*dict.fromkeys(ids.split(","))]
        results = await fetch_some(get_value, map(url_of, names), timeout, limit)
        found: dict[str, Any] = {}
        failed: dict[str, int] = {}
        for name, result in zip(names, results, strict=True):
            if isinstance(result, Exception):
                failed[name] = to_gateway_error(result).status
            else:
                found[name] = result
        return {"items": found, "failed": failed}

    return app
