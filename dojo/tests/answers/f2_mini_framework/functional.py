"""A web framework: FastAPI's front in 150 lines."""

import asyncio
import inspect
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import NoneType, UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from katas.f1_asgi_app import Message, Receive, Scope, Send, lifespan, read_body

Endpoint: TypeAlias = Callable[..., Any]  # returns a Reply, a JSON value, or an awaitable of one of them
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]  # how an event loop waits for a thread
Hook: TypeAlias = Callable[[], Awaitable[object]] | None
Texts: TypeAlias = Mapping[str, str]
F = TypeVar("F", bound=Endpoint)
T = TypeVar("T")
_log = logging.getLogger(__name__)


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


def _plain(kind: Any) -> Any:
    """Return X for X | None, and any other kind as it is."""
    if get_origin(kind) in (Union, UnionType):
        rest = [one for one in get_args(kind) if one is not NoneType]
        return rest[0] if len(rest) == 1 else kind
    return kind


def _matching(pattern: str, make: Callable[[str], T]) -> Callable[[str], T]:
    def of(text: str) -> T:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return make(text)

    return of


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    int: _matching(r"-?[0-9]+", int),
    float: _matching(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", _finite),
    bool: _matching(r"(?ai:true|false)|[01]", lambda text: text.lower() in ("true", "1")),
}


def convert(text: str, kind: Any) -> Any:
    """Return text as a str, int, float or bool, or whatever else a parameter is annotated with.

    An int is "-" or nothing, then digits 0 to 9; a float besides may have a fraction (".5") and an exponent
    ("e9"), and is finite; a bool is true, 1, false or 0, in letters of either case. Any is str, X | None is
    X, and any other kind is called with the text. Raises ValueError.
    """
    kind = _plain(kind)
    if kind in (Any, str):
        return text
    try:
        return _CONVERTERS.get(kind, kind)(text)
    except Exception as error:  # Decimal, for one, raises an ArithmeticError
        raise ValueError(f"no {getattr(kind, '__name__', kind)}: {text!r}") from error


def _is_name(part: str) -> bool:
    return len(part) > 2 and part[0] == "{" and part[-1] == "}"


def _fits(pattern: list[str], given: list[str]) -> bool:
    return len(pattern) == len(given) and all(
        text != "" if _is_name(part) else text == part for part, text in zip(pattern, given, strict=True)
    )


class Router:
    """Know which endpoint answers to a method and a path."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, list[str], Endpoint]] = []

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
        given = path.split("/")
        found = [
            (method, pattern, endpoint) for method, pattern, endpoint in self.routes if _fits(pattern, given)
        ]
        if not found:
            raise HTTPError(404, "Not Found")
        wanted = ("GET", "HEAD") if method == "HEAD" else (method,)
        answering = [route for route in found if route[0] in wanted]
        if not answering:
            methods = {method for method, _, _ in found}
            allow = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
            raise HTTPError(405, "Method Not Allowed", {"allow": allow})
        _, pattern, endpoint = min(answering, key=lambda route: [_is_name(part) for part in route[1]])
        return endpoint, {
            part[1:-1]: text for part, text in zip(pattern, given, strict=True) if _is_name(part)
        }


def _from_body(body: bytes, kind: Any) -> Any:
    """Return what an endpoint gets for a body; ValueError for what is not of this kind."""
    kind = _plain(kind)
    if kind is bytes:
        return body
    try:
        value = json.loads(body, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    due = get_origin(kind) or kind
    if due in (dict, list) and not isinstance(value, due):
        raise ValueError("another kind of value")
    return value


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
        kind = Any if parameter.annotation is parameter.empty else parameter.annotation
        optional = parameter.default is not parameter.empty
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name == "body" and name not in path:
            if optional and not body:
                continue
            value = partial(_from_body, body, kind)
        elif name in path or name in query:
            value = partial(convert, path[name] if name in path else query[name], kind)
        elif optional:
            continue
        else:
            wrong[name] = "missing"
            continue
        try:
            arguments[name] = value()
        except ValueError:
            wrong[name] = f"not {getattr(_plain(kind), '__name__', 'valid')}"
    if wrong:
        raise HTTPError(422, wrong)
    return arguments


async def run_endpoint(endpoint: Endpoint, arguments: dict[str, Any], executor: Executor, wait: Wait) -> Any:
    """Return what endpoint returns, and await it first where that is an awaitable.

    A coroutine function is called here. Any other function may block, so it is submitted
    to executor, and the future that comes back is awaited by `await wait(future)`.
    """

    def call() -> Any:
        try:
            return endpoint(**arguments)
        except StopIteration as error:  # no future of an event loop takes that
            raise RuntimeError("the endpoint raised StopIteration") from error

    called = getattr(endpoint, "__call__", None)  # of an object with an async def __call__  # noqa: B004
    if inspect.iscoroutinefunction(endpoint) or inspect.iscoroutinefunction(called):
        result = endpoint(**arguments)
    else:
        result = await wait(executor.submit(call))
    return await result if inspect.isawaitable(result) else result


async def _nothing() -> None:
    pass


def _added(router: Router, method: str, path: str, endpoint: F) -> F:
    router.add(method, path, endpoint)
    return endpoint


def _json(status: int, value: Any, headers: Texts) -> Reply:
    return Reply(status, json.dumps(value, allow_nan=False).encode(), "application/json", headers)


def _messages(reply: Reply, method: str) -> list[Message]:
    """Return what is sent for a reply: made whole before the first of it is sent, for it may fail."""
    bodiless = reply.status in (204, 304)
    fields = {name.lower(): value for name, value in reply.headers.items()}
    fields |= {"content-type": reply.content_type, "content-length": str(len(reply.body))}
    if bodiless:
        del fields["content-length"]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
    return [
        {"type": "http.response.start", "status": reply.status, "headers": headers},
        {"type": "http.response.body", "body": b"" if bodiless or method == "HEAD" else reply.body},
    ]


async def _answer(
    router: Router, run: Callable[[Endpoint, dict[str, Any]], Awaitable[Any]], scope: Scope, body: bytes
) -> list[Message]:
    """Return the messages of the answer to a request, whatever becomes of it."""
    method = scope["method"]
    try:
        try:
            endpoint, texts = router.match(method, scope["path"])
            query = dict(parse_qsl(scope["query_string"].decode(errors="replace"), keep_blank_values=True))
            value = await run(endpoint, bind(endpoint, texts, query, body))
        except HTTPError as error:
            value = _json(error.status, {"detail": error.detail}, error.headers)
        return _messages(value if isinstance(value, Reply) else _json(200, value, {}), method)
    except Exception:
        _log.exception("%s %s failed", method, scope["path"])
        return _messages(_json(500, {"detail": "Internal Server Error"}, {}), method)


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
        self._run = partial(run_endpoint, executor=ThreadPoolExecutor(40), wait=wait)
        self._hooks = startup or _nothing, shutdown or _nothing

    def get(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for GET, and gives it back as it is."""
        return partial(_added, self.router, "GET", path)

    def post(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for POST, and gives it back as it is."""
        return partial(_added, self.router, "POST", path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go through a lifespan with startup and shutdown; else raise ValueError."""
        match scope["type"]:
            case "lifespan":
                await lifespan(receive, send, *self._hooks)
            case "http":
                try:
                    body = await read_body(receive)
                except EOFError:
                    return
                for message in await _answer(self.router, self._run, scope, body):
                    await send(message)
            case other:
                raise ValueError(f"no such scope here: {other!r}")
