"""HTTP/1.1 messages: bytes in, bytes out, no I/O."""

import email.utils
import http
import string
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

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


_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


_DIGITS = frozenset("0123456789")


def _is_token(text: str) -> bool:
    return text != "" and _TOKEN_CHARACTERS.issuperset(text)


@dataclass(frozen=True, slots=True)
class _Field:
    """One field line: name and value are as they came, without the white space around the value."""

    name: str
    value: str

    def __post_init__(self) -> None:
        if not _is_token(self.name):
            raise BadRequest(400, "a field name is not a token")
        if not frozenset("\r\n\0").isdisjoint(self.value):
            raise BadRequest(400, "CR, LF or NUL in a field value")

    @classmethod
    def parse(cls, line: str) -> "_Field":
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400, "a field line has no colon")
        return cls(name, value.strip(" \t"))


class _Headers:
    """Collects fields."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, ...]] = {}

    def add(self, one: _Field) -> None:
        name = one.name.lower()
        self._values[name] = (*self._values.get(name, ()), one.value)

    def as_dict(self) -> dict[str, str]:
        return {name: ", ".join(values) for name, values in self._values.items()}


class _Machine(Generator[None, bytes, Any]):
    """A parser put together by hand: one part reads; what it has read is handed to a method, which
    either enters the next part or finishes."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._part: Parser[bytes] | None = None  # None: not begun, or ended
        self._then: Callable[[bytes], None] | None = None
        self._refusal = BadRequest(400, "too long")
        self._state = "created"
        self._result: Any = None

    def begin(self) -> None:
        raise NotImplementedError

    def enter(self, part: Parser[Any], then: Callable[[Any], None], too_long: int = 400) -> None:
        self._part, self._then, self._refusal = part, then, BadRequest(too_long, "too long")

    def finish(self, result: Any) -> None:
        self._state, self._result = "finished", result

    def at_end_of_stream(self) -> None:
        """Called in place of EOFError going out; may finish."""

    def send(self, value: bytes | None) -> None:
        if self._state in ("finished", "failed"):
            raise StopIteration
        try:
            if self._state == "created":
                if value is not None:
                    raise TypeError("can't send to a parser that has not begun")
                self._state = "reading"
                self.begin()
            while self._state == "reading":
                try:
                    self._part.send(value)
                    return
                except StopIteration as end:
                    value = None
                    self._then(end.value)
                except EOFError:
                    self.at_end_of_stream()
                    if self._state == "reading":
                        raise
                except BadRequest:
                    raise
                except ValueError as error:
                    raise self._refusal from error
        except BaseException:
            self._state = "failed"
            raise
        raise StopIteration(self._result)

    def throw(self, typ, val=None, tb=None):
        if self._state == "reading":
            self._part.close()
        self._state = "failed"
        return super().throw(typ, val, tb)


class _ChunkedMachine(_Machine):
    def __init__(self, buffer: bytearray, limit: int) -> None:
        super().__init__(buffer)
        self._limit = limit
        self._length = 0
        self._body = bytearray()
        self._trailer_octets_left = MAX_HEAD

    def begin(self) -> None:
        self.enter(read_until(self._buffer, b"\r\n", MAX_LINE), self._size_line)

    def _size_line(self, line: bytes) -> None:
        digits, semicolon, extension = line.decode("latin-1").partition(";")
        digits = digits.rstrip(" \t")
        if not 1 <= len(digits) <= 15 or not frozenset(string.hexdigits).issuperset(digits):
            raise BadRequest(400, "a chunk size that is none")
        if not frozenset("\r\n\0").isdisjoint(extension):
            raise BadRequest(400, "CR, LF or NUL in a chunk extension")
        size = int(digits, 16)
        if size == 0:
            self._next_trailer()
            return
        self._length += size
        if self._length > self._limit:
            raise BadRequest(413, "the body is too long")
        self.enter(read_exactly(self._buffer, size + 2), self._chunk)

    def _chunk(self, data: bytes) -> None:
        if not data.endswith(b"\r\n"):
            raise BadRequest(400, "no CRLF behind a chunk")
        self._body += data[:-2]
        self.begin()

    def _next_trailer(self) -> None:
        self.enter(read_until(self._buffer, b"\r\n", max(0, self._trailer_octets_left)), self._trailer, 431)

    def _trailer(self, line: bytes) -> None:
        if not line:
            self.finish(bytes(self._body))
            return
        self._trailer_octets_left -= len(line) + 2
        self._next_trailer()


@dataclass(frozen=True, slots=True)
class _Authority:
    """A host, perhaps with a port."""

    text: str

    _NAME = frozenset(string.ascii_letters + string.digits + "-._~%!$&'()*+,;=")
    _ADDRESS = frozenset(string.hexdigits + ":.")

    def is_valid(self) -> bool:
        if self.text.startswith("["):
            host, bracket, port = self.text[1:].partition("]")
            host_is_valid = bracket == "]" and host != "" and self._ADDRESS.issuperset(host)
        else:
            host, colon, rest = self.text.partition(":")
            port = colon + rest
            host_is_valid = host != "" and self._NAME.issuperset(host)
        return host_is_valid and (port == "" or (port[0] == ":" and _DIGITS.issuperset(port[1:])))


@dataclass(frozen=True, slots=True)
class _RequestLine:
    method: str
    target: str
    minor_version: int
    authority: str | None

    _SCHEMES = ("http://", "https://")

    @classmethod
    def parse(cls, octets: bytes) -> "_RequestLine":
        parts = tuple(octets.decode("latin-1").split(" "))
        if len(parts) != 3:
            raise BadRequest(400, "a request line has three parts")
        method, target, version = parts
        if not _is_token(method):
            raise BadRequest(400, "a method is a token")
        if not all("!" <= character <= "~" for character in target):
            raise BadRequest(400, "a target is made of visible ASCII characters")
        minor = cls._minor_version(version)
        if target.startswith("/") or (target == "*" and method == "OPTIONS"):
            return cls(method, target, minor, None)
        for scheme in cls._SCHEMES:
            if target.lower().startswith(scheme):
                return cls(method, *cls._absolute(target[len(scheme) :], minor))
        raise BadRequest(400, "a target of no known form")

    @staticmethod
    def _minor_version(version: str) -> int:
        if not (len(version) == 8 and version.startswith("HTTP/") and version[6] == "."):
            raise BadRequest(400, "no version")
        if version[5] not in _DIGITS or version[7] not in _DIGITS:
            raise BadRequest(400, "no version")
        if version[5] != "1":
            raise BadRequest(505, "a version that is not 1")
        return int(version[7])

    @staticmethod
    def _absolute(rest: str, minor: int) -> tuple[str, int, str]:
        end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        authority, path = rest[:end], rest[end:]
        if not _Authority(authority).is_valid():
            raise BadRequest(400, "an authority that is none")
        return (path if path.startswith("/") else "/" + path), minor, authority


class _RequestMachine(_Machine):
    """request line -> fields -> body, or chunks -> finished"""

    def begin(self) -> None:
        self.enter(read_until(self._buffer, b"\r\n", MAX_LINE), self._request_line, 414)

    def at_end_of_stream(self) -> None:
        if not self._buffer and self._then == self._request_line:
            self.finish(None)

    def _request_line(self, line: bytes) -> None:
        if not line:
            self.begin()
            return
        self._line = _RequestLine.parse(line)
        self._buffer[:0] = b"\r\n"
        self.enter(read_until(self._buffer, b"\r\n\r\n", MAX_HEAD), self._fields, 431)

    def _fields(self, block: bytes) -> None:
        self._headers = parse_headers(block[2:])
        self._check_host()
        length = body_length(self._headers)
        if length is None:
            self.enter(read_chunked(self._buffer), self._body)
        elif length > MAX_BODY:
            raise BadRequest(413, "the body is too long")
        else:
            self.enter(read_exactly(self._buffer, length), self._body)

    def _check_host(self) -> None:
        host = self._headers.get("host")
        if host is None and self._line.minor_version > 0:
            raise BadRequest(400, "no Host")
        if host and not _Authority(host).is_valid():
            raise BadRequest(400, "a Host that is none")
        if self._line.authority is not None:
            self._headers["host"] = self._line.authority

    def _keep_alive(self) -> bool:
        options = tuple(o.strip(" \t").lower() for o in self._headers.get("connection", "").split(","))
        old = self._line.minor_version == 0
        if "close" in options or (old and "keep-alive" not in options):
            return False
        return "transfer-encoding" not in self._headers or (not old and "content-length" not in self._headers)

    def _body(self, body: bytes) -> None:
        self.finish(Request(self._line.method, self._line.target, self._headers, body, self._keep_alive()))


class _ResponseHead:
    _DECIDED_HERE = ("content-length", "connection", "transfer-encoding")

    def __init__(self, status: int) -> None:
        try:
            reason = http.HTTPStatus(status).phrase
        except ValueError:
            reason = ""
        self._lines: tuple[str, ...] = (f"HTTP/1.1 {status} {reason}",)
        self._has_date = False

    def add(self, name: str, value: str) -> None:
        self._lines += (f"{name}: {value}",)

    def add_from_app(self, name: str, value: str) -> None:
        checked = _Field(name, value)
        if name.lower() in self._DECIDED_HERE:
            return
        self._has_date = self._has_date or name.lower() == "date"
        self.add(checked.name, checked.value)

    def octets(self) -> bytes:
        if not self._has_date:
            self.add("Date", email.utils.formatdate(usegmt=True))
        return "\r\n".join((*self._lines, "", "")).encode("latin-1")


def parse_headers(block: bytes) -> dict[str, str]:
    """Return the fields of a header block, names in lower case, no spaces or tabs around the values.

    CRLF separates the lines, an octet is a Latin-1 character, ", " joins the values of a repeated name.
    Raises BadRequest(400) for a line that is not a field: no colon, a name that is no token, CR or NUL in it.
    """
    headers = _Headers()
    if block:
        for line in block.decode("latin-1").split("\r\n"):
            headers.add(_Field.parse(line))
    return headers.as_dict()


def body_length(headers: dict[str, str]) -> int | None:
    """Return the length in octets of the body behind these headers; None where it is chunked.

    Transfer-Encoding overrides Content-Length; with neither it is 0. Raises BadRequest: 400 for a length that
    is not 1 to 18 digits and codings that do not end in their only "chunked", 501 for others in front of it.
    """
    if "transfer-encoding" in headers:
        *others, last = (coding.strip(" \t").lower() for coding in headers["transfer-encoding"].split(","))
        if last != "chunked" or "chunked" in others:
            raise BadRequest(400, "the codings do not end in their only chunked")
        if others:
            raise BadRequest(501, "a coding that is not implemented")
        return None
    length = headers.get("content-length", "0")
    if not 1 <= len(length) <= 18 or not _DIGITS.issuperset(length):
        raise BadRequest(400, "a length that is none")
    return int(length)


def read_chunked(buffer: bytearray, limit: int = MAX_BODY) -> Parser[bytes]:
    """Return a chunked body put together; drop chunk extensions and trailers.

    Raises BadRequest: 400 for what is not chunked (a size is 1 to 15 hexadecimal digits), 413 before the body
    grows over limit octets, 431 for trailers over MAX_HEAD; EOFError where the stream ends inside.
    """
    return _ChunkedMachine(buffer, limit)


def read_request(buffer: bytearray) -> Parser[Request | None]:
    """Return the next request with its body; None where the stream ends before one begins.

    Skips empty lines in front. Of a target in absolute form, the authority becomes the Host, the rest the
    target. keep_alive is False after "Connection: close", for HTTP/1.0 without "Connection: keep-alive", and
    for Transfer-Encoding in HTTP/1.0 or beside Content-Length. Raises BadRequest: 414 for a request line over
    MAX_LINE, 431 for fields over MAX_HEAD, 413 for a body over MAX_BODY, without waiting for it, 505 for a
    major version other than 1, 501 as body_length, 400 for all else; EOFError where the stream ends inside.
    """
    return _RequestMachine(buffer)


def write_response(response: Response, method: str = "GET", keep_alive: bool = True) -> bytes:
    """Return the octets of the response to a request with this method.

    Decides Content-Length, Connection and Transfer-Encoding itself; adds Date where it is missing. 1xx, 204
    and 304 get neither body nor Content-Length, HEAD no body. Raises ValueError for a header that is none.
    """
    head = _ResponseHead(response.status)
    for name, value in response.headers.items():
        head.add_from_app(name, value)
    bodiless = response.status < 200 or response.status in (204, 304)
    if not bodiless:
        head.add("Content-Length", str(len(response.body)))
    head.add("Connection", "keep-alive" if keep_alive else "close")
    if bodiless or method == "HEAD":
        return head.octets()
    return head.octets() + response.body
