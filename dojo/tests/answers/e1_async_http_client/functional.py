"""An HTTP client: one core without I/O, at home on any event loop."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Protocol
from urllib.parse import urlsplit

import anyio

from katas.a4_byte_parser import Parser, read_exactly, read_until, receive_more
from katas.c1_http_messages import MAX_BODY, MAX_HEAD, Response, body_length, parse_headers, read_chunked

CHUNK = 65_536  # octets to ask a stream for
TIMEOUT = 10.0  # seconds that get_all gives to each call

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n\0]*)?")
FRAMING = {"content-length", "transfer-encoding"}


class Stream(Protocol):
    """A connection, as anyio's streams are one: send() sends all, receive() gives what is there. (Given.)

    At the end of the stream receive() raises anyio.EndOfStream or returns b"".
    """

    async def send(self, data: bytes, /) -> None: ...
    async def receive(self, max_bytes: int, /) -> bytes: ...


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
    if not re.fullmatch("[!-~]+", url):
        raise ValueError(f"a URL is visible ASCII: {url!r}")
    parts = urlsplit(url)
    scheme, netloc, path, query, _ = parts
    if scheme != "http" or not parts.hostname or "@" in netloc:
        raise ValueError(f"not an http URL with a host and nothing else: {url!r}")

    def lines() -> Iterator[str]:
        yield f"{method} {path or '/'}{'?' + query if query else ''} HTTP/1.1"
        given = {name.lower(): (name, value) for name, value in (headers or {}).items()}
        if "host" not in given:
            # parts.port raises ValueError where there is no such port.
            yield f"Host: {netloc.removesuffix(':80') if parts.port == 80 else netloc}"
        for lower, (name, value) in given.items():
            if lower in FRAMING:
                continue
            if not TOKEN.fullmatch(name) or set(value) & set("\r\n\0"):
                raise ValueError(f"not a header: {name!r}: {value!r}")
            yield f"{name}: {value}"
        if body or method in ("POST", "PUT", "PATCH"):
            yield f"Content-Length: {len(body)}"
        yield "\r\n"

    if not TOKEN.fullmatch(method):
        raise ValueError(f"not a method: {method!r}")
    return "\r\n".join(lines()).encode("latin-1") + body


def read_to_end(buffer: bytearray) -> Parser[bytes]:
    """Return all that comes until the stream ends: here the end is good news."""
    with suppress(EOFError):
        while len(buffer) <= MAX_BODY:
            yield from receive_more(buffer)
        raise ValueError(f"a body of more than {MAX_BODY} octets")
    body = bytes(buffer)
    buffer.clear()
    return body


def read_response(buffer: bytearray, method: str) -> Parser[Response]:
    """Return the final response to a request with this method; 1xx before it are skipped.

    HEAD, 204 and 304 have no body; else it is chunked, or Content-Length octets, or
    all that comes until the stream ends (RFC 9112 section 6.3). What comes after the response
    stays in buffer. Raises ValueError for what is malformed (in headers, as C1 has it), a coding other than
    chunked, a head over MAX_HEAD and a body over MAX_BODY octets; EOFError where the stream ends early.
    """
    status = 100
    while status < 200:
        head = yield from read_until(buffer, b"\r\n\r\n", MAX_HEAD)
        line, _, block = head.partition(b"\r\n")
        if not (found := STATUS_LINE.fullmatch(line)):
            raise ValueError(f"not a status line: {line[:80]!r}")
        status, headers = int(found[1]), parse_headers(block)
    if method == "HEAD" or status in {204, 304}:
        body = b""
    elif (length := body_length(headers)) is None:
        body = yield from read_chunked(buffer)
    elif length > MAX_BODY:
        raise ValueError(f"a body of {length} octets is too large")
    elif "content-length" in headers:
        body = yield from read_exactly(buffer, length)
    else:
        body = yield from read_to_end(buffer)
    return Response(status, headers, body)


async def fetch(stream: Stream, request: bytes) -> Response:
    """Send request, receive its response, and not once more: the stream may stay open for the next.

    Awaits nothing but stream.send() and stream.receive(), so that any event loop will do.
    Raises what read_response raises, and what the stream raises.
    """
    method = request[: request.index(b" ")].decode("ascii")
    parser = read_response(bytearray(), method)
    next(parser)
    await stream.send(request)
    while True:
        chunk = b""
        with suppress(anyio.EndOfStream):
            chunk = await stream.receive(CHUNK)
        try:
            parser.send(chunk)
        except StopIteration as finished:
            return finished.value


async def get(url: str, timeout: float) -> Response:  # noqa: ASYNC109
    """GET url on a connection of its own, which is closed whatever happens.

    Tells the server so with "Connection: close". Raises TimeoutError where connecting,
    sending and receiving have together taken timeout seconds (math.inf: no limit),
    OSError where nobody listens, and what build_request and fetch raise.
    """
    request = build_request("GET", url, {"Connection": "close"})
    parts = urlsplit(url)
    with anyio.fail_after(timeout):
        async with await anyio.connect_tcp(parts.hostname, parts.port or 80) as stream:
            return await fetch(stream, request)


async def get_all(urls: Iterable[str], limit: int) -> list[Response]:
    """Get all urls, at most limit at a time; return the responses in the order of urls.

    A place that gets free is used at once, and every call has TIMEOUT seconds of its own.
    The first failure cancels all other calls, and comes out as itself, not in a group.
    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"at least one at a time, not {limit}")
    responses: dict[int, Response] = {}
    limiter = anyio.CapacityLimiter(limit)

    async def call(place: int, url: str) -> None:
        async with limiter:
            responses[place] = await get(url, TIMEOUT)

    try:
        async with anyio.create_task_group() as group:
            for place, url in enumerate(urls):
                group.start_soon(call, place, url)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [responses[place] for place in sorted(responses)]
