"""HTTP/1.1 messages: bytes in, bytes out, no I/O."""

from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

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


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
HEX_DIGITS = DIGITS + "abcdefABCDEF"
TOKEN_CHARACTERS = LETTERS + DIGITS + "!#$%&'*+-.^_`|~"


def only(text: str, allowed: str) -> bool:
    """Is text not empty, and made of the allowed characters only?"""
    if text == "":
        return False
    for character in text:
        if character not in allowed:
            return False
    return True


def is_token(text: str) -> bool:
    return only(text, TOKEN_CHARACTERS)


def parse_headers(block: bytes) -> dict[str, str]:
    """Return the fields of a header block, names in lower case, no spaces or tabs around the values.

    CRLF separates the lines, an octet is a Latin-1 character, ", " joins the values of a repeated name.
    Raises BadRequest(400) for a line that is not a field: no colon, a name that is no token, CR or NUL in it.
    """
    headers = {}
    if block == b"":
        return headers
    for line in block.decode("latin-1").split("\r\n"):
        colon = line.find(":")
        if colon == -1:
            raise BadRequest(400, "a header line without a colon")
        name = line[:colon]
        value = line[colon + 1 :].strip(" \t")
        if not is_token(name):
            raise BadRequest(400, "a header name that is no token")
        if "\r" in value or "\n" in value or "\0" in value:
            raise BadRequest(400, "CR, LF or NUL in a header value")
        name = name.lower()
        if name in headers:
            headers[name] = headers[name] + ", " + value
        else:
            headers[name] = value
    return headers


def body_length(headers: dict[str, str]) -> int | None:
    """Return the length in octets of the body behind these headers; None where it is chunked.

    Transfer-Encoding overrides Content-Length; with neither it is 0. Raises BadRequest: 400 for a length that
    is not 1 to 18 digits and codings that do not end in their only "chunked", 501 for others in front of it.
    """
    if "transfer-encoding" in headers:
        codings = []
        for coding in headers["transfer-encoding"].lower().split(","):
            codings.append(coding.strip(" \t"))
        if codings[-1] != "chunked":
            raise BadRequest(400, "the last transfer coding is not chunked")
        if codings.count("chunked") > 1:
            raise BadRequest(400, "chunked more than once")
        if len(codings) > 1:
            raise BadRequest(501, "unknown transfer coding")
        return None
    if "content-length" in headers:
        length = headers["content-length"]
        if not only(length, DIGITS) or len(length) > 18:
            raise BadRequest(400, "Content-Length is not a number")
        return int(length)
    return 0


def read_chunked(buffer: bytearray, limit: int = MAX_BODY) -> Parser[bytes]:
    """Return a chunked body put together; drop chunk extensions and trailers.

    Raises BadRequest: 400 for what is not chunked (a size is 1 to 15 hexadecimal digits), 413 before the body
    grows over limit octets, 431 for trailers over MAX_HEAD; EOFError where the stream ends inside.
    """
    body = b""
    while True:
        try:
            line = yield from read_until(buffer, b"\r\n", MAX_LINE)
        except ValueError:
            raise BadRequest(400, "a chunk size line that is too long")
        text = line.decode("latin-1")
        semicolon = text.find(";")
        if semicolon != -1:
            text = text[:semicolon]
        text = text.rstrip(" \t")
        if not only(text, HEX_DIGITS) or len(text) > 15:
            raise BadRequest(400, "a chunk size that is no hexadecimal number")
        size = int(text, 16)
        if size == 0:
            break
        if len(body) + size > limit:
            raise BadRequest(413, "a chunked body that is too large")
        chunk = yield from read_exactly(buffer, size)
        body = body + chunk
        end = yield from read_exactly(buffer, 2)
        if end != b"\r\n":
            raise BadRequest(400, "no CRLF behind a chunk")
    yield from read_fields(buffer)
    return body


def is_host(text: str) -> bool:
    """Is it a name, an address or [IPv6], with or without a port?"""
    if text.startswith("["):
        end = text.find("]")
        if end == -1:
            return False
        address = text[1:end]
        port = text[end + 1 :]
        if not only(address, HEX_DIGITS + ":.") or address.count(":") < 2:
            return False
    else:
        colon = text.find(":")
        if colon == -1:
            colon = len(text)
        name = text[:colon]
        port = text[colon:]
        if not only(name, LETTERS + DIGITS + "-._~%!$&'()*+,;="):
            return False
    if port == "" or port == ":":
        return True
    return port[0] == ":" and only(port[1:], DIGITS)


def read_fields(buffer: bytearray) -> Parser[bytes]:
    """Return the lines up to the empty one, without the last CRLF; the empty line is taken out too."""
    lines = []
    room = MAX_HEAD
    while True:
        if room < 0:
            raise BadRequest(431, "the fields are too long")
        try:
            line = yield from read_until(buffer, b"\r\n", room)
        except ValueError:
            raise BadRequest(431, "the fields are too long")
        if line == b"":
            return b"\r\n".join(lines)
        lines.append(line)
        room = room - len(line) - 2


def read_request(buffer: bytearray) -> Parser[Request | None]:
    """Return the next request with its body; None where the stream ends before one begins.

    Skips empty lines in front. Of a target in absolute form, the authority becomes the Host, the rest the
    target. keep_alive is False after "Connection: close", for HTTP/1.0 without "Connection: keep-alive", and
    for Transfer-Encoding in HTTP/1.0 or beside Content-Length. Raises BadRequest: 414 for a request line over
    MAX_LINE, 431 for fields over MAX_HEAD, 413 for a body over MAX_BODY, without waiting for it, 505 for a
    major version other than 1, 501 as body_length, 400 for all else; EOFError where the stream ends inside.
    """
    line = b""
    while line == b"":
        try:
            line = yield from read_until(buffer, b"\r\n", MAX_LINE)
        except ValueError:
            raise BadRequest(414, "a request line that is too long")
        except EOFError:
            if len(buffer) == 0:
                return None
            raise

    words = line.decode("latin-1").split(" ")
    if len(words) != 3:
        raise BadRequest(400, "a request line is three words")
    method = words[0]
    target = words[1]
    version = words[2]
    if not is_token(method):
        raise BadRequest(400, "a method that is no token")
    if len(version) != 8 or not version.startswith("HTTP/") or version[6] != ".":
        raise BadRequest(400, "no HTTP version")
    if version[5] not in DIGITS or version[7] not in DIGITS:
        raise BadRequest(400, "no HTTP version")
    if version[5] != "1":
        raise BadRequest(505, "another major version")
    old = version == "HTTP/1.0"

    block = yield from read_fields(buffer)
    headers = parse_headers(block)

    if "host" in headers:
        if headers["host"] != "" and not is_host(headers["host"]):
            raise BadRequest(400, "a Host that is none")
    elif not old:
        raise BadRequest(400, "no Host")

    for character in target:
        if character <= " " or character > "~":
            raise BadRequest(400, "a character that no target has")
    if target == "*":
        if method != "OPTIONS":
            raise BadRequest(400, "* is for OPTIONS")
    elif not target.startswith("/"):
        lower = target.lower()
        if lower.startswith("http://"):
            rest = target[7:]
        elif lower.startswith("https://"):
            rest = target[8:]
        else:
            raise BadRequest(400, "a target that is none")
        end = 0
        while end < len(rest) and rest[end] != "/" and rest[end] != "?":
            end = end + 1
        authority = rest[:end]
        target = rest[end:]
        if not is_host(authority):
            raise BadRequest(400, "an authority that is no Host")
        headers["host"] = authority
        if not target.startswith("/"):
            target = "/" + target

    options = []
    for option in headers.get("connection", "").split(","):
        options.append(option.strip(" \t").lower())
    keep_alive = "close" not in options
    if old and "keep-alive" not in options:
        keep_alive = False
    if "transfer-encoding" in headers:
        if old or "content-length" in headers:
            keep_alive = False

    length = body_length(headers)
    if length is None:
        body = yield from read_chunked(buffer)
    else:
        if length > MAX_BODY:
            raise BadRequest(413, "a body that is too large")
        body = yield from read_exactly(buffer, length)
    return Request(method, target, headers, body, keep_alive)


def write_response(response: Response, method: str = "GET", keep_alive: bool = True) -> bytes:
    """Return the octets of the response to a request with this method.

    Decides Content-Length, Connection and Transfer-Encoding itself; adds Date where it is missing. 1xx, 204
    and 304 get neither body nor Content-Length, HEAD no body. Raises ValueError for a header that is none.
    """
    status = response.status
    reason = ""
    for known in HTTPStatus:
        if known.value == status:
            reason = known.phrase
    lines = ["HTTP/1.1 " + str(status) + " " + reason]
    has_date = False
    for name in response.headers:
        value = response.headers[name]
        if not is_token(name):
            raise ValueError("a header name that is no token: " + repr(name))
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError("CR, LF or NUL in a header value: " + repr(value))
        lower = name.lower()
        if lower == "date":
            has_date = True
        if lower not in ["content-length", "connection", "transfer-encoding"]:
            lines.append(name + ": " + value)
    if not has_date:
        lines.append("Date: " + formatdate(usegmt=True))
    no_length = status < 200 or status == 204 or status == 304
    if not no_length:
        lines.append("Content-Length: " + str(len(response.body)))
    if keep_alive:
        lines.append("Connection: keep-alive")
    else:
        lines.append("Connection: close")
    head = "\r\n".join(lines) + "\r\n\r\n"
    data = head.encode("latin-1")
    if not no_length and method != "HEAD":
        data = data + response.body
    return data
