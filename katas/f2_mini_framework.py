"""A web framework: FastAPI's front in 150 lines."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from katas.f1_asgi_app import Receive, Scope, Send, lifespan, read_body

Endpoint: TypeAlias = Callable[..., Any]  # returns a Reply, a JSON value, or an awaitable of one of them
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]  # how an event loop waits for a thread
Hook: TypeAlias = Callable[[], Awaitable[object]] | None
Texts: TypeAlias = Mapping[str, str]
F = TypeVar("F", bound=Endpoint)


@dataclass(slots=True, frozen=True)
class Reply:
    """An answer that is more than a JSON value. (Given.)"""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Texts = field(default_factory=dict)  # besides Content-Type and Content-Length


class HTTPError(Exception):
    """Raised to be answered with this status and {"detail": detail}, any JSON value. (Given.)"""

    def __init__(self, status: int, detail: Any, headers: Texts | None = None) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


def convert(text: str, kind: Any) -> Any:
    """Return text as a str, int, float or bool, or whatever else a parameter is annotated with.

    An int is "-" or nothing, then digits 0 to 9; a float besides may have a dot and digits behind them, then
    an exponent ("e9", "E-9"), and is finite; a bool is true, 1, false or 0, in letters of either case. Any is
    str, X | None is X, and any other kind is called with the text. Raises ValueError, or what kind raises.
    """
    raise NotImplementedError


class Router:
    """Know which endpoint answers to a method and a path."""

    def __init__(self) -> None:
        raise NotImplementedError

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Let endpoint answer to method and path; a segment {name} of it is any one that is not empty."""
        raise NotImplementedError

    def match(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint, and the text at each {name} of its path; HEAD goes where GET goes.

        path is decoded already, as ASGI has it. Where several match, in whatever order they were added: from
        the left, where one has a fixed segment and the other a {name}, the fixed one counts.
        Raises HTTPError: 404 where no path matches, else 405 with a header "allow": the methods of all
        paths that match, and HEAD where GET is, joined by ", " (RFC 9110 section 15.5.6).
        """
        raise NotImplementedError


def bind(endpoint: Endpoint, path: Texts, query: Texts, body: bytes) -> dict[str, Any]:
    """Return the arguments to call endpoint with, by name, each converted to its parameter's annotation.

    A name that is in path is taken from there alone, `body` from the body, any other name from query; one
    that is not given and has a default is left out. No annotation is Any, and it may be a text. A body
    annotated bytes is given as it is, any other as the JSON value that it has to be: a dict or a list, where
    annotated as one. Raises HTTPError(422), detail {name: reason}: what is missing or not of its kind.
    """
    raise NotImplementedError


async def run_endpoint(endpoint: Endpoint, arguments: dict[str, Any], executor: Executor, wait: Wait) -> Any:
    """Return what endpoint returns, and await it first where that is an awaitable.

    A coroutine function is called here. Any other function may block, so it is submitted
    to executor, and the future that comes back is awaited by `await wait(future)`.
    """
    raise NotImplementedError


class App:
    """An ASGI application, with its Router in `router`.

    A Reply is answered as it says, whatever else an endpoint returns with 200 as application/json. So is an
    HTTPError, of match and bind as well; for any other Exception 500, {"detail": "Internal Server Error"},
    and its traceback is logged. What is no Exception goes through, and so does what send() raises. HEAD gets
    the headers that GET would get, and no body. Every answer has a Content-Length, but for 204 and
    304, which have no body either. A client that leaves before its body is complete is not answered.
    """

    def __init__(self, wait: Wait = asyncio.wrap_future, startup: Hook = None, shutdown: Hook = None) -> None:
        raise NotImplementedError

    def get(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for GET, and gives it back as it is."""
        raise NotImplementedError

    def post(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for POST, and gives it back as it is."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go through a lifespan with startup and shutdown; else raise ValueError."""
        raise NotImplementedError
