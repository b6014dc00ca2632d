"""HTTP/1.1 requests in octets: right ones, and wrong ones by the rule that they break.

Sections are those of RFC 9112 unless RFC 9110 is named.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
HOSTS = {"empty": "", "name": "a.b-c_d", "IPv4": "127.0.0.1:80", "IPv6": "[::1]:80"}
# HTTP/1.?, the Connection field, and whether the connection is kept.
CONNECTIONS = [(1, "x", True), (1, "x, Close", False), (0, "x", False), (0, "Keep-Alive", True)]
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


def too_long(line: int, head: int, body: int) -> dict[str, tuple[bytes, int]]:
    """Return requests that are over one of these limits, each with the status of its refusal."""
    return {
        "line": (message(line=f"GET /{'a' * (line - 13)} HTTP/1.1"), 414),
        "field": (message("X: " + "a" * head), 431),
        "fields": (message(*["X: " + "a" * 97] * (head // 100)), 431),
        "length": (message(f"Content-Length: {body + 1}"), 413),
        "chunk": (message(CHUNKED, body=b"%x\r\n" % (body + 1)), 413),
    }
