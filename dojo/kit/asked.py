"""A strict judge of what a client asks: the raw octets first, then h11."""

from __future__ import annotations

from dataclasses import dataclass

import h11


@dataclass(frozen=True)
class Asked:
    """A request, names of headers in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


def read_asked(octets: bytes) -> Asked:
    """Return the one request that octets are.

    Raises AssertionError, with a sentence, for whatever is not HTTP as RFC 9112 has it.
    """
    head, end, _ = octets.partition(b"\r\n\r\n")
    if not end:
        raise AssertionError(f"no empty line (CRLF CRLF) ends the head of {octets[:80]!r}")
    for line in head.split(b"\r\n"):
        if b"\n" in line or b"\r" in line:
            raise AssertionError(f"the line {line!r} has half a line end in it: lines end with CRLF")

    server = h11.Connection(h11.SERVER)
    server.receive_data(octets)
    headers: dict[str, str] = {}
    body = b""
    try:
        while not isinstance(event := server.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                raise AssertionError(
                    f"{octets[:80]!r} promises more than comes: the server would wait for ever"
                )
            if isinstance(event, h11.Request):
                for name, value in event.headers:
                    headers[name.decode()] = value.decode("latin-1")
            if isinstance(event, h11.Data):
                body += event.data
    except h11.RemoteProtocolError as error:
        raise AssertionError(f"a server refuses {octets[:80]!r}: {error}") from error
    if rest := server.trailing_data[0]:
        raise AssertionError(f"{rest[:60]!r} comes behind the request: a body without a Content-Length")
    return Asked(head.partition(b"\r\n")[0].decode("latin-1"), headers, body)
