"""One request and its answer, as the server sees them: see dojo.kit.asgi."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from dojo.kit.asgi_talks import Message, Talk
from dojo.kit.sockets import complain

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")


@dataclass(frozen=True)
class Answer:
    """What an app sent to an http request: names of headers as they are, in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """What the body says as JSON."""
        try:
            return json.loads(self.body.decode("utf-8"))  # of bytes, json would guess the encoding
        except ValueError as error:
            complain(f"the body {self.body!r} is no JSON in UTF-8: {error}")


class HTTPTalk(Talk):
    """One request, and one answer: a start, then the body in one message or more."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._start: Message | None = None
        self._headers: dict[str, str] = {}
        self._body = b""
        self._ended = False

    @property
    def answer(self) -> Answer:
        self._check_awaited()
        if self._start is None:
            self._complain("nothing was answered: an http.response.start is due, and a body")
        if not self._ended:
            self._complain(
                "the answer has no end: its last http.response.body is the one without more_body, "
                "and a server waits for it"
            )
        return Answer(self._start["status"], self._headers, self._body)

    def _check_sent(self, message: Message) -> None:
        kind = message["type"]
        if kind not in ("http.response.start", "http.response.body"):
            self._complain(f"{kind!r} was sent: http.response.start and http.response.body answer a request")
        if self._ended:
            self._complain(
                f"{kind} was sent after the answer had ended: a body without more_body is the last"
            )
        if kind == "http.response.start":
            if self._start is not None:
                self._complain("a second http.response.start was sent: one request, one answer")
            self._check_start(message)
            self._start = message
        else:
            if self._start is None:
                self._complain(
                    "http.response.body was sent before http.response.start: the start comes first"
                )
            self._check_body(message)

    def _check_start(self, message: Message) -> None:
        status = message.get("status")
        if type(status) is not int or not 200 <= status <= 599:
            self._complain(f"status is {status!r}: a final status is an int from 200 to 599")
        for header in message.get("headers", []):
            self._check_header(header)
        length = self._headers.get("content-length")
        if length is not None and not re.fullmatch("[0-9]+", length):
            self._complain(f"content-length is {length!r}: one number in digits is due")
        if length is not None and status == 204:
            self._complain("a 204 answer has a content-length (RFC 9110 section 8.6 forbids it)")

    def _check_header(self, header: Any) -> None:
        if isinstance(header, str | bytes) or len(header) != 2:
            self._complain(f"{header!r} stands in headers: they are pairs of a name and a value")
        name, value = header
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            self._complain(f"the header {name!r}: {value!r} is not of bytes: ASGI has both as octets")
        if not NAME.fullmatch(name):
            self._complain(f"the header name {name!r} is not a token in lower case, as ASGI has it")
        if re.search(rb"[\r\n\0]", value):
            self._complain(f"the value {value!r} of {name!r} has a line end or a NUL in it")
        key, text = name.decode("ascii"), value.decode("latin-1")
        if key in ("content-length", "content-type") and key in self._headers:
            self._complain(f"{key} was sent twice")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def _check_body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if not isinstance(body, bytes):
            self._complain(f"body is {body!r}: octets are due, in bytes")
        if not isinstance(more, bool):
            self._complain(f"more_body is {more!r}: a bool is due")
        self._body += body
        self._ended = not more
        if self._body and self._start is not None and self._start["status"] in (204, 304):
            self._complain(f"a {self._start['status']} answer has a body (RFC 9112 section 6.3)")
        length = int(self._headers.get("content-length", len(self._body)))
        short = self._ended and len(self._body) < length
        if short and not self._body and self._bodiless():
            return
        if short or len(self._body) > length:
            self._complain(
                f"content-length promised {length} octets, and the body has {len(self._body)}: "
                "it counts the octets of the body, and not characters"
            )

    def _bodiless(self) -> bool:
        """May the body be left out, and content-length tell what it would have had?"""
        return self.scope["method"] == "HEAD" or (self._start is not None and self._start["status"] == 304)
