"""An HTTP client: one core without I/O, at home on any event loop."""

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

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


# Patterns say what is right. urlsplit() repairs what is wrong: it drops line ends from a URL without a word.
URL = re.compile(
    r"(?i:http)://(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)"  # the host: nobody stands before it
    r"(?::([0-9]*))?([/?][!-\"$-~]*)?(?:#[!-~]*)?"  # the port, path and query, and the fragment
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BREAKS = re.compile(r"[\r\n\0]")
STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n\0]*)?")  # the reason may be missing
FRAMING = {"content-length", "transfer-encoding"}


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
    host, port, target = _split(url)
    fields = {name: value for name, value in (headers or {}).items() if name.lower() not in FRAMING}
    if not any(name.lower() == "host" for name in fields):
        fields = {"Host": host if port == 80 else f"{host}:{port}", **fields}
    if body or method in ("POST", "PUT", "PATCH"):
        fields["Content-Length"] = str(len(body))

    if not all(map(TOKEN.fullmatch, [method, *fields])) or any(map(BREAKS.search, fields.values())):
        raise ValueError(f"this would break out of its line: {method!r}, {fields}")
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


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
        status_line = STATUS_LINE.fullmatch(line)
        if status_line is None:
            raise ValueError(f"not a status line: {line[:80]!r}")
        status, headers = int(status_line[1]), parse_headers(block)

    if method == "HEAD" or status in (204, 304):
        # Whatever the headers say: they speak of the body that GET would have got.
        return Response(status, headers)
    length = body_length(headers)
    if length is None:
        body = yield from read_chunked(buffer)
    elif length > MAX_BODY:
        raise ValueError(f"a body of {length} octets")
    elif "content-length" in headers:
        body = yield from read_exactly(buffer, length)
    else:
        body = yield from _read_to_end(buffer)
    return Response(status, headers, body)


async def fetch(stream: Stream, request: bytes) -> Response:
    """Send request, receive its response, and not once more: the stream may stay open for the next.

    Awaits nothing but stream.send() and stream.receive(), so that any event loop will do.
    Raises what read_response raises, and what the stream raises.
    """
    parser = read_response(bytearray(), request.partition(b" ")[0].decode("ascii"))
    next(parser)
    await stream.send(request)
    while True:
        try:
            chunk = await stream.receive(CHUNK)
        except anyio.EndOfStream:
            chunk = b""
        try:
            parser.send(chunk)
        except StopIteration as finished:
            response: Response = finished.value
            return response


async def get(url: str, timeout: float) -> Response:  # noqa: ASYNC109
    """GET url on a connection of its own, which is closed whatever happens.

    Tells the server so with "Connection: close". Raises TimeoutError where connecting,
    sending and receiving have together taken timeout seconds (math.inf: no limit),
    OSError where nobody listens, and what build_request and fetch raise.
    """
    request = build_request("GET", url, {"Connection": "close"})
    host, port, _ = _split(url)
    # One deadline around everything: one for each receive() would start again with
    # every octet that a slow server lets fall.
    with anyio.fail_after(timeout):
        async with await anyio.connect_tcp(host.strip("[]"), port) as stream:
            return await fetch(stream, request)


async def get_all(urls: Iterable[str], limit: int) -> list[Response]:
    """Get all urls, at most limit at a time; return the responses in the order of urls.

    A place that gets free is used at once, and every call has TIMEOUT seconds of its own.
    The first failure cancels all other calls, and comes out as itself, not in a group.
    Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} lets nothing through")
    responses: dict[int, Response] = {}
    urls = list(urls)
    todo = iter(enumerate(urls))

    async def work() -> None:
        # All workers share one iterator, so that each url is taken by one of them. A
        # semaphore would bound the calls as well, but start a task for every url.
        for place, url in todo:
            responses[place] = await get(url, TIMEOUT)

    try:
        async with anyio.create_task_group() as workers:
            for _ in range(min(limit, len(urls))):
                workers.start_soon(work)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [responses[place] for place in range(len(urls))]


def _split(url: str) -> tuple[str, int, str]:
    """Return the host, with the brackets of IPv6, the port and the target of an http:// URL."""
    parts = URL.fullmatch(url)
    host, port, target = parts.groups("") if parts else ("", "", "")
    if not host or int(port or 80) > 65_535:
        raise ValueError(f"not http://, a host, at most a port, and visible ASCII behind it: {url!r}")
    return host, int(port or 80), target if target.startswith("/") else f"/{target}"


def _read_to_end(buffer: bytearray) -> Parser[bytes]:
    try:
        while len(buffer) <= MAX_BODY:
            yield from receive_more(buffer)
    except EOFError:  # of all bodies, this one is complete
        return (yield from read_exactly(buffer, len(buffer)))
    raise ValueError(f"a body of more than {MAX_BODY} octets")
