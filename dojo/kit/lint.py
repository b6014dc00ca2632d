"""A strict judge of what a server answers: the raw octets first, then h11.

Real clients forgive far too much: bare line feeds, a missing space, a body after HEAD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

import h11

STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n\0]*)")
DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")


@dataclass(frozen=True)
class Answer:
    """A final answer (not 1xx), names of headers in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    closes: bool  # it said (Connection: close, or HTTP/1.0) that it is the last one


def read_answers(raw: bytes, methods: list[str]) -> list[Answer]:
    """Return the answers in raw, all that a server sent until it closed, to requests with these methods.

    There may be fewer answers than requests, but no octet that does not belong to one.
    Raises AssertionError, with a sentence, for whatever is not HTTP as RFC 9112 has it.
    """
    answers: list[Answer] = []
    rest = raw
    for method in methods:
        if not rest or (answers and answers[-1].closes):
            break
        answer, rest = _read_one(rest, method)
        answers.append(answer)
    if rest and answers and answers[-1].closes:
        _fail(f"{_start(rest)} came after an answer that said close: the last answer, and nothing behind it")
    if rest:
        _fail(
            f"{_start(rest)} came after the last answer: an answer that nobody asked for, a body longer than "
            "its Content-Length (which counts octets), or a body where none may be (after HEAD, 204 and 304)"
        )
    return answers


def read_answer(raw: bytes, method: str = "GET") -> Answer:
    """Return the one answer that raw is, as read_answers does."""
    answers = read_answers(raw, [method])
    if not answers:
        _fail("there was no answer at all")
    return answers[0]


def _read_one(raw: bytes, method: str) -> tuple[Answer, bytes]:
    """Return the first final answer in raw, and the octets behind it."""
    rest = raw
    status, reason, headers = _check_head(rest)
    while status < 200:
        rest = rest.partition(b"\r\n\r\n")[2]
        status, reason, headers = _check_head(rest)

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "kata")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    body = b""
    try:
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                body += event.data
    except h11.RemoteProtocolError as error:
        _fail(f"h11 refuses the answer {_start(rest)}: {error}")
    closes = client.their_state is not h11.DONE
    return Answer(status, reason, headers, body, closes), client.trailing_data[0]


def _check_head(raw: bytes) -> tuple[int, str, dict[str, str]]:
    """Return status, reason and headers of the answer that raw begins with."""
    head, end, _ = raw.partition(b"\r\n\r\n")
    if not end:
        _fail(f"no empty line (CRLF CRLF) ends the head that begins {_start(raw)}")
    first, *lines = head.split(b"\r\n")
    parts = STATUS_LINE.fullmatch(first)
    if parts is None and re.fullmatch(rb"HTTP/1\.[01] [0-9]{3}", first):
        _fail(
            f"the status line {first!r} has no space behind the code: "
            "it is sent even when the reason is empty (RFC 9112 section 4)"
        )
    if parts is None:
        _fail(
            f"{_start(first)} stands where a status line should: either it is not one, "
            "or the answer before it is longer than it said (Content-Length counts octets)"
        )
    status = int(parts[1])

    headers: dict[str, str] = {}
    for line in lines:
        field = FIELD.fullmatch(line)
        if field is None:
            _fail(f"the line {line[:80]!r} is not a header field (RFC 9112 section 5)")
        name, value = field[1].decode("ascii").lower(), field[2].decode("latin-1").strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    _check_headers(status, headers)
    return status, parts[2].decode("latin-1"), headers


def _check_headers(status: int, headers: dict[str, str]) -> None:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and not re.fullmatch("[0-9]+", length):
        _fail(f"Content-Length is {length!r}: one number in digits is due (RFC 9112 section 6.3)")
    if length is not None and coding is not None:
        _fail("Content-Length stands beside Transfer-Encoding: never send both (RFC 9112 section 6.2)")
    if status < 200 or status == 204:
        if length is not None:
            _fail(f"a {status} answer has a Content-Length (RFC 9110 section 8.6 forbids it)")
        if coding is not None:
            _fail(f"a {status} answer has a Transfer-Encoding (RFC 9112 section 6.1 forbids it)")
    if 200 <= status < 500 and "date" not in headers:
        _fail(f"a {status} answer has no Date: a server with a clock sends one (RFC 9110 section 6.6.1)")
    if "date" in headers and not DATE.fullmatch(headers["date"]):
        _fail(
            f"Date is {headers['date']!r}, not as in 'Sun, 06 Nov 1994 08:49:37 GMT' (RFC 9110 section 5.6.7)"
        )


def _start(raw: bytes) -> str:
    return repr(raw[:60]) + ("..." if len(raw) > 60 else "")


def _fail(sentence: str) -> NoReturn:
    __tracebackhide__ = True
    raise AssertionError(sentence)
