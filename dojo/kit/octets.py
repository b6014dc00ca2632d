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
NO_HOSTS = [None, "Host: a\r\nHost: a", "Host: a b", "Host: a/b", "Host: u@a"]
NO_TARGETS = ["*", "a", "ftp://a/", "http:///b", "http://u@a/", "http://[::1", "http://[x]/"]
NO_REQUEST_LINES = ["GET /", "GET  / HTTP/1.1", "GET /a b HTTP/1.1", "G( / HTTP/1.1", "GET / HTTP/1.x"]


def too_long(line: int, head: int, body: int) -> dict[str, tuple[bytes, int]]:
    """Return requests that are over one of these limits, each with the status of its refusal."""
    return {
        "line": (message(line=f"GET /{'a' * (line - 13)} HTTP/1.1"), 414),
        "field": (message("X: " + "a" * head), 431),
        "fields": (message(*["X: " + "a" * 97] * (head // 100)), 431),
        "length": (message(f"Content-Length: {body + 1}"), 413),
        "chunk": (message(CHUNKED, body=b"%x\r\n" % (body + 1)), 413),
    }
