"""HTTP/1.1 messages: bytes in, bytes out, no I/O."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from itertools import chain

from katas.a4_byte_parser import Parser, read_exactly, read_until

MAX_LINE, MAX_HEAD, MAX_BODY = 8_000, 65_536, 1_048_576  # octets


@dataclass(slots=True)
class Request:
    """A request. Header names are in lower case, the target begins with "/" or is "*". (Given.)"""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = True  # may the connection be used again after the answer?


@dataclass(slots=True)
class Response:
    """A response, as an app returns it. (Given.)"""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class BadRequest(ValueError):  # noqa: N818
    """Not HTTP as it should be: answer with this status, then close. (Given.)"""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@contextmanager
def refusing(status: int, reason: str) -> Iterator[None]:
    """Turn any ValueError of the block into a BadRequest with this status."""
    try:
        yield
    except BadRequest:
        raise
    except ValueError as error:
        raise BadRequest(status, f"{reason}: {error}") from error


TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
OURS = frozenset({"content-length", "connection", "transfer-encoding"})
FIELD = re.compile(rf"({TOKEN}):([^\r\n\0]*)")


REQUEST_LINE = re.compile(rf"({TOKEN}) ([!-~]+) HTTP/([0-9])\.([0-9])")
HOST = re.compile(r"(?:(?:[\w.~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?)?", re.ASCII)
ABSOLUTE = re.compile(r"https?://([^/?#]+)((?:[/?][^#]*)?)", re.IGNORECASE)
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")


def parse_field(line: str) -> tuple[str, str]:
    """Split one field line into its name, in lower case, and its bare value."""
    if not (match := FIELD.fullmatch(line)):
        raise BadRequest(400, f"not a field: {line!r}")
    name, value = match.groups()
    return name.lower(), value.strip(" \t")


def is_field(name: str, value: str) -> bool:
    """Say whether name and value make one field: these two and no others."""
    match = FIELD.fullmatch(f"{name}:{value}")
    return match is not None and match[1] == name


def list_of(headers: dict[str, str], name: str) -> list[str]:
    """Return the elements of a field that is a list, in lower case."""
    return list(filter(None, (element.strip(" \t").lower() for element in headers.get(name, "").split(","))))


def parse_headers(block: bytes) -> dict[str, str]:
    """Return the fields of a header block, names in lower case, no spaces or tabs around the values.

    CRLF separates the lines, an octet is a Latin-1 character, ", " joins the values of a repeated name.
    Raises BadRequest(400) for a line that is not a field: no colon, a name that is no token, CR or NUL in it.
    """
    fields: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in map(parse_field, block.decode("latin-1").split("\r\n") if block else ()):
        fields[name].append(value)
    return dict(zip(fields, map(", ".join, fields.values())))


def body_length(headers: dict[str, str]) -> int | None:
    """Return the length in octets of the body behind these headers; None where it is chunked.

    Transfer-Encoding overrides Content-Length; with neither it is 0. Raises BadRequest: 400 for a length that
    is not 1 to 18 digits and codings that do not end in their only "chunked", 501 for others in front of it.
    """
    if "transfer-encoding" in headers:
        *others, last = list_of(headers, "transfer-encoding") or [""]
        if last != "chunked" or "chunked" in others:
            raise BadRequest(400, "the end of the body cannot be told")
        if others:
            raise BadRequest(501, f"unknown codings: {others}")
        return None
    if not re.fullmatch("[0-9]{1,18}", length := headers.get("content-length", "0")):
        raise BadRequest(400, f"not a length: {length!r}")
    return int(length)


def read_chunked(buffer: bytearray, limit: int = MAX_BODY) -> Parser[bytes]:
    """Return a chunked body put together; drop chunk extensions and trailers.

    Raises BadRequest: 400 for what is not chunked (a size is 1 to 15 hexadecimal digits), 413 before the body
    grows over limit octets, 431 for trailers over MAX_HEAD; EOFError where the stream ends inside.
    """

    def chunk_size() -> Parser[int]:
        with refusing(400, "not a chunk size"):
            line = yield from read_until(buffer, b"\r\n", MAX_LINE)
        if not (match := CHUNK_SIZE.fullmatch(line)):
            raise BadRequest(400, f"not a chunk size: {line!r}")
        return int(match[1], 16)

    body = bytearray()
    while size := (yield from chunk_size()):
        if len(body) + size > limit:
            raise BadRequest(413, f"the body has more than {limit} octets")
        chunk = yield from read_exactly(buffer, size + 2)
        if not chunk.endswith(b"\r\n"):
            raise BadRequest(400, "the chunk is longer than its size")
        body += memoryview(chunk)[:-2]
    buffer[:0] = b"\r\n"  # so that the trailers end in an empty line, even where there are none
    with refusing(431, "the trailers are too long"):
        yield from read_until(buffer, b"\r\n\r\n", MAX_HEAD + 2)
    return bytes(body)


def read_request(buffer: bytearray) -> Parser[Request | None]:
    """Return the next request with its body; None where the stream ends before one begins.

    Skips empty lines in front. Of a target in absolute form, the authority becomes the Host, the rest the
    target. keep_alive is False after "Connection: close", for HTTP/1.0 without "Connection: keep-alive", and
    for Transfer-Encoding in HTTP/1.0 or beside Content-Length. Raises BadRequest: 414 for a request line over
    MAX_LINE, 431 for fields over MAX_HEAD, 413 for a body over MAX_BODY, without waiting for it, 505 for a
    major version other than 1, 501 as body_length, 400 for all else; EOFError where the stream ends inside.
    """
    line = b""
    with refusing(414, "the request line is too long"):
        try:
            while not line:
                line = yield from read_until(buffer, b"\r\n", MAX_LINE)
        except EOFError:
            if buffer:
                raise
            return None
    buffer[:0] = b"\r\n"  # so that the fields end in an empty line, even where there are none
    with refusing(431, "the fields are too long"):
        block = yield from read_until(buffer, b"\r\n\r\n", MAX_HEAD)
    if not (match := REQUEST_LINE.fullmatch(line.decode("latin-1"))):
        raise BadRequest(400, f"not a request line: {line!r}")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(505, f"not HTTP/1: {line!r}")
    headers = parse_headers(block[2:])
    if ("host" not in headers and minor != "0") or not HOST.fullmatch(headers.get("host", "")):
        raise BadRequest(400, "not a Host")
    if match := ABSOLUTE.fullmatch(target):
        headers["host"], target = match.groups()
        target = target if target.startswith("/") else f"/{target}"
        if not HOST.fullmatch(headers["host"]):
            raise BadRequest(400, "not an authority")
    if not (target.startswith("/") or target == "*" and method == "OPTIONS"):
        raise BadRequest(400, f"not a target: {target!r}")
    length = body_length(headers)
    if length is None:
        body = yield from read_chunked(buffer)
    elif length > MAX_BODY:
        raise BadRequest(413, "the body is too long")
    else:
        body = yield from read_exactly(buffer, length)
    options = list_of(headers, "connection")
    doubtful = length is None and (minor == "0" or "content-length" in headers)
    keep_alive = "close" not in options and (minor != "0" or "keep-alive" in options) and not doubtful
    return Request(method, target, headers, body, keep_alive)


def write_response(response: Response, method: str = "GET", keep_alive: bool = True) -> bytes:
    """Return the octets of the response to a request with this method.

    Decides Content-Length, Connection and Transfer-Encoding itself; adds Date where it is missing. 1xx, 204
    and 304 get neither body nor Content-Length, HEAD no body. Raises ValueError for a header that is none.
    """
    if refused := [name for name, value in response.headers.items() if not is_field(name, value)]:
        raise ValueError(f"not headers: {refused}")
    known = {status.value: status.phrase for status in HTTPStatus}
    theirs = {name: value for name, value in response.headers.items() if name.lower() not in OURS}
    bodiless = response.status < 200 or response.status in (204, 304)
    ours = {
        "Date": None if "date" in map(str.lower, theirs) else formatdate(usegmt=True),
        "Content-Length": None if bodiless else len(response.body),
        "Connection": "keep-alive" if keep_alive else "close",
    }
    fields = (f"{name}: {value}" for name, value in chain(theirs.items(), ours.items()) if value is not None)
    head = "\r\n".join([f"HTTP/1.1 {response.status} {known.get(response.status, '')}", *fields, "", ""])
    return head.encode("latin-1") + (b"" if bodiless or method == "HEAD" else response.body)
