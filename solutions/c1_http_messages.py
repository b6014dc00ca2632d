"""HTTP/1.1 messages: bytes in, bytes out, no I/O."""

import re
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from time import time

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


# Patterns say what is right, so that all else is refused, also what nobody has thought of. A token has no
# white space in it: a name with a space behind it is none, nor is a folded line, which begins with one.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_AUTHORITY = r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]*)(?::[0-9]*)?"
_HOST = re.compile(_AUTHORITY)
_FIELD = re.compile(rf"({_TOKEN}):([^\r\n\0]*)")
_REQUEST_LINE = re.compile(rf"({_TOKEN}) ([!-~]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE_TARGET = re.compile(rf"(?i:https?)://(?![:/?])({_AUTHORITY})([/?].*)?")
_CONTENT_LENGTH = re.compile(r"[0-9]{1,18}")  # int() would take "+5", "1_0" and " 5" as well
_CHUNK_SIZE = re.compile(r"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")

_REASONS = {int(status): status.phrase for status in HTTPStatus}
# Writing the time takes longer than writing the rest: once a second is often enough.
_date = lru_cache(maxsize=1)(partial(formatdate, usegmt=True))


def parse_headers(block: bytes) -> dict[str, str]:
    """Return the fields of a header block, names in lower case, no spaces or tabs around the values.

    CRLF separates the lines and does not stand behind the last; an empty block gives {}. An octet is a
    Latin-1 character, ", " joins the values of a repeated name. Raises BadRequest(400) for a line that is not
    a field: no colon, a name that is no token, CR or NUL in it. A bare LF ends a line or is a 400: choose.
    """
    headers: dict[str, str] = {}
    # str.splitlines() would break lines at ten more characters, strip() take more than " \t".
    for line in block.decode("latin-1").split("\r\n") if block else ():
        parts = _match(_FIELD, line)
        name, value = parts[1].lower(), parts[2].strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def body_length(headers: dict[str, str]) -> int | None:
    """Return the length in octets of the body behind these headers; None where it is chunked.

    Transfer-Encoding overrides Content-Length; with neither it is 0. Raises BadRequest: 400 for a length that
    is not 1 to 18 digits and codings that do not end in their only "chunked", 501 for others in front of it.
    """
    if "transfer-encoding" in headers:
        codings = _split_list(headers["transfer-encoding"])
        if codings[-1] != "chunked" or "chunked" in codings[:-1]:
            raise BadRequest(400, f"nobody can tell where a body coded {codings} ends")
        if len(codings) > 1:
            raise BadRequest(501, f"not all of {codings} are known here")
        return None
    return int(_match(_CONTENT_LENGTH, headers.get("content-length", "0"))[0])


def read_chunked(buffer: bytearray, limit: int = MAX_BODY) -> Parser[bytes]:
    """Return a chunked body put together; drop chunk extensions and trailers.

    Raises BadRequest: 400 for what is not chunked (a size is 1 to 15 hexadecimal digits, in a line of at most
    MAX_LINE octets), 413 before the body grows over limit octets, 431 for trailers over MAX_HEAD, all of them
    together; EOFError where the stream ends inside.
    """
    body = bytearray()
    while size := _chunk_size((yield from _read_line(buffer, 400))):
        if len(body) + size > limit:
            raise BadRequest(413, f"a body of more than {limit} octets")
        chunk = yield from read_exactly(buffer, size + 2)
        if not chunk.endswith(b"\r\n"):
            raise BadRequest(400, f"a chunk is longer than the {size} octets that it said")
        body += chunk[:size]
    yield from _read_fields(buffer)  # trailers: of no use to anybody here
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
    try:
        while not line:
            line = yield from _read_line(buffer, 414)
    except EOFError:
        if buffer:
            raise
        return None
    method, target, major, minor = _match(_REQUEST_LINE, line.decode("latin-1")).groups()
    if major != "1":
        raise BadRequest(505, f"HTTP/{major}.{minor} is not spoken here")

    headers = yield from _read_fields(buffer)
    if "host" not in headers and minor != "0":
        raise BadRequest(400, "HTTP/1.1 does not go without a Host")
    _match(_HOST, headers.get("host", ""))  # two of them, joined, are none either
    if target[0] != "/" and (method, target) != ("OPTIONS", "*"):
        headers["host"], rest = _match(_ABSOLUTE_TARGET, target).groups("")
        target = rest if rest.startswith("/") else "/" + rest

    options = _split_list(headers.get("connection", ""))
    keep_alive = "close" not in options and (minor != "0" or "keep-alive" in options)
    if "transfer-encoding" in headers and (minor == "0" or "content-length" in headers):
        keep_alive = False  # a proxy between us may have seen another end of this body

    length = body_length(headers)
    if length is None:
        body = yield from read_chunked(buffer)
    elif length > MAX_BODY:
        raise BadRequest(413, f"a body of {length} octets")
    else:
        body = yield from read_exactly(buffer, length)
    return Request(method, target, headers, body, keep_alive)


def write_response(response: Response, method: str = "GET", keep_alive: bool = True) -> bytes:
    """Return the octets of the response to a request with this method.

    Decides Content-Length, Connection and Transfer-Encoding itself; adds Date where it is missing. 1xx, 204
    and 304 get neither body nor Content-Length, HEAD no body, but the Content-Length that GET would get.
    Raises ValueError for a header that is none.
    """
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}"]
    for name, value in response.headers.items():
        parts = _FIELD.fullmatch(f"{name}:{value}")
        if parts is None or parts[1] != name:  # a name with a ":" in it is the app's fault too
            raise ValueError(f"not a header field: {name!r}: {value!r}")
        if name.lower() not in ("content-length", "connection", "transfer-encoding"):
            lines.append(f"{name}: {value}")
    if "date" not in map(str.lower, response.headers):
        lines.append(f"Date: {_date(int(time()))}")
    bodiless = response.status < 200 or response.status in (204, 304)
    if not bodiless:
        lines.append(f"Content-Length: {len(response.body)}")
    lines += ["Connection: keep-alive" if keep_alive else "Connection: close", "", ""]
    head = "\r\n".join(lines).encode("latin-1")
    return head if bodiless or method == "HEAD" else head + response.body


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    """Return the match of the whole text; refuse a text that is not what the pattern says."""
    if match := pattern.fullmatch(text):
        return match
    raise BadRequest(400, f"not as HTTP has it: {text[:80]!r}")


def _read_line(buffer: bytearray, status: int, end: bytes = b"\r\n", limit: int = MAX_LINE) -> Parser[bytes]:
    """Return what comes before end; refuse it with this status where it is longer than limit."""
    try:
        return (yield from read_until(buffer, end, limit))
    except ValueError as error:
        raise BadRequest(status, str(error)) from error


def _read_fields(buffer: bytearray) -> Parser[dict[str, str]]:
    """Return the fields up to the empty line that ends them."""
    # The end of the line before goes back, so that no fields at all end with CRLF CRLF too.
    buffer[:0] = b"\r\n"
    return parse_headers((yield from _read_line(buffer, 431, b"\r\n\r\n", MAX_HEAD))[2:])


def _chunk_size(line: bytes) -> int:
    return int(_match(_CHUNK_SIZE, line.decode("latin-1"))[1], 16)


def _split_list(value: str) -> list[str]:
    return [item.strip(" \t").lower() for item in value.split(",")]
