"""What every HTTP server here must show on the wire: tests to inherit, one behaviour each.

A test class inherits ServerRules, sets `response` to the class that apps answer with, and
writes `serve`. Every answer is judged by dojo.kit.lint on the way: its line ends, Date, lengths.
Numbers in the messages are sections of RFC 9110 (semantics) and RFC 9112 (HTTP/1.1).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dojo.kit.lint import Answer, read_answer, read_answers

App = Callable[[Any], Any]

HELLO = b'{"Hello": "World"}'


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """Return the octets of an HTTP/1.1 request with a Host, these fields and a body."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: kata", *fields, "", ""]).encode("latin-1") + body


GET = request("GET /")
LAST = request("GET /last", "Connection: close")

FAULTS = {
    "not-http": (400, b"Hello, server!\r\n\r\n"),
    "no-host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two-hosts": (400, request("GET /", "Host: other")),
    "bad-host": (400, b"GET / HTTP/1.1\r\nHost: two words\r\n\r\n"),
    "space-before-first-field": (400, b"GET / HTTP/1.1\r\n Accept: */*\r\nHost: kata\r\n\r\n"),
    "space-before-colon": (400, request("GET /", "Accept : text/html")),
    "folded-line": (400, request("GET /", "Accept: text/html,", " text/plain")),
    "nul-in-value": (400, request("GET /", "Accept: \0")),
    "cr-in-value": (400, request("GET /", "Accept: a\rb")),
    "two-lengths": (400, request("POST /", "Content-Length: 5", "Content-Length: 6", body=b"Hello!")),
    "length-with-a-sign": (400, request("POST /", "Content-Length: +5", body=b"Hello")),
    "length-with-underscore": (400, request("POST /", "Content-Length: 1_0", body=b"HelloWorld")),
    "chunked-not-last": (400, request("POST /", "Transfer-Encoding: chunked, gzip")),
    "bad-chunk": (400, request("POST /", "Transfer-Encoding: chunked", body=b"Hello\r\n")),
    "long-target": (414, request("GET /" + "a" * 9_000)),
    "long-fields": (431, request("GET /", "Cookie: " + "a" * 70_000)),
    "long-body": (413, request("POST /", "Content-Length: 99999999", body=b"Hello")),
    "long-chunked-body": (413, request("POST /", "Transfer-Encoding: chunked", body=b"5f5e0ff\r\nHello")),
    "http-2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
}


def check(what: str, gave: object, due: object, cause: str) -> None:
    """Fail with a sentence where what the server gave is not what was due."""
    __tracebackhide__ = True
    if gave != due:
        raise AssertionError(f"{what}: the server gave {gave!r}, due was {due!r}: {cause}")


@contextmanager
def must_answer(status: int, cause: str) -> Iterator[None]:
    """Say which answer was due where an exception comes out of the server in its place."""
    __tracebackhide__ = True
    try:
        yield
    except (NotImplementedError, AssertionError):
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise AssertionError(
            f"an answer with {status} and then a close were due, and `{text}` came out of the server: {cause}"
        ) from error


class ServerRules(ABC):
    """The tests. A subclass says how its server is run."""

    response: Callable[..., Any]  # makes what an app returns, of status, headers and body

    @abstractmethod
    def serve(self, app: App, *pieces: bytes) -> bytes:
        """Return all that the server sends to a client that sends pieces, ends its side, and waits."""

    def hello(self, request: Any) -> Any:
        """Answer like the article's servers: an app."""
        return self.response(200, {"Content-Type": "application/json"}, HELLO)

    def mirror(self, request: Any) -> Any:
        """Answer with method, target and body of the request: an app."""
        return self.response(200, {}, f"{request.method} {request.target} {request.body!r}".encode())

    def answers(self, app: App, octets: bytes, *methods: str) -> list[Answer]:
        """Serve requests with these methods; return the answers, judged."""
        return read_answers(self.serve(app, octets), list(methods))

    def answer_is(self, status: int, cause: str, app: App, octets: bytes, method: str = "GET") -> None:
        """Check the status of the one answer to octets."""
        with must_answer(status, cause):
            answer = read_answer(self.serve(app, octets), method)
        check("the status", answer.status, status, cause)

    def bodies(self, octets: bytes) -> list[str]:
        """Return what mirror answered to at most three requests."""
        return [answer.body.decode() for answer in self.answers(self.mirror, octets, "GET", "GET", "GET")]

    def test_request_gets_what_the_app_returns(self) -> None:
        raw = self.serve(self.hello, LAST)
        check("an answer", bool(raw), True, "the client has ended its side (half-close), but still listens")
        answer = read_answer(raw)
        check("the status", answer.status, 200, "it is what the app returned")
        check("the body", answer.body, HELLO, "it is what the app returned")
        check("Content-Type", answer.headers.get("content-type"), "application/json", "the app set it")

    def test_goodbye_of_the_client_ends_the_connection(self) -> None:
        answer = read_answer(self.serve(self.hello, GET))
        check("the body", answer.body, HELLO, "the client has sent a request, and then said goodbye")
        check("an answer that says close", answer.closes, False, "HTTP/1.1 keeps a connection (9112 9.3)")

    def test_answer_to_close_says_close(self) -> None:
        answer = read_answer(self.serve(self.hello, LAST))
        cause = "the request said close (9112 9.6); the names of fields have no case (9110 5.1)"
        check("an answer that says close", answer.closes, True, cause)

    def test_request_in_pieces_is_one_request(self) -> None:
        post = request("POST /", "Content-Length: 5", "Connection: close", body=b"Hello")
        raw = self.serve(self.mirror, post[:9], post[9:30], post[30:-2], post[-2:])
        check("the answer has a body", b"POST / b'Hello'" in raw, True, "one recv is not one request")

    def test_content_length_counts_octets(self) -> None:
        for body, octets in {HELLO: "18", "é".encode(): "2"}.items():
            raw = self.serve(lambda _, body=body: self.response(200, {}, body), LAST)  # type: ignore[misc]
            length = re.findall(rb"(?i)content-length: *([0-9]*)", raw)
            cause = f"{body.decode()!r} has as many octets, and octets are counted (9110 8.6)"
            check("Content-Length", length, [octets.encode()], cause)

    def test_body_of_the_request_reaches_the_app(self) -> None:
        post = request("POST /", "Content-Length: 5", body=b"Hello")
        check(
            "what the app saw", self.bodies(post), ["POST / b'Hello'"], "Content-Length octets are its body"
        )

    def test_octets_are_not_taken_for_text(self) -> None:
        body = b"\0\x80\xff\r\n" + "é\u2028".encode()
        post = request("POST /", f"Content-Length: {len(body)}", "Cookie: a\x85b\xff", body=body)
        cause = "a request is octets, those above 127 too, and only CRLF ends a line (9112 2.2)"
        check("what the app saw", self.bodies(post), [f"POST / {body!r}"], cause)

    def test_chunked_body_reaches_the_app_put_together(self) -> None:
        chunks = b"3\r\nHel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"
        post = request("POST /", "Transfer-Encoding: chunked", body=chunks)
        check("what the app saw", self.bodies(post), ["POST / b'Hello'"], "chunked is understood (9112 7.1)")

    def test_names_of_fields_have_no_case(self) -> None:
        post = request("POST /", "CONTENT-length: 5", "cONNECTION: close", body=b"Hello")
        answer = read_answer(self.serve(self.mirror, post), "POST")
        check("what the app saw", answer.body, b"POST / b'Hello'", "field names have no case (9110 5.1)")
        check("an answer that says close", answer.closes, True, "field names have no case (9110 5.1)")

    def test_absolute_target_reaches_the_app_as_path(self) -> None:
        seen = self.bodies(request("GET http://kata/a?b=c"))
        check("what the app saw", seen, ["GET /a?b=c b''"], "a proxy writes targets so (9112 3.2.2)")

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        seen = self.bodies(request("GET /1") + request("GET /2") + LAST)
        cause = "three requests came in one piece, and each gets its answer, in order (9112 9.3.2)"
        check("the answers", seen, ["GET /1 b''", "GET /2 b''", "GET /last b''"], cause)

    def test_empty_line_before_a_request_is_ignored(self) -> None:
        seen = self.bodies(b"\r\n" + GET + b"\r\n" + LAST)
        check("the answers", seen, ["GET / b''", "GET /last b''"], "empty lines are skipped (9112 2.2)")

    def test_body_that_the_app_ignores_is_no_request(self) -> None:
        post = request("POST /", f"Content-Length: {len(GET)}", body=GET)
        answers = self.answers(self.hello, post + LAST, "POST", "GET", "GET")
        check("the number of answers", len(answers), 2, "a body is read whole, asked for or not (9112 9.3)")

    def test_head_is_answered_without_content(self) -> None:
        answers = self.answers(self.hello, GET + request("HEAD /"), "GET", "HEAD")
        cause = "HEAD gets everything but the content (9110 9.3.2)"
        check("the bodies", [answer.body for answer in answers], [HELLO, b""], cause)

    def test_lengths_are_not_the_app_s_to_say(self) -> None:
        wrong = {"Transfer-Encoding": "chunked", "Content-Length": "3", "Connection": "upgrade"}
        answers = self.answers(lambda _: self.response(200, wrong, HELLO), GET + GET, "GET", "GET")
        cause = (
            "the app set Content-Length, Transfer-Encoding and Connection, which are the server's (9112 6.2)"
        )
        check("the bodies", [answer.body for answer in answers], [HELLO, HELLO], cause)

    def test_status_without_a_name_keeps_its_space(self) -> None:
        answer = read_answer(self.serve(lambda _: self.response(299, {}, HELLO), GET))
        check("status, body", (answer.status, answer.body), (299, HELLO), "the app returned it (9112 4)")

    @pytest.mark.parametrize("status", [204, 304])
    def test_status_without_content_sends_none(self, status: int) -> None:
        answer = read_answer(self.serve(lambda _: self.response(status, {}, HELLO), GET))
        check("status, body", (answer.status, answer.body), (status, b""), "no content (9112 6.3)")

    def test_nothing_is_processed_after_close(self) -> None:
        seen = self.bodies(LAST + GET)
        check(
            "the answers", seen, ["GET /last b''"], "the first request said close: it is the last (9112 9.6)"
        )

    def test_http_1_0_is_closed_unless_it_asks(self) -> None:
        plain, asking = b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        check("two requests of 1.0", self.bodies(plain * 2), ["GET / b''"], "1.0 closes (9112 9.3)")
        check("1.0 with keep-alive", self.bodies(asking + plain), ["GET / b''"] * 2, "it asked (9112 9.3)")

    def test_request_with_two_lengths_is_the_last(self) -> None:
        fields = ["Content-Length: 99", "Transfer-Encoding: chunked"]
        post = request("POST /", *fields, body=b"5\r\nHello\r\n0\r\n\r\n")
        cause = "Content-Length beside Transfer-Encoding may be an attack: answer, then close (9112 6.1)"
        check("the answers", self.bodies(post + GET), ["POST / b'Hello'"], cause)

    @pytest.mark.parametrize(("status", "octets"), FAULTS.values(), ids=FAULTS)
    def test_fault_gets_its_status_and_close(self, status: int, octets: bytes) -> None:
        cause = "a good request, a fault, a good one: where the fault ends, nobody can tell (9112 2.2)"
        with must_answer(status, cause):
            answers = self.answers(self.hello, GET + octets + GET, "GET", "GET", "GET")
        check("the answers", [answer.status for answer in answers], [200, status], cause)
        check("a last answer that says close", answers[-1].closes, True, cause)

    @pytest.mark.parametrize("missing", [1, 5, 20, 52])
    def test_incomplete_request_never_reaches_the_app(self, missing: int) -> None:
        post = request("POST /", "Content-Length: 5", body=b"Hello")
        seen: list[str] = []

        def app(request: Any) -> Any:
            seen.append(request.method)
            return self.response()

        self.serve(app, GET + post[:-missing])
        check("what the app saw", seen, ["GET"], f"the POST ended {missing} octets too early (9112 6.3)")

    @pytest.mark.parametrize("error", [LookupError, FileNotFoundError, EOFError, TimeoutError])
    def test_app_that_raises_is_answered_with_500(self, error: type[Exception]) -> None:
        def app(request: Any) -> Any:
            raise error("the app's own fault")

        cause = f"the app raised {error.__name__}: that is answered with 500 (9110 15.6.1), and is the end"
        with must_answer(500, cause):
            answers = self.answers(app, GET + GET, "GET", "GET")
        check("the answers", [answer.status for answer in answers], [500], cause)
        check("an answer that says close", answers[0].closes, True, cause)
