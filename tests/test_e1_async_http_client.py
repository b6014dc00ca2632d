"""A client is a parser, a stream and a deadline; which loop turns underneath is not its business."""
# ruff: noqa: PT011  what is malformed is a ValueError, in words of your own

from contextlib import suppress
from functools import partial
from math import inf

import anyio
import pytest

from dojo.kit import responses
from dojo.kit.asked import read_asked
from dojo.kit.cancel import cancel_at
from dojo.kit.dead_ends import nobody_listens, slow_names
from dojo.kit.memory_stream import MemoryStream
from dojo.kit.responses import HINTS, NO_HTTP, PLAIN, ok
from dojo.kit.split import deliver, enough, every_cut
from dojo.kit.upstream import HOLD, timed, upstream
from katas.c1_http_messages import MAX_BODY, MAX_HEAD
from katas.e1_async_http_client import build_request, fetch, get, get_all, read_response

URL = "http://a.test/"


class TestBuildRequest:
    @pytest.mark.parametrize(
        ("rest", "target", "host"),
        [("", "/", "a.test"), (":80?b=1", "/?b=1", "a.test"), (":99/b?c=1&d#e", "/b?c=1&d", "a.test:99")],
    )
    def test_url_becomes_target_and_host(self, rest, target, host):
        asked = read_asked(build_request("GET", f"http://a.test{rest}"))
        assert asked.line == f"GET {target} HTTP/1.1", "an empty path is sent as /, and a fragment not at all"
        assert asked.headers["host"] == host, "Host names the port, unless it is 80"

    def test_ipv6_host_keeps_its_brackets(self):
        host = read_asked(build_request("GET", "http://[::1]:8080/")).headers["host"]
        assert host == "[::1]:8080", "without brackets nobody can tell the address from the port"

    def test_body_has_its_length_in_octets(self):
        assert read_asked(build_request("POST", URL, body="né".encode())).body == "né".encode()

    @pytest.mark.parametrize(("method", "due"), [("GET", None), ("POST", "0"), ("PUT", "0"), ("PATCH", "0")])
    def test_missing_body_has_a_length_where_one_is_expected(self, method, due):
        assert read_asked(build_request(method, URL)).headers.get("content-length") == due

    def test_given_headers_are_sent_and_win(self):
        asked = read_asked(build_request("GET", URL, {"Accept": "text/html", "host": "b.test"}))
        assert (asked.headers["accept"], asked.headers["host"]) == ("text/html", "b.test")

    def test_framing_is_not_left_to_given_headers(self):
        given = {"content-length": "99", "Transfer-Encoding": "chunked"}
        headers = read_asked(build_request("POST", URL, given, b"four")).headers
        assert (headers.get("content-length"), headers.get("transfer-encoding")) == ("4", None)

    @pytest.mark.parametrize("value", ["b\r\nEvil: c", "b\nc", "b\rc", "b\0c"])
    def test_value_that_breaks_its_line_is_refused(self, value):
        with pytest.raises(ValueError):
            build_request("GET", URL, {"A": value})

    @pytest.mark.parametrize("token", ["A\r\nEvil:", "A:", "A ", ""])
    def test_name_or_method_that_is_no_token_is_refused(self, token):
        with pytest.raises(ValueError):
            build_request("GET", URL, {token: "b"})
        with pytest.raises(ValueError):
            build_request(token, URL)

    @pytest.mark.parametrize(
        "rest",
        ["s://a.test/", ":///b", "://:80/b", "://a.test:x/", "://a.test:99999/", "://a:b@a.test/"]
        + [f"://a.test/{path}" for path in ("b c", "b\r\nc", "b\tc", "é")],
    )
    def test_url_that_cannot_be_asked_is_refused(self, rest):
        with pytest.raises(ValueError):
            build_request("GET", f"http{rest}")


read = partial(responses.read, read_response)  # a response from chunks, behind which the stream ends


class TestReadResponse:
    def test_response_has_status_headers_and_body(self):
        response = read([b"HTTP/1.1 404 Not Found\r\nX-Kata: E1\r\nCONTENT-LENGTH: 2\r\n\r\nno"])
        assert (response.status, response.headers["x-kata"], response.body) == (404, "E1", b"no")

    @pytest.mark.parametrize("body", [b"hi", b""], ids=["2-octets", "0-octets"])
    def test_nothing_more_is_awaited_behind_the_body(self, body):
        assert read(enough(ok(body))).body == body

    def test_next_response_stays_in_the_buffer(self):
        buffer = bytearray()
        deliver(read_response(buffer, "GET"), [ok(b"one") + ok(b"two")])
        assert buffer == ok(b"two"), "the second response belongs to somebody else"

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_response_without_body_ends_at_the_empty_line(self, method, status):
        head = f"HTTP/1.1 {status} Fine\r\nContent-Length: 5\r\n\r\n".encode()
        assert read(enough(head), method).body == b""

    def test_answers_below_200_are_skipped(self):
        response = read([b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + ok(b"hi")])
        assert (response.status, response.body) == (200, b"hi"), "1xx only says that the response will come"

    @pytest.mark.parametrize("octets", responses.HELLOS.values(), ids=responses.HELLOS)
    def test_no_cut_makes_a_difference(self, octets):
        assert every_cut(octets, read).body == b"Hello"

    @pytest.mark.parametrize("octets", responses.EARLY_ENDS.values(), ids=responses.EARLY_ENDS)
    def test_early_end_is_an_error(self, octets):
        with pytest.raises(EOFError):
            read([octets])

    @pytest.mark.parametrize("octets", responses.MALFORMED.values(), ids=responses.MALFORMED)
    def test_malformed_head_is_an_error(self, octets):
        with pytest.raises(ValueError):
            read([octets])

    @pytest.mark.parametrize("where", ["head", "length", "chunks", "end"])
    def test_response_over_the_limit_is_an_error(self, where):
        with pytest.raises(ValueError):
            read(responses.too_long(MAX_HEAD, MAX_BODY)[where])


ASK = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.mark.anyio
class TestFetch:
    async def test_request_goes_out_and_response_comes_back(self):
        stream = MemoryStream(ok(b"Hello")[:10], ok(b"Hello")[10:])
        response = await fetch(stream, ASK)
        assert (stream.sent, response.body) == (ASK, b"Hello")

    async def test_head_is_answered_without_a_body(self):
        stream = MemoryStream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        assert (await fetch(stream, ASK.replace(b"GET", b"HEAD"))).body == b""

    @pytest.mark.parametrize("end", [b"", anyio.EndOfStream])
    async def test_end_of_stream_may_end_the_body(self, end):
        assert (await fetch(MemoryStream(PLAIN + b"Hel", b"lo", end=end), ASK)).body == b"Hello"

    @pytest.mark.parametrize(
        ("end", "due"),
        [(b"", EOFError), (anyio.EndOfStream, EOFError), (anyio.BrokenResourceError,) * 2],
    )
    async def test_early_end_is_an_error_and_a_break_no_end(self, end, due):
        with pytest.raises(due):
            await fetch(MemoryStream(ok(b"Hello")[:-2], end=end), ASK)

    async def test_stream_can_be_used_again(self):
        stream = MemoryStream(ok(b"one"), ok(b"two"))
        assert [(await fetch(stream, ASK)).body for _ in "12"] == [b"one", b"two"]

    def test_runs_on_the_scheduler_of_d1(self):
        from dojo.kit.manual_clock import ManualClock
        from katas.d1_coroutine_scheduler import Scheduler, sleep

        clock = ManualClock()
        stream = MemoryStream(ok(b"Hello")[:-2], b"lo", pause=lambda: sleep(1))
        assert Scheduler(clock, clock.idle).run(fetch(stream, ASK)).body == b"Hello"


@pytest.mark.anyio
class TestGet:
    @pytest.mark.parametrize("octets", [ok(b"hi"), ok(b"hi")[:-1], NO_HTTP], ids=["well", "early", "badly"])
    async def test_connection_is_closed_however_it_ends(self, octets):
        async with upstream([octets]) as server:
            with suppress(ValueError, EOFError):
                await get(server.url(), inf)
            assert await server.still_open() == 0, "get is over, and its connection is still open"

    async def test_asks_the_server_of_the_url(self):
        async with upstream([ok(b"hi")]) as server:
            assert (await get(server.url("/b?c=1"), inf)).body == b"hi"
        asked = read_asked(server.calls[0].request)
        assert (asked.line, asked.headers["host"]) == ("GET /b?c=1 HTTP/1.1", server.host)
        assert asked.headers.get("connection") == "close", "the server is not told that this was all"

    async def test_nobody_there_is_an_oserror(self):
        with nobody_listens() as url, pytest.raises(OSError):
            await get(url, inf)

    async def test_silent_server_is_left_at_the_deadline(self):
        async with upstream([PLAIN, 3600]) as server:
            assert await timed(get(server.url(), timeout=5)) == ("TimeoutError", 5)
            assert await server.still_open() == 0, "get gave up, and its connection is still open"

    async def test_dripping_server_does_not_move_the_deadline(self):
        async with upstream([PLAIN, *[2, b"."] * 20]) as server:
            outcome = await timed(get(server.url(), timeout=5))
        assert outcome == ("TimeoutError", 5), "a deadline for each receive() starts anew with every octet"

    async def test_deadline_covers_connecting(self):
        async with slow_names(3600):
            assert await timed(get(URL, timeout=5)) == ("TimeoutError", 5), "looking up a name counts too"

    async def test_cancelled_from_outside_is_not_a_timeout(self):
        async with upstream([3600]) as server:
            with anyio.move_on_after(1) as scope:
                await get(server.url(), timeout=5)
            assert scope.cancelled_caught, "its caller cancelled get, and get went on all the same"

    async def test_cancelled_anywhere_leaves_nothing_open(self):
        async with upstream([ok(b"hi")]) as server:
            point = 1
            while where := await cancel_at(point, get, server.url(), inf):
                assert await server.still_open() == 0, f"cancelled at {where}, get left its connection open"
                point += 1


async def get_four(limit):
    """Get four urls of a server that answers when nothing more can arrive, and the last call first."""
    paths = ["/1", "/2", "/3", "/4"]
    async with upstream({path: [HOLD, ok(path.encode())] for path in paths}) as server:
        return server, await get_all([server.url(path) for path in paths], limit)


@pytest.mark.anyio
class TestGetAll:
    async def test_calls_are_in_flight_together(self):
        server, _ = await get_four(limit=4)
        assert server.in_flight[0] == 4, "calls waited together: they are made one after the other"

    async def test_responses_come_in_the_order_of_urls(self):
        _, responses = await get_four(limit=4)
        assert [response.body for response in responses] == [b"/1", b"/2", b"/3", b"/4"]

    async def test_never_more_calls_than_the_limit_nor_fewer(self):
        server, _ = await get_four(limit=2)
        assert max(server.in_flight) == 2, "so many calls were in flight together, with a limit of 2"
        assert server.in_flight == [2, 2, 2, 1], "a place that got free was not used at once"

    async def test_each_call_has_seconds_of_its_own(self):
        async with upstream([8, ok(b"slow")]) as server:
            assert [response.body for response in await get_all([server.url()] * 2, limit=1)] == [b"slow"] * 2

    async def test_failure_comes_out_as_itself(self):
        async with upstream([NO_HTTP]) as server:
            with pytest.raises((ValueError, ExceptionGroup)) as failure:
                await get_all([server.url()], limit=2)
        assert not isinstance(failure.value, ExceptionGroup), f"a group came out: {failure.value!r}"

    async def test_first_failure_cancels_the_rest(self):
        async with upstream({"/1": [3600], "/2": [1, NO_HTTP], "/3": [3600]}) as server:
            start = anyio.current_time()
            with pytest.raises(ValueError):
                await get_all([server.url(path) for path in ("/1", "/2", "/3")], limit=2)
            assert anyio.current_time() - start == 1, "one call failed, and the rest went on all the same"
            assert await server.still_open() == 0, "one call failed, and another is still open"

    async def test_cancelled_from_outside_cancels_all_calls(self):
        async with upstream([3600]) as server:
            with anyio.move_on_after(1) as scope:
                await get_all([server.url()] * 2, limit=2)
            assert scope.cancelled_caught, "its caller cancelled get_all, and get_all went on all the same"
            assert await server.still_open() == 0, "get_all was cancelled, and a call is still open"

    async def test_limit_below_one_is_refused(self):
        with pytest.raises(ValueError):
            await get_all([URL], limit=0)
