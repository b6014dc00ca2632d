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
    raise NotImplementedError


async def fetch_some(
    get: Callable[[str], Awaitable[T]], urls: Iterable[str], per_call: float, limit: int = LIMIT
) -> list[T | Exception]:
    """Return for each of urls what get(url) returns, or the Exception that it raises; otherwise as fetch_all.

    A call that has not ended per_call seconds after it began is cancelled, and counts as a TimeoutError.
    No call's failure is another's. A cancellation of fetch_some itself goes through.
    """
    raise NotImplementedError


def to_gateway_error(error: Exception) -> HTTPError:
    """Return what our client is told when the upstream fails: 504 for a TimeoutError, else 502.

    502 stands for any other OSError, EOFError, ValueError and anyio.BrokenResourceError (RFC 9110 sections
    15.6.3 and 15.6.5). The detail has nothing of the error's text, which tells where our upstream
    lives. Whatever else error is, it is a mistake of our own, and is raised.
    """
    raise NotImplementedError


def make_app(base_url: str, timeout: float = 5.0, limit: int = LIMIT) -> App:
    """Return an app that answers with what the upstream at base_url has, on one Pool(limit) for all its life.

    GET /items/{id} answers with the JSON value at base_url + "/items/" + id, id as one segment of a URL. GET
    /items?ids=a,b,c answers {"items": {id: value}, "failed": {id: status}}, status as to_gateway_error
    has it, and asks for all of them at a time. No call takes longer than timeout seconds; an
    answer that is not 200, or no JSON, is a failure of the upstream. The app's shutdown closes the pool.
    """
    raise NotImplementedError
