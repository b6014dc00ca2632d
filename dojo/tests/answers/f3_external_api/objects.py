"""Asking another service: an endpoint that waits, and makes nobody else wait."""

import json
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import anyio

from katas.e2_connection_pool import Pool
from katas.f2_mini_framework import App, HTTPError

T = TypeVar("T")
LIMIT = 10  # calls in flight at a time
logger = logging.getLogger(__name__)


@dataclass
class Batch(Generic[T]):
    """Many calls, of which some are in flight: work() makes one after the other, as long as there are any."""

    get: Callable[[str], Awaitable[T]]
    todo: Iterator[tuple[int, str]]
    results: dict[int, T] = field(default_factory=dict)
    failure: Exception | None = None

    async def run(self, places: int) -> list[T]:
        async with anyio.create_task_group() as group:
            for _ in range(places):
                group.start_soon(self.work, group.cancel_scope)
        if self.failure is not None:
            raise self.failure
        return [self.results[index] for index in sorted(self.results)]

    async def work(self, scope: anyio.CancelScope) -> None:
        for index, url in self.todo:
            if self.failure is not None:
                return
            try:
                self.results[index] = await self.get(url)
            except Exception as error:
                self.failure = error if self.failure is None else self.failure
                scope.cancel()


async def fetch_all(get: Callable[[str], Awaitable[T]], urls: Iterable[str], limit: int) -> list[T]:
    """Return what get(url) returns for each of urls, in their order; at most limit calls are in flight.

    A place that gets free is used at once. The first failure cancels the other calls; when they
    have ended it comes out, as itself and not in a group. Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} lets nothing begin")
    all_urls = list(urls)
    return await Batch(get, enumerate(all_urls)).run(min(limit, len(all_urls)))


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """A call that takes at most `seconds`, and returns its failure in place of raising it."""

    get: Callable[[str], Awaitable[T]]
    seconds: float

    async def __call__(self, url: str) -> T | Exception:
        late = TimeoutError(f"no answer in {self.seconds} s")
        outcome: T | Exception = late
        with anyio.move_on_after(self.seconds) as scope:
            try:
                outcome = await self.get(url)
            except Exception as error:
                outcome = error
        return (
            late if scope.cancel_called else outcome
        )  # what comes after the end is too late, whatever it is


async def fetch_some(
    get: Callable[[str], Awaitable[T]], urls: Iterable[str], per_call: float, limit: int = LIMIT
) -> list[T | Exception]:
    """Return for each of urls what get(url) returns, or the Exception that it raises; otherwise as fetch_all.

    A call that has not ended per_call seconds after it began is cancelled, and counts as a TimeoutError.
    No call's failure is another's. A cancellation of fetch_some itself goes through.
    """
    return await fetch_all(Attempt(get, per_call), urls, limit)


def to_gateway_error(error: Exception) -> HTTPError:
    """Return what our client is told when the upstream fails: 504 for a TimeoutError, else 502.

    502 stands for any other OSError, EOFError, ValueError and anyio.BrokenResourceError (RFC 9110 sections
    15.6.3 and 15.6.5). The detail has nothing of the error's text, which tells where our upstream
    lives. Whatever else error is, it is a mistake of our own, and is raised.
    """
    if isinstance(error, TimeoutError):
        return HTTPError(504, "Gateway Timeout")
    if isinstance(error, OSError | EOFError | ValueError | anyio.BrokenResourceError):
        return HTTPError(502, "Bad Gateway")
    raise error


class NoAnswer(ValueError):  # noqa: N818
    """The upstream has said something, and it is no use."""


class Refusal:
    """For json.loads: what it would make a number of that no JSON can have again."""

    @staticmethod
    def constant(name: str) -> float:
        raise NoAnswer(f"{name} is no JSON")

    @staticmethod
    def too_large(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise NoAnswer(f"{text} is too large for a float")
        return value


@dataclass(frozen=True)
class Upstream:
    """The service next door, and the two endpoints that ask it."""

    base_url: str
    pool: Pool
    timeout: float
    limit: int

    def url_of(self, id: str) -> str:
        return self.base_url + "/items/" + quote(id, safe="")

    async def value_at(self, url: str) -> Any:
        response = await self.pool.get(url, self.timeout)
        if response.status != 200:
            raise NoAnswer(f"{url} answered {response.status}")
        try:
            return json.loads(response.body, parse_constant=Refusal.constant, parse_float=Refusal.too_large)
        except RecursionError:
            raise NoAnswer(f"{url} answered with JSON nested too deeply") from None

    async def item(self, id: str) -> Any:
        url = self.url_of(id)
        try:
            return await self.value_at(url)
        except Exception as error:
            raise self.told(id, error) from error

    async def items(self, ids: str) -> dict[str, dict[str, Any]]:
        wanted = {id: self.url_of(id) for id in ids.split(",") if id}
        outcomes = await fetch_some(self.value_at, wanted.values(), self.timeout, self.limit)
        answer: dict[str, dict[str, Any]] = {"items": {}, "failed": {}}
        for id, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, Exception):
                answer["failed"][id] = self.told(id, outcome).status
            else:
                answer["items"][id] = outcome
        return answer

    @staticmethod
    def told(id: str, error: Exception) -> HTTPError:
        """Return to_gateway_error(error), and log what the client is not told."""
        told = to_gateway_error(error)
        logger.warning("item %r: %d, since %r", id, told.status, error)
        return told


def make_app(base_url: str, timeout: float = 5.0, limit: int = LIMIT) -> App:
    """Return an app that answers with what the upstream at base_url has, on one Pool(limit) for all its life.

    GET /items/{id} answers with the JSON value at base_url + "/items/" + id, id as one segment of a URL. GET
    /items?ids=a,b,c answers {"items": {id: value}, "failed": {id: status}}, status as to_gateway_error
    has it, and asks for all of them at a time. No call takes longer than timeout seconds; an
    answer that is not 200, or no JSON, is a failure of the upstream. The app's shutdown closes the pool.
    """
    pool = Pool(limit)
    app = App(shutdown=pool.aclose)
    upstream = Upstream(base_url, pool, timeout, limit)
    app.get("/items/{id}")(upstream.item)
    app.get("/items")(upstream.items)
    return app
