"""A web framework: FastAPI's front in 150 lines."""

import asyncio
import inspect
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

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


# int() and float() would take " 5", "1_0" and "nan" as well; and bool("false") is True.
_FORMS = {
    int: re.compile(r"-?[0-9]+"),
    float: re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"),
    bool: re.compile(r"true|1|false|0", re.ASCII | re.IGNORECASE),
}
_LOG = logging.getLogger(__name__)


def convert(text: str, kind: Any) -> Any:
    """Return text as a str, int, float or bool, or whatever else a parameter is annotated with.

    An int is "-" or nothing, then digits 0 to 9; a float besides may have a dot and digits behind them, then
    an exponent ("e9", "E-9"), and is finite; a bool is true, 1, false or 0, in letters of either case. Any is
    str, X | None is X, and any other kind is called with the text. Raises ValueError, or what kind raises.
    """
    kind = _without_none(kind)
    if kind in _FORMS and not _FORMS[kind].fullmatch(text):
        raise ValueError(f"not {kind.__name__}: {text!r}")
    if kind is bool:
        return text.lower() in ("true", "1")
    value: Any = text if kind is Any else kind(text)
    if kind is float and not isfinite(value):
        raise ValueError(f"too large: {text!r}")
    return value


def _without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        return next(each for each in get_args(kind) if each is not NoneType)
    return kind


class Router:
    """Know which endpoint answers to a method and a path."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], str, Endpoint]] = []

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Let endpoint answer to method and path; a segment {name} of it is any one that is not empty."""
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
        self._routes.append((path, re.compile(pattern), method, endpoint))
        # False comes before True: of two paths that match, the one that says more is tried first.
        self._routes.sort(key=lambda route: [segment.startswith("{") for segment in route[0].split("/")])

    def match(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint, and the text at each {name} of its path; HEAD goes where GET goes.

        path is decoded already, as ASGI has it. Where several match, in whatever order they were added: from
        the left, where one has a fixed segment and the other a {name}, the fixed one counts.
        Raises HTTPError: 404 where no path matches, else 405 with a header "allow": the methods of all
        paths that match, and HEAD where GET is, joined by ", " (RFC 9110 section 15.5.6).
        """
        allowed: set[str] = set()
        for _, pattern, verb, endpoint in self._routes:
            if found := pattern.fullmatch(path):
                verbs = {"GET", "HEAD"} if verb == "GET" else {verb}
                if method in verbs:
                    return endpoint, found.groupdict()
                allowed |= verbs
        if allowed:
            raise HTTPError(405, "Method Not Allowed", {"allow": ", ".join(sorted(allowed))})
        raise HTTPError(404, "Not Found")


def bind(endpoint: Endpoint, path: Texts, query: Texts, body: bytes) -> dict[str, Any]:
    """Return the arguments to call endpoint with, by name, each converted to its parameter's annotation.

    A name that is in path is taken from there alone, `body` from the body, any other name from query; one
    that is not given and has a default is left out. No annotation is Any, and it may be a text. A body
    annotated bytes is given as it is, any other as the JSON value that it has to be: a dict or a list, where
    annotated as one. Raises HTTPError(422), detail {name: reason}: what is missing or not of its kind.
    """
    arguments, wrong = {}, {}
    # eval_str: under `from __future__ import annotations` every annotation is a text.
    for name, parameter in inspect.signature(endpoint, eval_str=True).parameters.items():
        kind = Any if parameter.annotation is parameter.empty else _without_none(parameter.annotation)
        try:
            if name in path:
                arguments[name] = convert(path[name], kind)
            elif name == "body":
                arguments[name] = body if kind is bytes else _json_value(body, kind)
            elif name in query:
                arguments[name] = convert(query[name], kind)
            elif parameter.default is parameter.empty:
                wrong[name] = "missing"
        except ValueError as error:
            wrong[name] = str(error)
    if wrong:
        raise HTTPError(422, wrong)
    return arguments


def _json_value(body: bytes, kind: Any) -> Any:
    try:
        value = json.loads(body)
    except RecursionError as error:  # somebody sent a hundred thousand brackets
        raise ValueError("nested too deeply") from error
    kind = get_origin(kind) or kind  # dict[str, int] is a dict
    if kind in (dict, list) and not isinstance(value, kind):
        raise ValueError(f"not a JSON {kind.__name__}")
    return value


async def run_endpoint(endpoint: Endpoint, arguments: dict[str, Any], executor: Executor, wait: Wait) -> Any:
    """Return what endpoint returns, and await it first where that is an awaitable.

    A coroutine function is called here. Any other function may block, so it is submitted
    to executor, and the future that comes back is awaited by `await wait(future)`.
    """
    if inspect.iscoroutinefunction(endpoint):
        value = endpoint(**arguments)
    else:
        value = await wait(executor.submit(endpoint, **arguments))
    return await value if inspect.isawaitable(value) else value


class App:
    """An ASGI application, with its Router in `router`.

    A Reply is answered as it says, whatever else an endpoint returns with 200 as application/json. So is an
    HTTPError, of match and bind as well; for any other Exception 500, {"detail": "Internal Server Error"},
    and its traceback is logged. What is no Exception goes through, and so does what send() raises. HEAD gets
    the headers that GET would get, and no body. Every answer has a Content-Length, but for 204 and
    304, which have no body either. A client that leaves before its body is complete is not answered.
    """

    def __init__(self, wait: Wait = asyncio.wrap_future, startup: Hook = None, shutdown: Hook = None) -> None:
        self.router = Router()
        self._wait, self._startup, self._shutdown = wait, startup or _nothing, shutdown or _nothing
        # It starts a thread when there is work for one; they end with the app, or with the process.
        self._executor = ThreadPoolExecutor()

    def get(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for GET, and gives it back as it is."""
        return self._adder("GET", path)

    def post(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for POST, and gives it back as it is."""
        return self._adder("POST", path)

    def _adder(self, method: str, path: str) -> Callable[[F], F]:
        def add(endpoint: F) -> F:
            self.router.add(method, path, endpoint)
            return endpoint

        return add

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go through a lifespan with startup and shutdown; else raise ValueError."""
        if scope["type"] == "lifespan":
            return await lifespan(receive, send, self._startup, self._shutdown)
        if scope["type"] != "http":
            raise ValueError(f"this app does not speak {scope['type']!r}")
        try:
            body = await read_body(receive)
        except EOFError:
            return  # the client has gone: there is nobody to answer
        reply = await self._answer(scope, body)
        length = str(len(reply.body))
        headers = {"content-type": reply.content_type, "content-length": length, **reply.headers}
        empty = reply.status in (204, 304)
        if empty:
            del headers["content-type"], headers["content-length"]
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": fields})
        body = b"" if empty or scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, body: bytes) -> Reply:
        # "?q=" is a value too, the empty one. Of several by one name, dict keeps the last.
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        try:
            endpoint, path = self.router.match(scope["method"], scope["path"])
            arguments = bind(endpoint, path, query, body)
            value = await run_endpoint(endpoint, arguments, self._executor, self._wait)
            return value if isinstance(value, Reply) else _json_reply(200, value)
        except HTTPError as error:
            return _json_reply(error.status, {"detail": error.detail}, error.headers)
        except Exception:
            # Whoever asked learns nothing of what is inside; whoever is on duty learns everything.
            _LOG.exception("%s %r failed", scope["method"], scope["path"])
            return _json_reply(500, {"detail": "Internal Server Error"})


async def _nothing() -> None:
    pass


def _json_reply(status: int, value: Any, headers: Texts | None = None) -> Reply:
    return Reply(status, json.dumps(value, allow_nan=False).encode(), "application/json", headers or {})
