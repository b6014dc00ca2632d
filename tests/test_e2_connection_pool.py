"""A connection is worth keeping; never for octets that nobody asked for, and never at the price of a slot."""
# ruff: noqa: PT011  what is malformed is a ValueError, in words of your own

from contextlib import aclosing, suppress
from math import inf

import anyio
import pytest

from dojo.kit.asked import read_asked
from dojo.kit.backlog import backlog, most_open
from dojo.kit.cancel import cancel_at
from dojo.kit.dead_ends import nobody_listens, slow_names
from dojo.kit.memory_stream import MemoryStream, broken
from dojo.kit.pools import free_slots, hand_to_a_quitter, heard_by_waiters, patiently, served, use
from dojo.kit.responses import CHUNKED, EARLY_ENDS, HELLOS, HINTS, NO_HTTP, PLAIN, ok
from dojo.kit.split import deliver, enough, every_cut
from dojo.kit.upstream import HOLD, KEEP, timed, upstream
from katas.e2_connection_pool import Pool, Unanswered, ask, exchange, read_reply


def read(chunks, method="GET"):
    """Return the body of a response, and whether its connection may carry another request."""
    response, reusable = deliver(read_reply(bytearray(), method), chunks)
    return response.body, reusable


def with_fields(head, *fields):
    return head.replace(b"\r\n\r\n", "\r\n".join(["", *fields, "", ""]).encode())


class TestReadReply:
    def test_connection_is_reusable_behind_a_whole_response(self):
        assert read(enough(ok(b"hi"))) == (b"hi", True)

    @pytest.mark.parametrize("octets", [HELLOS["chunks"], HELLOS["length"]], ids=["chunks", "length"])
    def test_no_cut_makes_a_difference(self, octets):
        assert every_cut(octets, read) == (b"Hello", True)

    @pytest.mark.parametrize("options", ["close", "Close", "upgrade ,\tCLOSE"])
    def test_close_means_not_to_be_used_again(self, options):
        assert read([ok(b"hi", f"Connection: {options}")]) == (b"hi", False), "the server says that it closes"

    def test_close_is_a_whole_option(self):
        assert read([ok(b"hi", "Connection: not-close")]) == (b"hi", True), "that says nothing about closing"

    @pytest.mark.parametrize(
        ("options", "due"),
        [("", False), ("upgrade", False), ("Keep-Alive", True), ("keep-alive, close", False)],
    )
    def test_http_1_0_keeps_only_where_it_says_so(self, options, due):
        octets = ok(b"hi", f"Connection: {options}").replace(b"HTTP/1.1", b"HTTP/1.0")
        assert every_cut(octets, read) == (b"hi", due), "an HTTP/1.0 server closes, unless it says keep-alive"

    @pytest.mark.parametrize("head", [PLAIN, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["1.0", "1.1"])
    def test_body_read_to_the_end_is_the_end(self, head):
        octets = with_fields(head, "Connection: keep-alive") + b"Hello"
        assert read([octets]) == (b"Hello", False), "whatever it says: the stream has ended with the body"

    @pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
    def test_missing_body_needs_no_end(self, method, status):
        octets = f"HTTP/1.1 {status} Fine\r\n\r\n".encode()
        assert read([octets], method) == (b"", True), "it ends at the empty line, not with the stream"

    def test_octets_behind_the_response_are_nobodys_answer(self):
        octets = ok(b"hi") + ok(b"evil")
        assert read([octets]) == (b"hi", False), "they would be the answer to the next request"

    @pytest.mark.parametrize(
        ("version", "field"), [("1.1", "Content-Length: 5"), ("1.0", "Connection: keep-alive")]
    )
    def test_doubtful_end_is_not_built_upon(self, version, field):
        octets = with_fields(CHUNKED, field).replace(b"1.1", version.encode()) + b"0\r\n\r\n"
        assert read([octets]) == (b"", False), "a proxy may have seen another end of this body"

    @pytest.mark.parametrize("octets", [*EARLY_ENDS.values(), b"HTTP"], ids=[*EARLY_ENDS, "version"])
    def test_early_end_is_an_error(self, octets):
        with pytest.raises(EOFError):
            read([octets])


ASK = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
ENDS = [b"", anyio.EndOfStream]


@pytest.mark.anyio
class TestExchange:
    async def test_request_goes_out_and_response_comes_back(self):
        stream = MemoryStream(ok(b"Hello")[:10], ok(b"Hello")[10:])
        response, reusable = await exchange(stream, ASK)
        assert (stream.sent, response.body, reusable) == (ASK, b"Hello", True)

    async def test_head_is_answered_without_a_body(self):
        stream = MemoryStream(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        assert (await exchange(stream, ASK.replace(b"GET", b"HEAD")))[0].body == b""

    @pytest.mark.parametrize("end", ENDS)
    async def test_end_of_stream_may_end_the_body(self, end):
        response, reusable = await exchange(MemoryStream(PLAIN + b"Hel", b"lo", end=end), ASK)
        assert (response.body, reusable) == (b"Hello", False)

    @pytest.mark.parametrize("end", [*ENDS, anyio.BrokenResourceError])
    async def test_gone_before_the_first_octet_is_unanswered(self, end):
        with pytest.raises(Unanswered):
            await exchange(MemoryStream(end=end), ASK)

    async def test_request_that_cannot_be_sent_is_unanswered(self):
        with pytest.raises(Unanswered):
            await exchange(MemoryStream(pause=broken), ASK)

    @pytest.mark.parametrize("begun", [b"H", HINTS], ids=["octet", "1xx"])
    @pytest.mark.parametrize("end", [*ENDS, anyio.BrokenResourceError])
    async def test_gone_after_the_first_octet_is_something_else(self, begun, end):
        with pytest.raises(end if end is anyio.BrokenResourceError else EOFError) as failure:
            await exchange(MemoryStream(begun, end=end), ASK)
        assert failure.type is not Unanswered, f"{begun[:12]!r} of the answer had come: it had begun"


@pytest.fixture
def server():
    with backlog() as server:
        yield server


@pytest.fixture
def other():
    with backlog() as server:
        yield server


@pytest.mark.anyio
class TestPool:
    async def test_acquire_connects_and_release_may_close(self, server):
        pool = Pool(1)
        connection = await pool.acquire(server.url)
        assert await server.still_open() == 1, "so many connections came to the server of the url"
        await pool.release(connection, False)
        assert await server.still_open() == 0, "it cannot be used again, and is still open"

    async def test_reusable_connection_is_kept_and_lent_again(self, server):
        async with aclosing(Pool(1)) as pool:
            first = await pool.acquire(server.url)
            assert not first.kept, "kept is True, and it has only just been made"
            await pool.release(first, True)
            [second] = await use(pool, server.url + "b?c=1")
            assert second is first, "a connection to this server was there, and another one was made"
            assert second.kept, "kept is False, and it comes out of the pool"

    async def test_kept_connection_is_for_its_origin_alone(self, server, other):
        async with aclosing(Pool(2)) as pool:
            [first], [second] = await use(pool, server.url), await use(pool, other.url)
            assert second is not first, "a connection to one server was lent for another"
            assert await server.still_open() == 1, "there was room for both, and the kept one was closed"

    async def test_no_more_than_the_limit_are_lent(self, server, other):
        pool = Pool(2)
        lent = [await pool.acquire(server.url) for _ in "12"]
        third = await patiently(pool.acquire(other.url))
        assert third is None, "a third connection was lent, with a limit of 2"
        for connection in lent:
            await pool.release(connection, False)
        assert await free_slots(pool, server.url) == 2, "both came back, and who waited has given up"

    async def test_kept_connections_count_as_well(self, server, other):
        async with aclosing(Pool(2)) as pool:
            await use(pool, server.url, times=2)
            most = await most_open(use(pool, other.url), server, other)
            assert most <= 2, (
                f"{most} connections were open at a time, the kept ones included: the limit is 2"
            )

    async def test_waiters_are_served_in_order(self, server):
        async with aclosing(Pool(1)) as pool:
            assert await served(pool, server.url, "abc") == "abc", "first come, first served"

    @pytest.mark.parametrize("hears", ["hang_up", "say"])
    async def test_connection_that_was_not_quiet_is_not_lent(self, server, hears):
        async with aclosing(Pool(1)) as pool:
            [first] = await use(pool, server.url)
            getattr(server, hears)()
            [second] = await use(pool, server.url)
            assert second is not first, "what came while nobody asked would be the next answer"
            assert await server.still_open() == 1, "the old connection is not used, and is still open"

    @pytest.mark.parametrize("wrong", [None, "https://a.test/", "http://a.test\r\n/"])
    async def test_acquire_that_fails_takes_no_slot(self, server, wrong):
        pool = Pool(1)
        with nobody_listens() as url, pytest.raises((OSError, ValueError)):
            await pool.acquire(wrong or url)
        assert await free_slots(pool, server.url) == 1, "acquire raised, and kept its slot"

    @pytest.mark.parametrize("reusable", [False, True])
    async def test_release_cancelled_anywhere_frees_its_slot(self, server, reusable):
        point, where = 0, "start"
        while where:
            point += 1
            async with aclosing(Pool(1)) as pool:
                where = await cancel_at(point, pool.release, await pool.acquire(server.url), reusable)
                assert await free_slots(pool, server.url) == 1, f"cancelled at {where}, release kept the slot"
            assert await server.still_open() == 0, f"cancelled at {where}, release left its connection open"

    async def test_acquire_cancelled_anywhere_takes_no_slot(self, server, other):
        point, where = 0, "start"
        while where:
            point += 1
            async with aclosing(Pool(1)) as pool:
                await use(pool, other.url)
                where = await cancel_at(point, use, pool, server.url)
                assert await free_slots(pool, server.url) == 1, f"cancelled at {where}, acquire kept its slot"
            left = await server.still_open() + await other.still_open()
            assert left == 0, f"cancelled at {where}, acquire left a connection open"

    @pytest.mark.parametrize("quits", ["before", "after"])
    async def test_waiter_cancelled_as_its_turn_comes_takes_no_slot(self, server, quits):
        async with aclosing(Pool(1)) as pool:
            await hand_to_a_quitter(pool, server.url, quits)
            assert await free_slots(pool, server.url) == 1, f"who got it was cancelled just {quits} that"

    async def test_aclose_cancelled_or_not_closes_all_kept(self, server):
        point, where = 0, "start"
        while where:
            point += 1
            pool = Pool(2)
            await use(pool, server.url, times=2)
            where = await cancel_at(point, pool.aclose)
            assert await server.still_open() == 0, f"cancelled at {where}, aclose left a connection open"
        with pytest.raises(anyio.ClosedResourceError):
            await pool.acquire(server.url)
        await pool.aclose()

    async def test_connection_in_use_is_closed_on_release(self, server):
        pool = Pool(1)
        connection = await pool.acquire(server.url)
        await pool.aclose()
        assert await server.still_open() == 1, "somebody uses this connection, and it was closed"
        await pool.release(connection, True)
        assert await server.still_open() == 0, "the pool is closed, and has kept a connection"

    async def test_waiters_hear_that_the_pool_was_closed(self, server):
        heard = await heard_by_waiters(Pool(1), server.url)
        assert heard == ["ClosedResourceError"] * 2, "they waited in a pool that was closed meanwhile"

    def test_limit_below_one_is_refused(self):
        with pytest.raises(ValueError):
            Pool(0)


ONE = [ok(b"one"), KEEP]


@pytest.mark.anyio
class TestAsk:
    async def test_request_goes_out_and_response_comes_back(self):
        async with upstream([ok(b"hi")]) as server, aclosing(Pool(1)) as pool:
            assert (await ask(pool, "PUT", server.url("/b?c=1"), inf, b"put")).body == b"hi"
        asked = read_asked(server.requests[0])
        assert (asked.line, asked.headers["host"], asked.body) == ("PUT /b?c=1 HTTP/1.1", server.host, b"put")
        assert "connection" not in asked.headers, "the server is told to close what the pool wants to keep"

    async def test_next_request_goes_out_on_the_same_connection(self):
        slow = [HINTS + CHUNKED + b"3\r\ntw", 1, b"o\r\n0\r\n", 1, b"\r\n", KEEP]
        async with upstream({"/1": ONE, "/2": slow}) as server, aclosing(Pool(2)) as pool:
            bodies = [(await pool.get(server.url(path), inf)).body for path in ("/1", "/2", "/1")]
            assert bodies == [b"one", b"two", b"one"]
            assert len(server.calls) == 1, "so many connections were made, one after the other"

    async def test_connection_is_closed_where_the_server_says_so(self):
        async with upstream([ok(b"hi", "Connection: close"), KEEP]) as server, aclosing(Pool(1)) as pool:
            await pool.get(server.url(), inf)
            assert await server.still_open() == 0, "the server said close, and the connection was kept"

    @pytest.mark.parametrize("octets", [NO_HTTP, ok(b"hi")[:-1]], ids=["badly", "early"])
    async def test_failure_closes_the_connection_and_frees_the_slot(self, octets, other):
        async with upstream([octets]) as server, aclosing(Pool(1)) as pool:
            with suppress(ValueError, EOFError):
                await pool.get(server.url(), inf)
            assert await server.still_open() == 0, "the rest of a broken response would be the next answer"
            assert await free_slots(pool, other.url) == 1, "ask has failed, and there is one slot in all"

    async def test_deadline_closes_the_connection_and_frees_the_slot(self, other):
        async with upstream([ok(b"hi")[:-1], 3600]) as server, aclosing(Pool(1)) as pool:
            assert await timed(pool.get(server.url(), 5)) == ("TimeoutError", 5)
            assert await server.still_open() == 0, "ask gave up, and its connection is still open"
            assert await free_slots(pool, other.url) == 1, "ask gave up, and there is one slot in all"

    async def test_one_deadline_covers_slot_and_answer(self):
        async with (
            upstream([3, *ONE]) as server,
            aclosing(Pool(1)) as pool,
            anyio.create_task_group() as group,
        ):
            group.start_soon(pool.get, server.url(), 5)
            await anyio.wait_all_tasks_blocked()
            outcome = await timed(pool.get(server.url(), 5))
        assert outcome == ("TimeoutError", 5), "it waited 3 seconds for a slot, and another 3 for its answer"

    async def test_deadline_covers_connecting(self):
        async with slow_names(3600), aclosing(Pool(1)) as pool:
            assert await timed(pool.get("http://a.test/", 5)) == ("TimeoutError", 5), "a look-up counts too"

    async def test_cancelled_from_outside_is_not_a_timeout(self):
        async with upstream([3600]) as server, aclosing(Pool(1)) as pool:
            with anyio.move_on_after(1) as scope:
                await pool.get(server.url(), 5)
            assert scope.cancelled_caught, "its caller cancelled ask, and ask went on all the same"

    @pytest.mark.parametrize("method", ["GET", "PUT"])
    async def test_kept_connection_gone_by_then_is_replaced(self, method):
        async with upstream([HOLD, *ONE], again=[]) as server, aclosing(Pool(2)) as pool:
            async with anyio.create_task_group() as group:
                for _ in "12":
                    group.start_soon(pool.get, server.url(), inf)
            response = await ask(pool, method, server.url(), 5)
            assert response.body == b"one", "the server closed just as the request came"
            assert len(server.calls) == 3, "two had died: one new connection was due, and no more"

    @pytest.mark.parametrize(
        ("second", "due"), [([], EOFError), ([3600], TimeoutError)], ids=["end", "silence"]
    )
    async def test_request_is_repeated_only_once(self, second, due):
        async with upstream({"/1": ONE, "/2": second}, again=[]) as server, aclosing(Pool(1)) as pool:
            await pool.get(server.url("/1"), inf)
            start = anyio.current_time()
            with pytest.raises(due):
                await pool.get(server.url("/2"), 5)
            assert anyio.current_time() - start in (0, 5), "the deadline of 5 seconds covers both tries"
            assert server.paths == ["/1", "/2", "/2"], "a new connection that is not answered says enough"

    async def test_new_connection_is_not_replaced(self):
        async with upstream([]) as server, aclosing(Pool(1)) as pool:
            with pytest.raises(EOFError):
                await pool.get(server.url(), 5)
            assert server.paths == ["/"], "nobody can have closed it while it was kept"

    @pytest.mark.parametrize(("method", "again"), [("POST", []), ("GET", [b"H"])], ids=["POST", "begun"])
    async def test_request_that_may_have_worked_is_not_repeated(self, method, again):
        async with upstream(ONE, again) as server, aclosing(Pool(1)) as pool:
            await pool.get(server.url("/1"), inf)
            with suppress(EOFError):
                await ask(pool, method, server.url("/2"), 5)
            assert server.paths == ["/1", "/2"], "the server may have done it, and is told to do it again"

    @pytest.mark.parametrize("again", [None, []], ids=["well", "replaced"])
    async def test_cancelled_anywhere_loses_nothing(self, again, other):
        point, where = 0, "start"
        async with upstream({"/1": ONE, "/2": [ok(b"two")[:-1], 1, b"o", KEEP]}, again) as server:
            while where:
                point += 1
                async with aclosing(Pool(1)) as pool:
                    await pool.get(server.url("/1"), inf)
                    where = await cancel_at(point, ask, pool, "GET", server.url("/2"), inf)
                    assert await free_slots(pool, other.url) == 1, f"ask was cancelled at {where}"
                assert await server.still_open() == 0, f"cancelled at {where}, ask left its connection open"

    async def test_connections_that_come_back_serve_all_calls(self):
        async with upstream([HOLD, *ONE]) as server, aclosing(Pool(2)) as pool:
            async with anyio.create_task_group() as group:
                for _ in "1234":
                    group.start_soon(pool.get, server.url(), inf)
            assert server.in_flight == [2, 2, 2, 1], "so many were in flight together, with a limit of 2"
            assert len(server.calls) == 2, "so many connections were made, and two could have done it all"
