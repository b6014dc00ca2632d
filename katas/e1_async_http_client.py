"""An HTTP client: one core without I/O, at home on any event loop."""

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
    raise NotImplementedError


def read_response(buffer: bytearray, method: str) -> Parser[Response]:
    """Return the final response to a request with this method; 1xx before it are skipped.

    HEAD, 204 and 304 have no body; else it is chunked, or Content-Length octets, or
    all that comes until the stream ends (RFC 9112 section 6.3). What comes after the response
    stays in buffer. Raises ValueError for what is malformed (in headers, as C1 has it), a coding other than
    chunked, a head over MAX_HEAD and a body over MAX_BODY octets; EOFError where the stream ends early.
    """
    raise NotImplementedError


async def fetch(stream: Stream, request: bytes) -> Response:
    """Send request, receive its response, and not once more: the stream may stay open for the next.

    Awaits nothing but stream.send() and stream.receive(), so that any event loop will do.
    Raises what read_response raises, and what the stream raises.
    """
    raise NotImplementedError


async def get(url: str, timeout: float) -> Response:  # noqa: ASYNC109
    """GET url on a connection of its own, which is closed whatever happens.

    Tells the server so with "Connection: close". Raises TimeoutError where connecting,
    sending and receiving have together taken timeout seconds (math.inf: no limit),
    OSError where nobody listens, and what build_request and fetch raise.
    """
    raise NotImplementedError


async def get_all(urls: Iterable[str], limit: int) -> list[Response]:
    """Get all urls, at most limit at a time; return the responses in the order of urls.

    A place that gets free is used at once, and every call has TIMEOUT seconds of its own.
    The first failure cancels all other calls, and comes out as itself, not in a group.
    Raises ValueError for a limit below 1.
    """
    raise NotImplementedError
