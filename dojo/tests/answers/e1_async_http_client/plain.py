"""An HTTP client: one core without I/O, at home on any event loop."""

from collections.abc import Iterable, Mapping
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
    for char in url:
        if not "!" <= char <= "~":
            raise ValueError(f"only visible ASCII may be in a URL: {url!r}")
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise ValueError(f"not an http URL: {url!r}")
    if not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"no host, or a user, in {url!r}")
    host = parts.netloc
    if parts.port == 80:  # to ask for it is enough: it raises ValueError where it is no port
        host = host[:-3]
    target = parts.path
    if target == "":
        target = "/"
    if parts.query:
        target = target + "?" + parts.query
    if not is_token(method):
        raise ValueError(f"not a method: {method!r}")
    fields = []
    has_host = False
    if headers is not None:
        for name, value in headers.items():
            if not is_token(name):
                raise ValueError(f"not the name of a header: {name!r}")
            if "\r" in value or "\n" in value or "\0" in value:
                raise ValueError(f"a line end in the header {name}")
            if name.lower() in ("content-length", "transfer-encoding"):
                continue
            if name.lower() == "host":
                has_host = True
            fields.append((name, value))
    if not has_host:
        fields.insert(0, ("Host", host))
    if body or method in ("POST", "PUT", "PATCH"):
        fields.append(("Content-Length", str(len(body))))
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields:
        lines.append(f"{name}: {value}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + body


def is_token(text: str) -> bool:
    """Whether this can be a method or the name of a header."""
    if text == "":
        return False
    for char in text:
        if not (char.isalnum() and char.isascii()) and char not in "!#$%&'*+.^_`|~-":
            return False
    return True


def read_response(buffer: bytearray, method: str) -> Parser[Response]:
    """Return the final response to a request with this method; 1xx before it are skipped.

    HEAD, 204 and 304 have no body; else it is chunked, or Content-Length octets, or
    all that comes until the stream ends (RFC 9112 section 6.3). What comes after the response
    stays in buffer. Raises ValueError for what is malformed (in headers, as C1 has it), a coding other than
    chunked, a head over MAX_HEAD and a body over MAX_BODY octets; EOFError where the stream ends early.
    """
    while True:
        head = yield from read_until(buffer, b"\r\n\r\n", MAX_HEAD)
        lines = head.split(b"\r\n", 1)
        status = parse_status(lines[0])
        block = b""
        if len(lines) > 1:
            block = lines[1]
        headers = parse_headers(block)
        if status >= 200:
            break
    if method == "HEAD" or status in (204, 304):
        body = b""
    elif "transfer-encoding" in headers:
        body_length(headers)  # raises for all but chunked
        body = yield from read_chunked(buffer)
    elif "content-length" in headers:
        length = body_length(headers)
        if length > MAX_BODY:
            raise ValueError("the body is too large")
        body = yield from read_exactly(buffer, length)
    else:
        try:
            while True:
                if len(buffer) > MAX_BODY:
                    raise ValueError("the body is too large")
                yield from receive_more(buffer)
        except EOFError:
            pass
        body = bytes(buffer)
        buffer.clear()
    return Response(status, headers, body)


def parse_status(line: bytes) -> int:
    """Return the status out of a line like b"HTTP/1.1 200 OK"."""
    words = line.split(b" ")
    if words[0] not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise ValueError(f"not HTTP/1: {line!r}")
    if len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise ValueError(f"no status: {line!r}")
    return int(words[1])


async def fetch(stream: Stream, request: bytes) -> Response:
    """Send request, receive its response, and not once more: the stream may stay open for the next.

    Awaits nothing but stream.send() and stream.receive(), so that any event loop will do.
    Raises what read_response raises, and what the stream raises.
    """
    await stream.send(request)
    method = request.split(b" ")[0].decode()
    parser = read_response(bytearray(), method)
    next(parser)
    while True:
        try:
            chunk = await stream.receive(CHUNK)
        except anyio.EndOfStream:
            chunk = b""
        try:
            parser.send(chunk)
        except StopIteration as stop:
            return stop.value


async def get(url: str, timeout: float) -> Response:  # noqa: ASYNC109
    """GET url on a connection of its own, which is closed whatever happens.

    Tells the server so with "Connection: close". Raises TimeoutError where connecting,
    sending and receiving have together taken timeout seconds (math.inf: no limit),
    OSError where nobody listens, and what build_request and fetch raise.
    """
    request = build_request("GET", url, {"Connection": "close"})
    parts = urlsplit(url)
    with anyio.fail_after(timeout):
        stream = await anyio.connect_tcp(parts.hostname, parts.port or 80)
        try:
            return await fetch(stream, request)
        finally:
            await stream.aclose()


async def get_all(urls: Iterable[str], limit: int) -> list[Response]:
    """Get all urls, at most limit at a time; return the responses in the order of urls.

    A place that gets free is used at once, and every call has TIMEOUT seconds of its own.
    The first failure cancels all other calls, and comes out as itself, not in a group.
    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError("the limit must be 1 or more")
    urls = list(urls)
    responses = [None] * len(urls)
    todo = list(enumerate(urls))

    async def worker():
        while todo:
            place, url = todo.pop(0)
            responses[place] = await get(url, TIMEOUT)

    try:
        async with anyio.create_task_group() as group:
            for number in range(min(limit, len(urls))):
                group.start_soon(worker)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return responses
