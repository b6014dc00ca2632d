"""HTTP/1.1 requests in octets: right ones, and wrong ones by the rule that they break.

Sections are those of RFC 9112 unless RFC 9110 is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dojo.kit.split import deliver, enough

CHUNKED = "Transfer-Encoding: chunked"


def message(
    *fields: str, line: str = "GET / HTTP/1.1", host: str | None = "Host: kata", body: bytes = b""
) -> bytes:
    """Return the octets of a request with this request line, Host, other fields, and body."""
    head = [line, *([] if host is None else [host]), *fields, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def status_of(call: Callable[..., Any], *args: object) -> Any:
    """Return the status of the refusal that the call raises; where it raises none, what it returns."""
    try:
        return call(*args)
    except ValueError as refusal:
        if not hasattr(refusal, "status"):
            raise
        return refusal.status


def fed(parser: Callable[..., Any], raw: bytes, *args: object) -> Any:
    """Return what parser(buffer, *args) makes of raw, complain when it asks for a chunk more."""
    return deliver(parser(bytearray(), *args), enough(raw))


def short(text: str) -> str:
    """Return text as a test's id: in ASCII, and how many digits it has where they are many."""
    return ascii(text) if len(text) < 9 else f"{len(text)}-digits"


# Header lines that are not fields, and why.
NO_FIELDS = {
    "no colon": (b"kata", "a field has a colon"),
    "no name": (b": kata", "a field has a name"),
    "two words": (b"the host: kata", "a name is a token, with no white space in it"),
    "not ASCII": (b"h\xf4te: kata", "a name is a token, of ASCII characters"),
    "empty line": (b"a: b\r\n\r\nc: d", "an empty line is not a field"),
    "space": (b"Host : kata", "white space before the colon: others may read another name (section 5.1)"),
    "folded": (b"a: b\r\n c: d", "a value ends with its line (section 5.2)"),
    "CR": (b"a: b\rc", "a value has no CR in it (RFC 9110 section 5.5)"),
    "NUL": (b"a: b\0c", "a value has no NUL in it (RFC 9110 section 5.5)"),
}
NO_LENGTHS = ["", "five", "-1", "+5", "1_0", " 5", "0x5", "5.0", "5, 6", "\xb2", "\u0665", "5\n", "9" * 5000]
NO_SIZES = ["", "x", "-1", "+1", "0x1", "1_0", " 1", "\xb2", "1 1", "0" * 16, ";x"]
HOSTS = {"empty": "", "name": "a.b-c_d", "signs": "~%!$&'()*+;=", "IPv4": "127.0.0.1:80"}
HOSTS |= {"IPv6": "[::1]:80", "empty port": "kata:"}
# Requests of a version and with a Connection field, and whether the connection is kept.
CONNECTIONS = {
    f"1.{minor}, {options}": (message(f"Connection: {options}", line=f"GET / HTTP/1.{minor}"), kept)
    for minor, options, kept in [
        (1, "x", True),
        (1, "x, Close", False),
        (0, "x", False),
        (0, "Keep-Alive", True),
    ]
}
# Requests with a target in absolute form, and the target that the app sees.
ABSOLUTE = {
    f"{scheme}://a:8{rest}": (message(line=f"GET {scheme}://a:8{rest} HTTP/1.1"), target)
    for scheme, rest, target in [
        ("http", "/b?c", "/b?c"),
        ("HTTP", "/b?c", "/b?c"),
        ("http", "?c", "/?c"),
        ("https", "", "/"),
    ]
}
# Chunked bodies that are not all there.
UNENDED = {
    "size": b"5",
    "chunk": b"5\r\nhel",
    "no size": b"5\r\nhello\r\n",
    "last line": b"5\r\nhello\r\n0\r\n",
}
# Pairs that make no header, because of the name or of the value.
NO_HEADERS = [("X\r\nY", "a"), ("X y", "a"), ("X:y", "a"), ("\xe9", "a"), ("", "a")]
NO_HEADERS += [("X", "a\r\nSet-Cookie: b"), ("X", "a\rb"), ("X", "a\nb"), ("X", "a\0b"), ("X", "\u20ac")]

# Requests that are refused with 400, and why.
NO_REQUESTS = {
    **{
        line: (message(line=line), "the request line is not method, target, HTTP/1.1 (section 3)")
        for line in ["GET /", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "G( / HTTP/1.1", "GET / HTTP/1.x"]
    },
    "space first": (message(host=" Host: kata"), "there is no field to go on with (section 2.2)"),
    "no Host": (message(host=None), "Host is missing (section 3.2)"),
    "two Hosts": (message("Host: kata"), "Host is repeated (section 3.2)"),
    **{
        f"Host {host}": (message(host=f"Host: {host}"), f"{host!r} is not a valid Host (section 3.2)")
        for host in ["a b", "a/b", "u@a"]
    },
    **{
        target: (message(line=f"GET {target} HTTP/1.1"), f"{target!r} is not a target for GET (section 3.2)")
        for target in ["*", "a", "ftp://a/", "http:///b", "http://u@a/", "http://[::1", "http://[x]/"]
    },
}


# Requests with a body, the body, and what it shows.
POST = message("Content-Length: 5", line="POST /p HTTP/1.1", body=b"\r\n\r\n!")
CHUNKS = message(CHUNKED, line="POST /p HTTP/1.1", body=b"4\r\n\r\n\r\n\r\n1\r\n!\r\n0\r\n\r\n")
CUT_OFF = {"line": POST[:3], "fields": POST[:25], "head": POST[:-6], "body": POST[:-1]}
BODIES = {
    "octets": (
        message("Content-Length: 2", body="é".encode()),
        "é".encode(),
        "é is one character, two octets",
    ),
    "chunks": (message(CHUNKED, body=b"2\r\nhi\r\n0\r\n\r\n"), b"hi", "chunked is understood (section 7.1)"),
}
# Requests of which the one who sent them may have seen another end than we do.
DOUBTFUL = {
    "both": message("Content-Length: 5", CHUNKED, body=b"2\r\nhi\r\n0\r\n\r\n"),
    "1.0": message("Connection: keep-alive", CHUNKED, line="GET / HTTP/1.0", body=b"2\r\nhi\r\n0\r\n\r\n"),
}


def longest(line: int, head: int) -> dict[str, bytes]:
    """Return requests that are as long as these limits allow."""
    return {
        "line": message(line=f"GET /{'a' * (line - len('GET / HTTP/1.1'))} HTTP/1.1"),
        "fields": message("X: " + "a" * (head - len("Host: kata\r\nX: \r\n"))),
    }


def too_long_chunked(line: int, head: int) -> dict[str, tuple[bytes, int]]:
    """Return chunked bodies that are over one of these limits, each with the status of its refusal."""
    return {
        "size line": (b"1;" + b"x" * line + b"\r\na\r\n0\r\n\r\n", 400),
        "trailer": (b"0\r\nX: " + b"a" * head + b"\r\n\r\n", 431),
        "trailers": (b"0\r\n" + (b"X: " + b"a" * 997 + b"\r\n") * (head // 1_000 + 1) + b"\r\n", 431),
    }


def too_long(line: int, head: int, body: int) -> dict[str, tuple[bytes, int]]:
    """Return requests that are over one of these limits, each with the status of its refusal."""
    return {
        "line": (message(line=f"GET /{'a' * (line - 13)} HTTP/1.1"), 414),
        "field": (message("X: " + "a" * head), 431),
        "fields": (message(*["X: " + "a" * 97] * (head // 100)), 431),
        "length": (message(f"Content-Length: {body + 1}"), 413),
        "chunk": (message(CHUNKED, body=b"%x\r\n" % (body + 1)), 413),
    }
