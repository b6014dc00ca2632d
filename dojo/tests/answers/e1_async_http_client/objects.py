"""An HTTP client: one core without I/O, at home on any event loop."""

import re
from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Protocol
from urllib.parse import urlsplit

import anyio

from katas.a4_byte_parser import Parser, read_exactly, read_until, receive_more
from katas.c1_http_messages import MAX_BODY, MAX_HEAD, Response, body_length, parse_headers, read_chunked

CHUNK = 65_536  # octets to ask a stream for
TIMEOUT = 10.0  # seconds that get_all gives to each call


class Stream(Protocol):
    """A connection, as anyio's streams are one: send() sends all, receive() gives what is there. (Given.)

    At the end of the stream receive() raises anyio.EndOfStream or returns b"".
    """

    async def send(self, data: bytes, /) -> None: ...
    async def receive(self, max_bytes: int, /) -> bytes: ...


TOKEN = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(r"[^\r\n\0]*")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) .*")
FRAMING = {"content-length", "transfer-encoding"}
METHODS_WITH_BODY = {"POST", "PUT", "PATCH"}


class Address:
    """Where a URL leads."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http":
            raise ValueError(f"not an http:// URL: {url!r}")
        if not re.fullmatch("[!-~]+", url):
            raise ValueError(f"nothing but visible ASCII in a URL, please: {url!r}")
        if not parts.hostname or "@" in parts.netloc:
            raise ValueError(f"a host, and nothing but a host, is needed: {url!r}")
        self.host = parts.hostname
        self.port = parts.port or 80
        self.target = parts.path or "/"
        if parts.query:
            self.target += "?" + parts.query

    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"


class RequestWriter:
    """Puts a request together, line by line."""

    def __init__(self, method: str, address: Address, headers: Mapping[str, str], body: bytes) -> None:
        self.method, self.address, self.headers, self.body = method, address, headers, body

    def fields(self) -> dict[str, str]:
        fields = {}
        if not any(name.lower() == "host" for name in self.headers):
            fields["Host"] = self.address.authority()
        for name, value in self.headers.items():
            if name.lower() not in FRAMING:
                fields[name] = value
        if self.body or self.method in METHODS_WITH_BODY:
            fields["Content-Length"] = str(len(self.body))
        return fields

    def octets(self) -> bytes:
        if not TOKEN.fullmatch(self.method):
            raise ValueError(f"not a method: {self.method!r}")
        lines = [f"{self.method} {self.address.target} HTTP/1.1"]
        for name, value in self.fields().items():
            if not TOKEN.fullmatch(name):
                raise ValueError(f"not a name: {name!r}")
            if not VALUE.fullmatch(value):
                raise ValueError(f"not a value: {value!r}")
            lines.append(f"{name}: {value}")
        head = "\r\n".join([*lines, "", ""])
        return head.encode("latin-1") + self.body


class BodyEnd(Enum):
    AT_THE_HEAD = auto()
    LAST_CHUNK = auto()
    LENGTH = auto()
    END_OF_STREAM = auto()


class ResponseReader:
    """Reads one response out of a buffer."""

    def __init__(self, buffer: bytearray, method: str) -> None:
        self.buffer, self.method = buffer, method

    def read(self) -> Parser[Response]:
        response = yield from self.read_head()
        while response.status < 200:
            response = yield from self.read_head()
        response.body = yield from self.read_body(response)
        return response

    def read_head(self) -> Parser[Response]:
        head = yield from read_until(self.buffer, b"\r\n\r\n", MAX_HEAD)
        first, _, block = head.partition(b"\r\n")
        match = STATUS_LINE.fullmatch(first)
        if match is None:
            raise ValueError(f"not a status line: {first!r}")
        return Response(int(match[1]), parse_headers(block))

    def body_end(self, response: Response) -> BodyEnd:
        if self.method == "HEAD" or response.status in (204, 304):
            return BodyEnd.AT_THE_HEAD
        if "transfer-encoding" in response.headers:
            return BodyEnd.LAST_CHUNK
        if "content-length" in response.headers:
            return BodyEnd.LENGTH
        return BodyEnd.END_OF_STREAM

    def read_body(self, response: Response) -> Parser[bytes]:
        match self.body_end(response):
            case BodyEnd.AT_THE_HEAD:
                return b""
            case BodyEnd.LAST_CHUNK:
                body_length(response.headers)  # raises for every other coding
                return (yield from read_chunked(self.buffer))
            case BodyEnd.LENGTH:
                length = body_length(response.headers)
                if length > MAX_BODY:
                    raise ValueError(f"a body of {length} octets is too long")
                return (yield from read_exactly(self.buffer, length))
            case BodyEnd.END_OF_STREAM:
                return (yield from self.read_to_the_end())

    def read_to_the_end(self) -> Parser[bytes]:
        try:
            while len(self.buffer) <= MAX_BODY:
                yield from receive_more(self.buffer)
        except EOFError:
            body = bytes(self.buffer)
            self.buffer.clear()
            return body
        raise ValueError("the body is too long")


def build_request(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Return the octets of an HTTP/1.1 request for an http:// URL (RFC 9112 section 3.2).

    The target is path ("/" where it is empty) and query; Host names the port unless it is 80.
    A Host among headers is sent instead. Content-Length and Transfer-Encoding are decided here,
    whatever headers say: a Content-Length for a body, and always for POST, PUT and PATCH.
    Raises ValueError for another scheme, no host, user:password@, a port that is no number up to 65535,
    anything but visible ASCII, a method that is no token, a header that would break out of its line.
    """
    return RequestWriter(method, Address(url), headers or {}, body).octets()


def read_response(buffer: bytearray, method: str) -> Parser[Response]:
    """Return the final response to a request with this method; 1xx before it are skipped.

    HEAD, 204 and 304 have no body; else it is chunked, or Content-Length octets, or
    all that comes until the stream ends (RFC 9112 section 6.3). What comes after the response
    stays in buffer. Raises ValueError for what is malformed (in headers, as C1 has it), a coding other than
    chunked, a head over MAX_HEAD and a body over MAX_BODY octets; EOFError where the stream ends early.
    """
    return (yield from ResponseReader(buffer, method).read())


class Exchange:
    """One request and its response."""

    def __init__(self, stream: Stream, request: bytes) -> None:
        self.stream, self.request = stream, request
        self.parser = read_response(bytearray(), request.partition(b" ")[0].decode())

    async def run(self) -> Response:
        await self.stream.send(self.request)
        next(self.parser)
        while True:
            chunk = await self.receive()
            try:
                self.parser.send(chunk)
            except StopIteration as finished:
                return finished.value

    async def receive(self) -> bytes:
        try:
            return await self.stream.receive(CHUNK)
        except anyio.EndOfStream:
            return b""


async def fetch(stream: Stream, request: bytes) -> Response:
    """Send request, receive its response, and not once more: the stream may stay open for the next.

    Awaits nothing but stream.send() and stream.receive(), so that any event loop will do.
    Raises what read_response raises, and what the stream raises.
    """
    return await Exchange(stream, request).run()


async def get(url: str, timeout: float) -> Response:  # noqa: ASYNC109
    """GET url on a connection of its own, which is closed whatever happens.

    Tells the server so with "Connection: close". Raises TimeoutError where connecting,
    sending and receiving have together taken timeout seconds (math.inf: no limit),
    OSError where nobody listens, and what build_request and fetch raise.
    """
    address = Address(url)
    request = build_request("GET", url, {"Connection": "close"})
    with anyio.fail_after(timeout):
        stream = await anyio.connect_tcp(address.host, address.port)
        async with stream:
            return await fetch(stream, request)


class Pool:
    """Workers that share a list of calls."""

    def __init__(self, urls: Iterable[str]) -> None:
        waiting = list(urls)
        self.todo = iter(enumerate(waiting))
        self.responses = [Response()] * len(waiting)

    async def work(self) -> None:
        for place, url in self.todo:
            self.responses[place] = await get(url, TIMEOUT)


async def get_all(urls: Iterable[str], limit: int) -> list[Response]:
    """Get all urls, at most limit at a time; return the responses in the order of urls.

    A place that gets free is used at once, and every call has TIMEOUT seconds of its own.
    The first failure cancels all other calls, and comes out as itself, not in a group.
    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError("at least one at a time")
    pool = Pool(urls)
    try:
        async with anyio.create_task_group() as group:
            for _ in range(min(limit, len(pool.responses))):
                group.start_soon(pool.work)
    except ExceptionGroup as failed:
        raise failed.exceptions[0]
    return pool.responses
