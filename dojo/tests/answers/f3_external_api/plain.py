"""Asking another service: an endpoint that waits, and makes nobody else wait."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from katas.e2_connection_pool import Pool
from katas.f2_mini_framework import App, HTTPError

T = TypeVar("T")
log = logging.getLogger(__name__)
LIMIT = 10  # calls in flight at a time


async def fetch_all(get: Callable[[str], Awaitable[T]], urls: Iterable[str], limit: int) -> list[T]:
    """Return what get(url) returns for each of urls, in their order; at most limit calls are in flight.

    A place that gets free is used at once. The first failure cancels the other calls; when they
    have ended it comes out, as itself and not in a group. Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError("limit must be at least 1")
    todo = list(urls)
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    next_index = 0

    async def worker() -> None:
        nonlocal next_index
        while next_index < len(todo) and not failures:
            index = next_index
            next_index += 1
            try:
                results[index] = await get(todo[index])
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:
                failures.append(error)
                group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(min(limit, len(todo))):
            group.start_soon(worker)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(todo))]


async def fetch_some(
    get: Callable[[str], Awaitable[T]], urls: Iterable[str], per_call: float, limit: int = LIMIT
) -> list[T | Exception]:
    """Return for each of urls what get(url) returns, or the Exception that it raises; otherwise as fetch_all.

    A call that has not ended per_call seconds after it began is cancelled, and counts as a TimeoutError.
    No call's failure is another's. A cancellation of fetch_some itself goes through.
    """

    async def call(url: str) -> T | Exception:
        outcome: T | Exception = TimeoutError(f"no answer in {per_call} seconds")
        with anyio.move_on_after(per_call) as scope:
            try:
                outcome = await get(url)
            except Exception as error:
                outcome = error
        if scope.cancel_called:  # too late, whatever get has made of that
            return TimeoutError(f"no answer in {per_call} seconds")
        return outcome

    return await fetch_all(call, urls, limit)


def to_gateway_error(error: Exception) -> HTTPError:
    """Return what our client is told when the upstream fails: 504 for a TimeoutError, else 502.

    502 stands for any other OSError, EOFError, ValueError and anyio.BrokenResourceError (RFC 9110 sections
    15.6.3 and 15.6.5). The detail has nothing of the error's text, which tells where our upstream
    lives. Whatever else error is, it is a mistake of our own, and is raised.
    """
    if isinstance(error, TimeoutError):  # first: it is an OSError, too
        return HTTPError(504, "Gateway Timeout")
    if isinstance(error, (OSError, EOFError, ValueError, anyio.BrokenResourceError)):
        return HTTPError(502, "Bad Gateway")
    raise error


def make_app(base_url: str, timeout: float = 5.0, limit: int = LIMIT) -> App:
    """Return an app that answers with what the upstream at base_url has, on one Pool(limit) for all its life.

    GET /items/{id} answers with the JSON value at base_url + "/items/" + id, id as one segment of a URL. GET
    /items?ids=a,b,c answers {"items": {id: value}, "failed": {id: status}}, status as to_gateway_error
    has it, and asks for all of them at a time. No call takes longer than timeout seconds; an
    answer that is not 200, or no JSON, is a failure of the upstream. The app's shutdown closes the pool.
    """
    pool = Pool(limit)
    app = App(shutdown=pool.aclose)

    async def ask(id: str) -> Any:
        response = await pool.get(base_url + "/items/" + quote(id, safe=""), timeout)
        if response.status != 200:
            raise ValueError(f"upstream answered {response.status}")
        try:
            value = json.loads(response.body)
            json.dumps(value, allow_nan=False)  # NaN is no JSON, and could not be handed on
        except RecursionError as error:
            raise ValueError("upstream's JSON is nested too deeply") from error
        return value

    @app.get("/items/{id}")
    async def item(id: str) -> Any:
        try:
            return await ask(id)
        except Exception as error:
            log.warning("item %r: %r", id, error)
            raise to_gateway_error(error) from error

    @app.get("/items")
    async def items(ids: str) -> Any:
        found = {}
        failed = {}
        wanted = [id for id in dict.fromkeys(ids.split(",")) if id != ""]
        for id, result in zip(wanted, await fetch_some(ask, wanted, timeout, limit), strict=True):
            if isinstance(result, Exception):
                log.warning("item %r: %r", id, result)
                failed[id] = to_gateway_error(result).status
            else:
                found[id] = result
        return {"items": found, "failed": failed}

    return app
