"""Asking another service: an endpoint that waits, and makes nobody else wait."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from katas.e2_connection_pool import Pool
from katas.f2_mini_framework import App, HTTPError

T = TypeVar("T")
LIMIT = 10  # calls in flight at a time
_log = logging.getLogger(__name__)


async def fetch_all(get: Callable[[str], Awaitable[T]], urls: Iterable[str], limit: int) -> list[T]:
    """Return what get(url) returns for each of urls, in their order; at most limit calls are in flight.

    A place that gets free is used at once. The first failure cancels the other calls; when they
    have ended it comes out, as itself and not in a group. Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} calls")
    numbered = list(enumerate(urls))
    results: dict[int, T] = {}
    failures: list[BaseException] = []

    async def work(todo: Iterator[tuple[int, str]], cancel: Callable[[], object]) -> None:
        try:
            for number, url in todo:
                await checkpoint_if_cancelled()  # a call may have swallowed its cancellation
                results[number] = await get(url)
        except BaseException as error:
            failures.append(error)
            cancel()
            if isinstance(error, anyio.get_cancelled_exc_class()):
                raise

    async with anyio.create_task_group() as group:
        todo = iter(numbered)
        for _ in range(min(limit, len(numbered))):
            group.start_soon(work, todo, group.cancel_scope.cancel)
    if failures:
        raise failures[0]
    return [results[number] for number, _ in numbered]


async def fetch_some(
    get: Callable[[str], Awaitable[T]], urls: Iterable[str], per_call: float, limit: int = LIMIT
) -> list[T | Exception]:
    """Return for each of urls what get(url) returns, or the Exception that it raises; otherwise as fetch_all.

    A call that has not ended per_call seconds after it began is cancelled, and counts as a TimeoutError.
    No call's failure is another's. A cancellation of fetch_some itself goes through.
    """

    async def attempt(url: str) -> T | Exception:
        outcome: T | Exception
        with anyio.move_on_after(per_call) as scope:
            try:
                outcome = await get(url)
            except Exception as error:  # whatever it is, it is this result
                outcome = error
        return TimeoutError() if scope.cancel_called else outcome

    return await fetch_all(attempt, urls, limit)


def to_gateway_error(error: Exception) -> HTTPError:
    """Return what our client is told when the upstream fails: 504 for a TimeoutError, else 502.

    502 stands for any other OSError, EOFError, ValueError and anyio.BrokenResourceError (RFC 9110 sections
    15.6.3 and 15.6.5). The detail has nothing of the error's text, which tells where our upstream
    lives. Whatever else error is, it is a mistake of our own, and is raised.
    """
    match error:
        case TimeoutError():
            return HTTPError(504, "Gateway Timeout")
        case OSError() | EOFError() | ValueError() | anyio.BrokenResourceError():
            return HTTPError(502, "Bad Gateway")
    raise error


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError("a number that cannot be told on")
    return number


def _loads(body: bytes) -> Any:
    """Return the JSON value of an answer; ValueError also for NaN, Infinity and what is nested too deep."""
    try:
        return json.loads(body, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


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
        response = await pool.get(f"{base_url}/items/{quote(id, safe='')}", timeout)
        if response.status != 200:
            raise ValueError(f"the upstream answered {response.status}")
        return _loads(response.body)

    def blame(error: Exception) -> HTTPError:
        _log.warning("asking %s: %r", base_url, error)
        return to_gateway_error(error)

    @app.get("/items/{id}")
    async def item(id: str) -> Any:
        try:
            return await ask(id)
        except Exception as error:
            raise blame(error) from error

    @app.get("/items")
    async def items(ids: str) -> dict[str, Any]:
        wanted = list(dict.fromkeys(filter(None, ids.split(","))))
        outcomes = dict(zip(wanted, await fetch_some(ask, wanted, timeout, limit), strict=True))
        failed = {id: blame(what).status for id, what in outcomes.items() if isinstance(what, Exception)}
        return {"items": {id: what for id, what in outcomes.items() if id not in failed}, "failed": failed}

    return app
