"""A web framework: FastAPI's front in 150 lines."""

import asyncio
import inspect
import json
import logging
import math
import re
import types
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from katas.f1_asgi_app import Receive, Scope, Send, lifespan, read_body

Endpoint: TypeAlias = Callable[..., Any]  # returns a Reply, a JSON value, or an awaitable of one of them
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]  # how an event loop waits for a thread
Hook: TypeAlias = Callable[[], Awaitable[object]] | None
Texts: TypeAlias = Mapping[str, str]
F = TypeVar("F", bound=Endpoint)
logger = logging.getLogger(__name__)


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


@dataclass(slots=True, frozen=True)
class Grammar:
    """What a text has to look like, and what is made of it then."""

    pattern: re.Pattern[str]
    make: Callable[[str], Any]

    def read(self, text: str) -> Any:
        if not self.pattern.fullmatch(text):
            raise ValueError(f"{text!r} does not look like {self.pattern.pattern}")
        return self.make(text)


def finite(text: str) -> float:
    """Return float(text), but no infinity: "1e999" is one."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text!r} is too large")
    return value


GRAMMARS = {
    int: Grammar(re.compile(r"-?\d+", re.ASCII), int),
    float: Grammar(re.compile(r"-?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE), finite),
    bool: Grammar(
        re.compile(r"true|1|false|0", re.ASCII | re.IGNORECASE), lambda text: text.lower() in {"true", "1"}
    ),
}


def without_none(kind: Any) -> Any:
    """Return X where kind is X | None, and any other kind as it is."""
    if get_origin(kind) in {Union, types.UnionType}:
        others = [each for each in get_args(kind) if each is not types.NoneType]
        if len(others) == 1:
            return others[0]
    return kind


def convert(text: str, kind: Any) -> Any:
    """Return text as a str, int, float or bool, or whatever else a parameter is annotated with.

    An int is "-" or nothing, then digits 0 to 9; a float besides may have a fraction (".5") and an exponent
    ("e9"), and is finite; a bool is true, 1, false or 0, in letters of either case. Any is str, X | None is
    X, and any other kind is called with the text. Raises ValueError.
    """
    kind = without_none(kind)
    if kind is Any or kind is str:
        return text
    if kind in GRAMMARS:
        return GRAMMARS[kind].read(text)
    return kind(text)


@dataclass(slots=True, frozen=True)
class Route:
    """A method, a path cut into segments, and the endpoint that answers to both."""

    method: str
    segments: list[str]
    endpoint: Endpoint

    @staticmethod
    def name_of(segment: str) -> str | None:
        """Return the name in a segment {name}, None for a fixed one."""
        name = segment[1:-1]
        return name if segment == f"{{{name}}}" and name.isidentifier() else None

    @property
    def rank(self) -> list[bool]:
        """Sort by this, and of two routes that match one path, the one with the fixed segment comes first."""
        return [self.name_of(segment) is not None for segment in self.segments]

    @property
    def methods(self) -> list[str]:
        return ["GET", "HEAD"] if self.method == "GET" else [self.method]

    def match(self, path: str) -> dict[str, str] | None:
        """Return the text at each {name}, or None where path is another one."""
        given = path.split("/")
        if len(given) != len(self.segments):
            return None
        texts = {}
        for text, segment in zip(given, self.segments, strict=True):
            name = self.name_of(segment)
            if name is not None and text:
                texts[name] = text
            elif text != segment:
                return None
        return texts


class Router:
    """Know which endpoint answers to a method and a path."""

    def __init__(self) -> None:
        self.routes: list[Route] = []  # sorted by rank

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Let endpoint answer to method and path; a segment {name} of it is any one that is not empty."""
        self.routes.append(Route(method, path.split("/"), endpoint))
        self.routes.sort(key=lambda route: route.rank)

    def match(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Return the endpoint, and the text at each {name} of its path; HEAD goes where GET goes.

        path is decoded already, as ASGI has it. Where several match, in whatever order they were added: from
        the left, where one has a fixed segment and the other a {name}, the fixed one counts.
        Raises HTTPError: 404 where no path matches, else 405 with a header "allow": the methods of all
        paths that match, and HEAD where GET is, joined by ", " (RFC 9110 section 15.5.6).
        """
        allowed: list[str] = []
        for route in self.routes:
            if (texts := route.match(path)) is not None:
                if method in route.methods:
                    return route.endpoint, texts
                allowed += route.methods
        if not allowed:
            raise HTTPError(404, "Not Found")
        raise HTTPError(405, "Method Not Allowed", {"allow": ", ".join(dict.fromkeys(allowed))})


class Refused(ValueError):  # noqa: N818
    """A parameter cannot have what was sent for it; the text is for the client."""


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


@dataclass(slots=True, frozen=True)
class Sources:
    """Where the arguments of one call come from."""

    path: Texts
    query: Texts
    body: bytes

    def has(self, name: str) -> bool:
        return name in self.path or (bool(self.body) if name == "body" else name in self.query)

    def value_of(self, parameter: inspect.Parameter) -> Any:
        """Return the argument for parameter; raise Refused."""
        name = parameter.name
        kind = without_none(Any if parameter.annotation is parameter.empty else parameter.annotation)
        if name in self.path:
            return self.converted(self.path[name], kind)
        if name == "body":
            return self.body_as(kind)
        if name in self.query:
            return self.converted(self.query[name], kind)
        raise Refused("missing")

    @staticmethod
    def converted(text: str, kind: Any) -> Any:
        try:
            return convert(text, kind)
        except ValueError:
            raise Refused(f"not of the kind {getattr(kind, '__name__', kind)}") from None

    def body_as(self, kind: Any) -> Any:
        if kind is bytes:
            return self.body
        try:
            value = json.loads(self.body, parse_constant=refuse_constant)
        except (ValueError, RecursionError):
            raise Refused("not JSON") from None
        due = get_origin(kind) or kind
        if due in {dict, list} and not isinstance(value, due):
            raise Refused(f"not a {due.__name__}")
        return value


def bind(endpoint: Endpoint, path: Texts, query: Texts, body: bytes) -> dict[str, Any]:
    """Return the arguments to call endpoint with, by name, each converted to its parameter's annotation.

    A name that is in path is taken from there alone, `body` from the body, any other name from query, or
    it is left to its default; no annotation is Any. A body annotated bytes is given as it is, any
    other as the JSON value that it has to be: a dict or a list, where annotated as one. Raises
    HTTPError(422), detail {name: reason}, with each parameter that is missing or of another kind.
    """
    sources = Sources(path, query, body)
    arguments: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for parameter in inspect.signature(endpoint, eval_str=True).parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue  # *args and **kwargs ask for nothing by name
        if not sources.has(parameter.name) and parameter.default is not parameter.empty:
            continue
        try:
            arguments[parameter.name] = sources.value_of(parameter)
        except Refused as refused:
            reasons[parameter.name] = str(refused)
    if reasons:
        raise HTTPError(422, reasons)
    return arguments


@dataclass(slots=True, frozen=True)
class Call:
    """An endpoint and its arguments."""

    endpoint: Endpoint
    arguments: dict[str, Any]

    def is_async(self) -> bool:
        function = self.endpoint
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

    def here(self) -> Any:
        return self.endpoint(**self.arguments)

    def in_thread(self) -> Any:
        """Do as a coroutine does: a StopIteration cannot be told to who awaits (it would wait for ever)."""
        try:
            return self.here()
        except StopIteration as error:
            raise RuntimeError("endpoint raised StopIteration") from error


async def run_endpoint(endpoint: Endpoint, arguments: dict[str, Any], executor: Executor, wait: Wait) -> Any:
    """Return what endpoint returns, and await it first where that is an awaitable.

    A coroutine function is called here. Any other function may block, so it is submitted
    to executor, and the future that comes back is awaited by `await wait(future)`.
    """
    call = Call(endpoint, arguments)
    result = call.here() if call.is_async() else await wait(executor.submit(call.in_thread))
    return await result if inspect.isawaitable(result) else result


async def nothing() -> None:
    """Do what there is to do at a startup or a shutdown without a hook."""


@dataclass(slots=True, frozen=True)
class Answer:
    """A Reply to a method, as the two messages that ASGI makes of it."""

    reply: Reply
    method: str

    @classmethod
    def to(cls, method: str, value: Any) -> "Answer":
        return cls(value if isinstance(value, Reply) else cls.json(200, value), method)

    @staticmethod
    def json(status: int, value: Any, headers: Texts | None = None) -> Reply:
        body = json.dumps(value, allow_nan=False).encode()
        return Reply(status, body, "application/json", headers or {})

    def has_length(self) -> bool:
        return self.reply.status not in {204, 304}

    def headers(self) -> list[tuple[bytes, bytes]]:
        texts = {name.lower(): value for name, value in self.reply.headers.items()}
        texts["content-type"] = self.reply.content_type
        texts.pop("content-length", None)
        if self.has_length():
            texts["content-length"] = str(len(self.reply.body))
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in texts.items()]

    def messages(self) -> list[dict[str, Any]]:
        body = self.reply.body if self.has_length() and self.method != "HEAD" else b""
        return [
            {"type": "http.response.start", "status": self.reply.status, "headers": self.headers()},
            {"type": "http.response.body", "body": body},
        ]


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
        self.startup, self.shutdown = startup or nothing, shutdown or nothing
        self.executor = ThreadPoolExecutor()

    def get(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for GET, and gives it back as it is."""
        return self.route("GET", path)

    def post(self, path: str) -> Callable[[F], F]:
        """Return a decorator that adds a function to router, for POST, and gives it back as it is."""
        return self.route("POST", path)

    def route(self, method: str, path: str) -> Callable[[F], F]:
        def decorate(endpoint: F) -> F:
            self.router.add(method, path, endpoint)
            return endpoint

        return decorate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or go through a lifespan with startup and shutdown; else raise ValueError."""
        if scope["type"] == "lifespan":
            await lifespan(receive, send, self.startup, self.shutdown)
        elif scope["type"] == "http":
            await self.serve(scope, receive, send)
        else:
            raise ValueError(f"a scope of type {scope['type']!r} is nothing for this app")

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(receive)
        except EOFError:
            return  # the client has left
        for message in await self.messages(scope, body):
            await send(message)

    async def messages(self, scope: Scope, body: bytes) -> list[dict[str, Any]]:
        """Return what is to be sent to a client who has sent body, whatever happens on the way."""
        method = scope["method"]
        try:
            try:
                return Answer.to(method, await self.run(scope, body)).messages()
            except HTTPError as error:
                reply = Answer.json(error.status, {"detail": error.detail}, error.headers)
                return Answer(reply, method).messages()
        except Exception:
            logger.exception("%s %s has failed", method, scope["path"])
            return Answer(Answer.json(500, {"detail": "Internal Server Error"}), method).messages()

    async def run(self, scope: Scope, body: bytes) -> Any:
        endpoint, path = self.router.match(scope["method"], scope["path"])
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
        arguments = bind(endpoint, path, query, body)
        return await run_endpoint(endpoint, arguments, self.executor, self.wait)
