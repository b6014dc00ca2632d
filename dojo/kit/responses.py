"""HTTP/1.1 responses in octets: right ones, and wrong ones by what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from dojo.kit.split import deliver


def ok(body: bytes, *headers: str) -> bytes:
    """A response with this body, as a server sends it."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
PLAIN = b"HTTP/1.0 200 \r\n\r\n"  # an old version, and a reason that is empty; the stream's end ends its body
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_HTTP = b"220 the mail is ready\r\n\r\n"

# b"Hello", in each of the three ways to say where a body ends.
HELLOS = {
    "chunks": HINTS + CHUNKED + b"3;some=1\r\nHel\r\n2\r\nlo\r\n0\r\nTrailer: yes\r\n\r\n",
    "length": ok(b"Hello"),
    "end": PLAIN + b"Hello",
}
# Responses whose stream ended too early.
EARLY_ENDS = {
    "head": PLAIN[:-2],
    "1xx": HINTS,
    "length": ok(b"Hello")[:-1],
    "chunks": CHUNKED + b"1\r\nH\r\n",
    "last-chunk": CHUNKED + b"0\r\n",
}
LENGTHS = ["+5", "5_0", "-1", "0x5", "5, 6", "five", ""]
CODINGS = ["gzip", "gzip, chunked", "chunked, gzip"]
# Heads that are not HTTP/1, not fields, or leave open where the body ends.
MALFORMED = {
    **{
        line: f"{line}\r\nContent-Length: 0\r\n\r\n".encode()
        for line in ["220 ready", "HTTP/2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 200OK"]
    },
    **{
        field: f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode() + b"5\r\nHello\r\n0\r\n\r\n"
        for field in [
            "no colon",
            "Content-Length : 5",
            *(f"Content-Length: {length}" for length in LENGTHS),
            *(f"Transfer-Encoding: {codings}" for codings in CODINGS),
        ]
    },
}


def too_long(head: int, body: int) -> dict[str, list[bytes]]:
    """Return the chunks of responses that are over one of these limits."""
    return {
        "head": [b"HTTP/1.1 200 OK\r\nA: " + b"a" * head, b"\r\nContent-Length: 0\r\n\r\n"],
        "length": [ok(bytes(body + 1))],
        "chunks": [CHUNKED + b"%x\r\n" % (body + 1), bytes(body + 1), b"\r\n0\r\n\r\n"],
        "end": [PLAIN, bytes(body), b"and more"],
    }


def read(
    read_response: Callable[[bytearray, str], Generator[None, bytes, Any]],
    chunks: Iterable[bytes],
    method: str = "GET",
) -> Any:
    """Return what read_response makes of chunks, behind which the stream ends."""
    return deliver(read_response(bytearray(), method), chunks)
