"""A client is a parser, a stream and a deadline; which loop turns underneath is not its business."""

import math

import anyio
import pytest

from dojo.kit.asked import read_asked
from dojo.kit.cancel import cancel_at
from dojo.kit.split import enough, every_cut
from dojo.kit.upstream import HOLD, MemoryStream, nobody_listens, ok, slow_names, upstream
from katas.a4_byte_parser import feed
from katas.c1_http_messages import MAX_BODY
from katas.e1_async_http_client import build_request, fetch, get, get_all, read_response


class TestBuildRequest:
    def test_request_line_names_method_and_target(self):
        assert read_asked(build_request("GET", "http://kata.example/a")).line == "GET /a HTTP/1.1"

    @pytest.mark.parametrize(
        ("authority", "due"),
        [
            ("kata.example", "kata.example"),
            ("kata.example:8080", "kata.example:8080"),
            ("kata.example:80", "kata.example"),
            ("[::1]:8080", "[::1]:8080"),
        ],
    )
    def test_host_names_the_port_unless_it_is_80(self, authority, due):
        asked = read_asked(build_request("GET", f"http://{authority}/"))
        assert asked.headers["host"] == due, f"that is who http://{authority}/ speaks to"

    @pytest.mark.parametrize(
        ("rest", "due"), [("", "/"), ("?b=1", "/?b=1"), ("/a?b=1&c", "/a?b=1&c"), ("/a#b", "/a")]
    )
    def test_target_is_path_and_query(self, rest, due):
        asked = read_asked(build_request("GET", f"http://kata.example{rest}"))
        assert asked.line == f"GET {due} HTTP/1.1", "an empty path is sent as /, and a fragment is not sent"

    def test_body_length_is_counted_in_octets(self):
        asked = read_asked(build_request("POST", "http://kata.example/", body="né".encode()))
        assert asked.body == "né".encode()

    def test_get_without_body_has_no_length(self):
        asked = read_asked(build_request("GET", "http://kata.example/"))
        assert asked.headers.get("content-length") is None

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    def test_post_without_body_says_so(self, method):
        asked = read_asked(build_request(method, "http://kata.example/"))
        assert asked.headers.get("content-length") == "0", f"{method} announces a body, even an empty one"

    def test_given_headers_are_sent_and_win(self):
        given = {"Accept": "text/html", "host": "other.example"}
        asked = read_asked(build_request("GET", "http://kata.example/", given))
        assert (asked.headers["accept"], asked.headers["host"]) == ("text/html", "other.example")

    def test_framing_is_not_left_to_given_headers(self):
        given = {"content-length": "99", "Transfer-Encoding": "chunked"}
        asked = read_asked(build_request("POST", "http://kata.example/", given, b"four"))
        framing = (asked.headers.get("content-length"), asked.headers.get("transfer-encoding"))
        assert framing == ("4", None), "the body says where it ends, whatever the headers say"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("A", "b\r\nEvil: c"), ("A", "b\nc"), ("A", "b\rc"), ("A", "b\0c"), ("A\r\nEvil", "b"), ("A ", "b")],
    )
    def test_header_that_breaks_its_line_is_refused(self, name, value):
        with pytest.raises(ValueError):  # noqa: PT011
            build_request("GET", "http://kata.example/", {name: value})

    @pytest.mark.parametrize("method", ["GET /evil HTTP/1.1\r\nA:", "G T", ""])
    def test_method_that_is_no_token_is_refused(self, method):
        with pytest.raises(ValueError):  # noqa: PT011
            build_request(method, "http://kata.example/")

    @pytest.mark.parametrize(
        "url",
        [
            "https://kata.example/",
            "/a",
            "http:///a",
            "http://me:secret@kata.example/",
            "http://kata.example:99999/",
        ]
        + [f"http://kata.example/{odd}" for odd in ("a b", "a\r\nEvil: b", "a\tb", "é")],
    )
    def test_url_that_cannot_be_sent_is_refused(self, url):
        with pytest.raises(ValueError):  # noqa: PT011
            build_request("GET", url)


def read(octets, method="GET"):
    """Read one response; octets are all that comes, and then the stream ends."""
    return feed(read_response(bytearray(), method), [octets] if octets else [])


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


class TestReadResponse:
    def test_response_has_status_headers_and_body(self):
        response = read(b"HTTP/1.1 404 Not Found\r\nX-Kata: E1\r\nCONTENT-LENGTH: 2\r\n\r\nno")
        assert (response.status, response.headers["x-kata"], response.body) == (404, "E1", b"no")

    @pytest.mark.parametrize("line", ["HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.0 200 All is well"])
    def test_reason_is_of_no_importance(self, line):
        assert read(f"{line}\r\nContent-Length: 2\r\n\r\nhi".encode()).body == b"hi"

    def test_nothing_is_awaited_behind_the_body(self):
        response = feed(read_response(bytearray(), "GET"), enough(ok(b"hi")))
        assert response.body == b"hi"

    def test_next_response_stays_in_the_buffer(self):
        buffer = bytearray()
        feed(read_response(buffer, "GET"), [ok(b"one") + ok(b"two")])
        assert buffer == ok(b"two"), "the second response belongs to somebody else"

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_response_without_body_ends_at_the_empty_line(self, method, status):
        head = f"HTTP/1.1 {status} Fine\r\nContent-Length: 5\r\n\r\n".encode()
        response = feed(read_response(bytearray(), method), enough(head))
        assert response.body == b""

    def test_answers_below_200_are_skipped(self):
        response = read(b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + ok(b"hi"))
        assert (response.status, response.body) == (200, b"hi"), (
            "1xx only says that the response is on its way"
        )

    def test_chunks_are_put_together(self):
        response = read(CHUNKED + b"3;name=value\r\nHel\r\n2\r\nlo\r\n0\r\nTrailer: yes\r\n\r\n")
        assert response.body == b"Hello"

    def test_without_length_the_end_is_the_end(self):
        assert read(b"HTTP/1.1 200 OK\r\n\r\nall there is").body == b"all there is"

    @pytest.mark.parametrize(
        "octets",
        [
            HINTS + CHUNKED + b"3;a\r\nHel\r\n2\r\nlo\r\n0\r\n\r\n",
            ok(b"Hello"),
            b"HTTP/1.1 200 OK\r\n\r\nHello",
        ],
        ids=["chunked", "length", "end"],
    )
    def test_no_cut_makes_a_difference(self, octets):
        response = every_cut(octets, lambda chunks: feed(read_response(bytearray(), "GET"), chunks))
        assert response.body == b"Hello"

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nA:",
            HINTS,
            ok(b"Hello")[:-1],
            CHUNKED + b"3\r\nHel\r\n",
            CHUNKED + b"0\r\n",
        ],
        ids=["nothing", "head", "1xx", "length", "chunks", "last-chunk"],
    )
    def test_early_end_is_an_error(self, octets):
        with pytest.raises(EOFError):
            read(octets)

    @pytest.mark.parametrize("length", ["+5", "5_0", "-1", "0x5", "5, 6", "five", ""])
    def test_invalid_length_is_an_error(self, length):
        with pytest.raises(ValueError):  # noqa: PT011
            read(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nHello".encode())

    @pytest.mark.parametrize(
        "line", [b"220 ready", b"HTTP/2 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"GET / HTTP/1.1"]
    )
    def test_other_protocols_are_an_error(self, line):
        with pytest.raises(ValueError):  # noqa: PT011
            read(line + b"\r\nContent-Length: 0\r\n\r\n")

    @pytest.mark.parametrize(
        "octets",
        [
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
            CHUNKED + b"fffffff\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_BODY + 1),
        ],
        ids=["head", "length", "chunk", "end"],
    )
    def test_more_than_memory_is_for_is_an_error(self, octets):
        with pytest.raises(ValueError):  # noqa: PT011
            read(octets)


REQUEST = b"GET / HTTP/1.1\r\nHost: kata.example\r\n\r\n"


@pytest.mark.anyio
class TestFetch:
    async def test_request_goes_out_and_response_comes_back(self):
        stream = MemoryStream(ok(b"hi"))
        response = await fetch(stream, REQUEST)
        assert (stream.sent, response.body) == (REQUEST, b"hi")

    async def test_receives_until_the_response_is_complete(self):
        octets = ok(b"Hello")
        response = await fetch(MemoryStream(octets[:10], octets[10:-3], octets[-3:]), REQUEST)
        assert response.body == b"Hello"

    async def test_head_is_answered_without_a_body(self):
        head = REQUEST.replace(b"GET", b"HEAD")
        response = await fetch(MemoryStream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), head)
        assert response.body == b"", "whether there is a body depends on the method of the request"

    @pytest.mark.parametrize("end", [b"", anyio.EndOfStream])
    async def test_end_of_stream_may_end_the_body(self, end):
        response = await fetch(MemoryStream(b"HTTP/1.1 200 OK\r\n\r\nHel", b"lo", end=end), REQUEST)
        assert response.body == b"Hello"

    @pytest.mark.parametrize("end", [b"", anyio.EndOfStream])
    async def test_early_end_of_stream_is_an_error(self, end):
        with pytest.raises(EOFError):
            await fetch(MemoryStream(ok(b"Hello")[:-2], end=end), REQUEST)

    async def test_broken_stream_is_not_an_end(self):
        with pytest.raises(anyio.BrokenResourceError):
            await fetch(MemoryStream(b"HTTP/1.1 200 OK\r\n\r\nHel", end=anyio.BrokenResourceError), REQUEST)

    async def test_stream_can_be_used_again(self):
        stream = MemoryStream(ok(b"one"), ok(b"two"))
        assert [(await fetch(stream, REQUEST)).body for _ in "12"] == [b"one", b"two"]

    def test_runs_on_the_scheduler_of_d1(self):
        from dojo.kit.manual_clock import ManualClock
        from katas.d1_coroutine_scheduler import Scheduler, sleep

        clock = ManualClock()
        stream = MemoryStream(ok(b"Hello")[:-2], b"lo", pause=lambda: sleep(1))
        response = Scheduler(clock, clock.idle).run(fetch(stream, REQUEST))
        assert response.body == b"Hello"


@pytest.mark.anyio
class TestGet:
    async def test_asks_the_server_of_the_url(self):
        async with upstream([ok(b"hi")]) as server:
            response = await get(server.url("/a?b=1"), math.inf)
            asked = read_asked(server.calls[0].request)
        assert (asked.line, asked.headers["host"], response.body) == (
            "GET /a?b=1 HTTP/1.1",
            server.host,
            b"hi",
        )
        assert asked.headers.get("connection") == "close", (
            "the server is not told that no other request follows"
        )

    async def test_closes_its_connection(self):
        async with upstream([ok(b"hi")]) as server:
            await get(server.url(), math.inf)
            assert await server.still_open() == 0, "get came back, and its connection is still open"

    async def test_closes_its_connection_after_nonsense(self):
        async with upstream([b"220 mail is ready\r\n\r\n"]) as server:
            with pytest.raises(ValueError):  # noqa: PT011
                await get(server.url(), math.inf)
            assert await server.still_open() == 0, "get failed, and its connection is still open"

    async def test_nobody_there_is_an_oserror(self):
        with nobody_listens() as url, pytest.raises(OSError):  # noqa: PT011
            await get(url, math.inf)

    async def test_late_answer_within_the_deadline_counts(self):
        async with upstream([4, ok(b"late")]) as server:
            assert (await get(server.url(), timeout=5)).body == b"late"

    async def test_silent_server_is_left_at_the_deadline(self):
        async with upstream([b"HTTP/1.1 200 OK\r\n", 3600]) as server:
            start = anyio.current_time()
            with pytest.raises(TimeoutError):
                await get(server.url(), timeout=5)
            assert anyio.current_time() - start == 5
            assert await server.still_open() == 0, "get gave up, and its connection is still open"

    async def test_dripping_server_does_not_move_the_deadline(self):
        async with upstream([b"HTTP/1.1 200 OK\r\n\r\n", *[2, b"."] * 20]) as server:
            start = anyio.current_time()
            with pytest.raises(TimeoutError):
                await get(server.url(), timeout=5)
            assert anyio.current_time() - start == 5, (
                "a deadline for each receive() begins again with every octet"
            )

    async def test_deadline_covers_connecting(self):
        async with slow_names(3600):
            start = anyio.current_time()
            with pytest.raises(TimeoutError):
                await get("http://kata.example/", timeout=5)
            assert anyio.current_time() - start == 5

    async def test_cancelled_from_outside_is_not_a_timeout(self):
        async with upstream([3600]) as server:
            with anyio.move_on_after(1) as scope:
                await get(server.url(), timeout=5)
            assert scope.cancelled_caught, "whoever called get cancelled it, and it went on all the same"

    async def test_cancelled_anywhere_leaves_nothing_open(self):
        async with upstream([ok(b"hi")]) as server:
            point = 1
            while where := await cancel_at(point, get, server.url(), math.inf):
                assert await server.still_open() == 0, f"cancelled at {where}, get left its connection open"
                point += 1


PATHS = ["/1", "/2", "/3", "/4"]


def held():
    """Scripts whose answers come when nothing more can arrive, the last one asked for first."""
    return {path: [HOLD, ok(path.encode())] for path in PATHS}


@pytest.mark.anyio
class TestGetAll:
    async def test_no_urls_give_no_responses(self):
        assert await get_all([], limit=3) == []

    async def test_calls_are_in_flight_together(self):
        async with upstream(held()) as server:
            await get_all([server.url(path) for path in PATHS], limit=4)
        assert server.in_flight[0] == 4, (
            "the calls are made one after the other: nobody made the rest of them while the first waited"
        )

    async def test_responses_come_in_the_order_of_urls(self):
        async with upstream(held()) as server:
            responses = await get_all([server.url(path) for path in PATHS], limit=4)
        assert [response.body for response in responses] == [b"/1", b"/2", b"/3", b"/4"], (
            "the last was answered first"
        )

    async def test_never_more_calls_than_the_limit(self):
        async with upstream(held()) as server:
            await get_all([server.url(path) for path in PATHS], limit=2)
        assert max(server.in_flight) == 2, "that many calls were in flight together, with limit=2"

    async def test_free_place_is_used_at_once(self):
        async with upstream(held()) as server:
            await get_all([server.url(path) for path in PATHS], limit=2)
        assert server.in_flight == [2, 2, 2, 1], (
            "calls in flight when an answer came: a batch waits for its slowest call"
        )

    async def test_each_call_has_seconds_of_its_own(self):
        async with upstream([8, ok(b"slow")]) as server:
            responses = await get_all([server.url(), server.url()], limit=1)
        assert [response.body for response in responses] == [b"slow", b"slow"]

    async def test_failure_comes_out_as_itself(self):
        async with upstream([b"220 mail is ready\r\n\r\n"]) as server:
            with pytest.raises(Exception) as failure:  # noqa: PT011
                await get_all([server.url()], limit=2)
        assert isinstance(failure.value, ValueError), (
            f"{failure.value!r} came out, and the failure was a ValueError"
        )

    async def test_first_failure_cancels_the_rest(self):
        scripts = {"/1": [3600], "/2": [1, b"220 mail is ready\r\n\r\n"], "/3": [3600]}
        async with upstream(scripts) as server:
            start = anyio.current_time()
            with pytest.raises(ValueError):  # noqa: PT011
                await get_all([server.url(path) for path in ("/1", "/2", "/3")], limit=2)
            assert anyio.current_time() - start == 1, (
                "one call failed, and the rest were waited for all the same"
            )
            assert await server.still_open() == 0, "one call failed, and others are still open"
            assert sorted(server.paths) == ["/1", "/2"], "one call failed, and another was begun all the same"

    async def test_cancelling_it_cancels_every_call(self):
        async with upstream([3600]) as server:
            with anyio.move_on_after(1) as scope:
                await get_all([server.url()] * 3, limit=2)
            assert scope.cancelled_caught, "whoever called get_all cancelled it, and it went on all the same"
            assert await server.still_open() == 0, "get_all was cancelled, and calls are still open"

    async def test_limit_below_one_is_refused(self):
        with pytest.raises(ValueError):  # noqa: PT011
            await get_all(["http://127.0.0.1:9/"], limit=0)
