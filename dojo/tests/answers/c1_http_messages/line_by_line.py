"""No regular expressions, one line at a time, bare line feeds taken for line ends."""

import string
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import responses

from katas.a4_byte_parser import read_exactly, read_until

MAX_LINE, MAX_HEAD, MAX_BODY = 8_000, 65_536, 1_048_576
TOKEN = set(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
NAME = TOKEN | set("()=,;") - set("|`^#")


@dataclass
class Request:
    method: str
    target: str
    headers: dict = field(default_factory=dict)
    body: bytes = b""
    keep_alive: bool = True


@dataclass
class Response:
    status: int = 200
    headers: dict = field(default_factory=dict)
    body: bytes = b""


class BadRequest(ValueError):  # noqa: N818
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def must(condition, status=400):
    if not condition:
        raise BadRequest(status, "refused")


def parse_headers(block):
    fields = {}
    if not block:
        return fields
    for line in bytes(block).replace(b"\r\n", b"\n").split(b"\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        must(colon and name and set(name) <= TOKEN and not set(value) & set("\r\0"))
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    return {name: ", ".join(values) for name, values in fields.items()}


def body_length(headers):
    if "transfer-encoding" in headers:
        *others, last = (coding.strip().lower() for coding in headers["transfer-encoding"].split(","))
        must(last == "chunked" and "chunked" not in others)
        must(not others, 501)
        return None
    length = headers.get("content-length", "0")
    must(length.isascii() and length.isdigit() and len(length) <= 18)
    return int(length)


def line_of(buffer, limit, status):
    try:
        line = yield from read_until(buffer, b"\n", limit + 1)
    except ValueError:
        raise BadRequest(status, "too long") from None
    line = line.removesuffix(b"\r")
    must(len(line) <= limit, status)
    return line


def lines_of(buffer):
    lines, size = [], 0
    while line := (yield from line_of(buffer, MAX_HEAD, 431)):
        size += len(line) + 2
        must(size <= MAX_HEAD, 431)
        lines.append(line)
    return b"\r\n".join(lines)


def read_chunked(buffer, limit=MAX_BODY):
    pieces = []
    while True:
        line = (yield from line_of(buffer, MAX_LINE, 400)).decode("latin-1")
        size = line.partition(";")[0].rstrip(" \t")
        must(0 < len(size) <= 15 and set(size) <= set(string.hexdigits))
        if int(size, 16) == 0:
            yield from lines_of(buffer)
            return b"".join(pieces)
        must(sum(map(len, pieces)) + int(size, 16) <= limit, 413)
        pieces.append((yield from read_exactly(buffer, int(size, 16))))
        must((yield from read_exactly(buffer, 2)) == b"\r\n")


def check_host(host):
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    must(not port.strip(string.digits))
    if name.startswith("["):
        must(name.endswith("]") and name[1:-1] and set(name[1:-1]) <= set(string.hexdigits + ":."))
    else:
        must(set(name) <= NAME)
    return name


def read_request(buffer):
    line = b""
    while not line:
        try:
            line = yield from line_of(buffer, MAX_LINE, 414)
        except EOFError:
            if not bytes(buffer).strip():
                return None
            raise
    words = line.decode("latin-1").split(" ")
    must(len(words) == 3)
    method, target, version = words
    must(method and set(method) <= TOKEN and target and target.isascii() and target.isprintable())
    must(
        len(version) == 8
        and version.startswith("HTTP/")
        and version[6] == "."
        and version[7] in string.digits
    )
    must(version[5] == "1", 505)
    headers = parse_headers((yield from lines_of(buffer)))
    must(version == "HTTP/1.0" or "host" in headers)
    check_host(headers.get("host", ""))
    scheme, absolute, rest = target.partition("://")
    if absolute and not target.startswith("/"):
        must(scheme.lower() in ("http", "https"))
        end = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
        headers["host"] = rest[:end]
        must(check_host(headers["host"]))
        target = rest[end:] if rest[end:].startswith("/") else "/" + rest[end:]
    must(target.startswith("/") or (method == "OPTIONS" and target == "*"))
    options = headers.get("connection", "").lower().replace(" ", "").split(",")
    old = version == "HTTP/1.0"
    keep_alive = "keep-alive" in options if old else "close" not in options
    length = body_length(headers)
    if length is None:
        keep_alive = keep_alive and not old and "content-length" not in headers
        body = yield from read_chunked(buffer)
    else:
        must(length <= MAX_BODY, 413)
        body = yield from read_exactly(buffer, length)
    return Request(method, target, headers, body, keep_alive)


def write_response(response, method="GET", keep_alive=True):
    fields = {"date": ("Date", formatdate(usegmt=True))}
    for name, value in response.headers.items():
        if not name or not set(name) <= TOKEN or set(value) & set("\r\n\0"):
            raise ValueError(name)
        fields[name.lower()] = (name, value)
    fields.pop("content-length", None)
    fields.pop("transfer-encoding", None)
    fields["connection"] = ("connection", "keep-alive" if keep_alive else "close")
    body = response.body
    if response.status < 200 or response.status in (204, 304):
        body = b""
    else:
        fields["content-length"] = ("content-length", str(len(body)))
    head = f"HTTP/1.1 {response.status} {responses.get(response.status, '')}\r\n"
    head += "".join(f"{name}:{value}\r\n" for name, value in fields.values())
    return (head + "\r\n").encode("latin-1") + (b"" if method == "HEAD" else body)
