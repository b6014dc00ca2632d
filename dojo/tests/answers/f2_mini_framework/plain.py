"""A web framework: FastAPI's front in 150 lines."""

import asyncio
import inspect
import json
import logging
import math
import types
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from katas.f1_asgi_app import Message, Receive, Scope, Send, lifespan, read_body

Endpoint: TypeAlias = Callable[..., Any]  # returns a Reply, a JSON value, or an awaitable of one of them
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]  # how an event loop waits for a thread
Hook: TypeAlias = Callable[[], Awaitable[object]] | None
Texts: TypeAlias = Mapping[str, str]
F = TypeVar("F", bound=Endpoint)
log = logging.getLogger(__name__)


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


def only_digits(text: str) -> bool:
    """Is text digits 0 to 9, at least one of them?"""
    for letter in text:
        if letter not in "0123456789":
            return False
    return text != ""


def without_none(kind: Any) -> Any:
    """Return X for X | None, and any other kind as it is."""
    if get_origin(kind) in (Union, types.UnionType):
        for option in get_args(kind):
            if option is not type(None):
                return option
    return kind


def no_json(name: str) -> Any:
    """Refuse NaN and Infinity: json.loads takes them, and JSON does not have them."""
    raise ValueError(f"{name} is no JSON")


def convert(text: str, kind: Any) -> Any:
    """Return text as a str, int, float or bool, or whatever else a parameter is annotated with.

    An int is "-" or nothing, then digits 0 to 9; a float besides may have a fraction (".5") and an exponent
    ("e9"), and is finite; a bool is true, 1, false or 0, in letters of either case. Any is str, X | None is
    X, and any other kind is called with the text. Raises ValueError.
    """
    kind = without_none(kind)
    if kind is Any or kind is str:
        return text
    if kind is bool:
        if text.lower() in ("true", "1"):
            return True
        if text.lower() in ("false", "0"):
            return False
        raise ValueError("not a bool")
    if kind is int:
        if not only_digits(text.removeprefix("-")):
            raise ValueError("not an int")
        return int(text)
    if kind is float:
        number, e, exponent = text.removeprefix("-").lower().partition("e")
        if e and not only_digits(exponent.removeprefix("-").removeprefix("+")):
            raise ValueError("no exponent")
        whole, dot, fraction = number.partition(".")
        if not only_digits(whole):
            raise ValueError("not a float")
        if dot and not only_digits(fraction):
            raise ValueError("no fraction")
        value = float(text)
        if not math.isfinite(value):
            raise ValueError("not finite")
        return value
    return kind(text)


class Router:
    """Know which endpoint answers to a method and a path."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, list[str], Endpoint]] = []  # method, segments of the path, endpoint

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Let endpoint answer to method and path; a segment {name} of it is any one that is not empty."""
        self.routes.append((method, path.split("/"), endpoint))

    def match(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint, and the text at each {name} of its path; HEAD goes where GET goes.

        path is decoded already, as ASGI has it. Where several match, in whatever order they were added: from
        the left, where one has a fixed segment and the other a {name}, the fixed one counts.
        Raises HTTPError: 404 where no path matches, else 405 with a header "allow": the methods of all
        paths that match, and HEAD where GET is, joined by ", " (RFC 9110 section 15.5.6).
        """
        wanted = "GET" if method == "HEAD" else method
        segments = path.split("/")
        allowed: list[str] = []
        best: list[bool] | None = None  # for each segment: is it a {name}? False sorts before True
        best_endpoint: Endpoint | None = None
        best_texts: dict[str, str] = {}
        for route_method, route_segments, endpoint in self.routes:
            if len(route_segments) != len(segments):
                continue
            matches = True
            variable = []
            texts = {}
            for pattern, segment in zip(route_segments, segments, strict=True):
                is_name = len(pattern) > 2 and pattern[0] == "{" and pattern[-1] == "}"
                variable.append(is_name)
                if is_name:
                    texts[pattern[1:-1]] = segment
                    if not segment:
                        matches = False
                elif pattern != segment:
                    matches = False
            if not matches:
                continue
            if route_method not in allowed:
                allowed.append(route_method)
            if route_method == wanted and (best is None or variable < best):
                best = variable
                best_endpoint = endpoint
                best_texts = texts
        if best_endpoint is not None:
            return best_endpoint, best_texts
        if not allowed:
            raise HTTPError(404, "Not Found")
        if "GET" in allowed and "HEAD" not in allowed:
            allowed.append("HEAD")
        raise HTTPError(405, "Method Not Allowed", {"allow": ", ".join(allowed)})


def bind(endpoint: Endpoint, path: Texts, query: Texts, body: bytes) -> dict[str, Any]:
    """Return the arguments to call endpoint with, by name, each converted to its parameter's annotation.

    A name that is in path is taken from there alone, `body` from the body, any other name from query, or
    it is left to its default; no annotation is Any. A body annotated bytes is given as it is, any
    other as the JSON value that it has to be: a dict or a list, where annotated as one. Raises
    HTTPError(422), detail {name: reason}, with each parameter that is missing or of another kind.
    """
    arguments: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, parameter in inspect.signature(endpoint, eval_str=True).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = Any if parameter.annotation is parameter.empty else without_none(parameter.annotation)
        optional = parameter.default is not parameter.empty

        if name == "body" and name not in path:
            if kind is bytes:
                arguments[name] = body
            elif body == b"" and optional:
                pass
            elif body == b"":
                wrong[name] = "is missing"
            else:
                try:
                    value = json.loads(body, parse_constant=no_json)
                except (ValueError, RecursionError):
                    wrong[name] = "is no JSON"
                    continue
                kind = get_origin(kind) or kind
                if kind in (dict, list) and not isinstance(value, kind):
                    wrong[name] = f"is no {kind.__name__}"
                else:
                    arguments[name] = value
            continue

        if name in path:
            text = path[name]
        elif name in query:
            text = query[name]
        else:
            if not optional:
                wrong[name] = "is missing"
            continue
        try:
            arguments[name] = convert(text, kind)
        except ValueError:
            wrong[name] = f"is no {getattr(kind, '__name__', kind)}"
    if wrong:
        raise HTTPError(422, wrong)
    return arguments


async def run_endpoint(endpoint: Endpoint, arguments: dict[str, Any], executor: Executor, wait: Wait) -> Any:
    """Return what endpoint returns, and await it first where that is an awaitable.

    A coroutine function is called here. Any other function may block, so it is submitted
    to executor, and the future that comes back is awaited by `await wait(future)`.
    """

    def in_thread() -> Any:
        try:
            return endpoint(**arguments)
        except StopIteration as error:  # no future takes that one: who waits for it would wait for ever
            raise RuntimeError("endpoint raised StopIteration") from error

    if inspect.iscoroutinefunction(endpoint):
        result = endpoint(**arguments)
    else:
        result = await wait(executor.submit(in_thread))
    if inspect.isawaitable(result):
        result = await result
    return result


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
        self.wait = wait
        self.startup = startup or do_nothing
        self.shutdown = shutdown or do_nothing
        self.executor = ThreadPoolExecutor(max_workers=40)

    def get(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for GET, and gives it back as it is."""

        def decorator(endpoint: F) -> F:
            self.router.add("GET", path, endpoint)
            return endpoint

        return decorator

    def post(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for POST, and gives it back as it is."""

        def decorator(endpoint: F) -> F:
            self.router.add("POST", path, endpoint)
            return endpoint

        return decorator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go through a lifespan with startup and shutdown; else raise ValueError."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send, self.startup, self.shutdown)
            return
        if scope["type"] != "http":
            raise ValueError(f"no scope for this app: {scope['type']}")
        try:
            body = await read_body(receive)
        except EOFError:
            return
        try:
            start, content = await self.answer(scope, body)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            start, content = messages(json_reply(500, {"detail": "Internal Server Error"}))
        if scope["method"] == "HEAD":
            content["body"] = b""
        await send(start)
        await send(content)

    async def answer(self, scope: Scope, body: bytes) -> tuple[Message, Message]:
        """Return the two messages that answer a request; raise what its endpoint raises, but no HTTPError."""
        try:
            endpoint, path = self.router.match(scope["method"], scope["path"])
            query = {}
            text = scope.get("query_string", b"").decode("utf-8", "replace")
            for name, value in parse_qsl(text, keep_blank_values=True):
                query[name] = value
            arguments = bind(endpoint, path, query, body)
            result = await run_endpoint(endpoint, arguments, self.executor, self.wait)
        except HTTPError as error:
            result = json_reply(error.status, {"detail": error.detail}, error.headers)
        if not isinstance(result, Reply):
            result = json_reply(200, result)
        return messages(result)


async def do_nothing() -> None:
    """Be a hook that has nothing to do."""


def json_reply(status: int, value: Any, headers: Texts | None = None) -> Reply:
    """Return value as a Reply, in JSON; raise what json.dumps raises where it is none."""
    body = json.dumps(value, allow_nan=False).encode()
    return Reply(status, body, "application/json", headers or {})


def messages(reply: Reply) -> tuple[Message, Message]:
    """Return reply as ASGI has it: the start, and the body."""
    headers = [(b"content-type", reply.content_type.encode("latin-1"))]
    body = reply.body
    if reply.status in (204, 304):
        body = b""
    else:
        headers.append((b"content-length", str(len(body)).encode()))
    for name, value in reply.headers.items():
        name = name.lower()
        if name not in ("content-type", "content-length"):
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
    start = {"type": "http.response.start", "status": reply.status, "headers": headers}
    return start, {"type": "http.response.body", "body": body}
