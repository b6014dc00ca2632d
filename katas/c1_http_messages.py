"""HTTP/1.1 messages: bytes in, bytes out, no I/O."""

from dataclasses import dataclass, field

from katas.a4_byte_parser import Parser

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


def parse_headers(block: bytes) -> dict[str, str]:
    """Return the fields of a header block, names in lower case, no spaces or tabs around the values.

    CRLF separates the lines and does not stand behind the last; an empty block gives {}. An octet is a
    Latin-1 character, ", " joins the values of a repeated name. Raises BadRequest(400) for a line that is not
    a field: no colon, a name that is no token, CR or NUL in it. A bare LF ends a line or is a 400: choose.
    """
    raise NotImplementedError


def body_length(headers: dict[str, str]) -> int | None:
    """Return the length in octets of the body behind these headers; None where it is chunked.

    Transfer-Encoding overrides Content-Length; with neither it is 0. Raises BadRequest: 400 for a length that
    is not 1 to 18 digits and codings that do not end in their only "chunked", 501 for others in front of it.
    """
    raise NotImplementedError


def read_chunked(buffer: bytearray, limit: int = MAX_BODY) -> Parser[bytes]:
    """Return a chunked body put together; drop chunk extensions and trailers.

    Raises BadRequest: 400 for what is not chunked (a size is 1 to 15 hexadecimal digits, in a line of at most
    MAX_LINE octets), 413 before the body grows over limit octets, 431 for trailers over MAX_HEAD, all of them
    together; EOFError where the stream ends inside.
    """
    raise NotImplementedError


def read_request(buffer: bytearray) -> Parser[Request | None]:
    """Return the next request with its body; None where the stream ends before one begins.

    Skips empty lines in front. Of a target in absolute form, the authority becomes the Host, the rest the
    target. keep_alive is False after "Connection: close", for HTTP/1.0 without "Connection: keep-alive", and
    for Transfer-Encoding in HTTP/1.0 or beside Content-Length. Raises BadRequest: 414 for a request line over
    MAX_LINE, 431 for fields over MAX_HEAD, 413 for a body over MAX_BODY, without waiting for it, 505 for a
    major version other than 1, 501 as body_length, 400 for all else; EOFError where the stream ends inside.
    """
    raise NotImplementedError


def write_response(response: Response, method: str = "GET", keep_alive: bool = True) -> bytes:
    """Return the octets of the response to a request with this method.

    Decides Content-Length, Connection and Transfer-Encoding itself; adds Date where it is missing. 1xx, 204
    and 304 get neither body nor Content-Length, HEAD no body, but the Content-Length that GET would get.
    Raises ValueError for a header that is none.
    """
    raise NotImplementedError
