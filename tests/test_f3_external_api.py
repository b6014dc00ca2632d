"""Who asks others has to decide how many at once, for how long, and what to say when they fail."""
# ruff: noqa: PT011, SIM117  a limit of 0 is a ValueError, in words of your own; one `with` inside the other reads better

from math import inf

import anyio
import pytest

from dojo.kit.asgi import alive, http
from dojo.kit.barrier import Barrier
from dojo.kit.calls import Calls, cancelled_anywhere
from dojo.kit.dead_ends import nobody_listens
from dojo.kit.responses import ok
from dojo.kit.upstream import HOLD, KEEP, upstream
from katas.f2_mini_framework import HTTPError
from katas.f3_external_api import LIMIT, fetch_all, fetch_some, make_app, to_gateway_error

ABC = ["a", "b", "c"]


@pytest.mark.anyio
class TestFetchAll:
    async def test_calls_are_in_flight_together(self):
        barrier = Barrier(calls=3)
        await fetch_all(lambda url: barrier.call(), ABC, limit=3)
        assert barrier.most == 3

    async def test_results_come_in_the_order_of_urls(self):
        calls = Calls({"a": 3, "b": 2, "c": 1})
        assert await fetch_all(calls.get, iter(ABC), limit=3) == ["A", "B", "C"], "c is answered first"

    async def test_never_more_calls_than_the_limit(self):
        calls = Calls(dict.fromkeys(map(str, range(20)), 1))
        await fetch_all(calls.get, calls.script, limit=4)
        assert calls.most == 4, "the largest number of calls in flight at a time, with a limit of 4"

    async def test_free_place_is_used_at_once(self):
        calls = Calls({"a": 1, "b": 2, "c": 4, "d": 8})  # whoever begins first, no two end together
        await fetch_all(calls.get, calls.script, limit=2)
        assert calls.at_ends == [2, 2, 2, 1], (
            "so many were in flight each time that one ended, with a limit of 2"
        )

    async def test_no_urls_have_no_results(self):
        assert await fetch_all(Calls({}).get, [], limit=2) == []

    @pytest.mark.parametrize("urls", [[], ["a"]])
    async def test_limit_below_one_is_refused(self, urls):
        with pytest.raises(ValueError):
            await fetch_all(Calls({"a": 1}).get, urls, limit=0)

    async def test_first_failure_comes_out_as_itself(self):
        async def get(url):
            try:
                await anyio.sleep(ABC.index(url) + 1)
            finally:
                raise LookupError(url)

        with pytest.raises((LookupError, ExceptionGroup)) as failure:
            await fetch_all(get, ABC, limit=3)
        assert repr(failure.value) == "LookupError('a')", "a has failed, then b and c: they were cancelled"

    async def test_first_failure_cancels_the_others(self):
        calls = Calls({"a": 3600, "b": LookupError("b"), "c": 3600})
        with pytest.raises(LookupError):
            await fetch_all(calls.get, calls.script, limit=3)
        assert sorted(calls.cancelled) == ["a", "c"], "b has failed: who still waits for a and c?"
        assert calls.in_flight == 0, "the failure came out while calls were in flight"

    async def test_no_call_begins_after_a_failure(self):
        calls = Calls({url: LookupError(url) for url in ABC})
        with pytest.raises(LookupError):
            await fetch_all(calls.get, calls.script, limit=1)
        assert len(calls.begun) == 1, "the first call had failed, and all was lost"

    async def test_cancelled_anywhere_it_leaves_no_call(self):
        await cancelled_anywhere(lambda get: fetch_all(get, ABC, limit=2))


@pytest.mark.anyio
class TestFetchSome:
    async def test_calls_are_in_flight_together(self):
        barrier = Barrier(calls=3)
        await fetch_some(lambda url: barrier.call(), ABC, inf)
        assert barrier.most == 3

    async def test_failure_stands_in_its_place(self):
        error = LookupError("b")
        calls = Calls({"a": 2, "b": error, "c": 1})
        assert await fetch_some(calls.get, calls.script, 5) == ["A", error, "C"], "the others have not failed"

    async def test_silent_call_counts_as_a_timeout(self):
        calls = Calls({"a": 3600, "b": 1})
        silent, answered = await fetch_some(calls.get, calls.script, per_call=5)
        assert (type(silent), answered) == (TimeoutError, "B")
        assert calls.seconds == 5, "that is how long a call may take"
        assert (calls.in_flight, calls.cancelled) == (0, ["a"]), "who is given up is not left running"

    async def test_each_call_has_seconds_of_its_own(self):
        calls = Calls({"a": 4, "b": 4, "c": 4})
        assert await fetch_some(calls.get, calls.script, per_call=5, limit=1) == ["A", "B", "C"]

    async def test_never_more_calls_than_the_limit(self):
        calls = Calls(dict.fromkeys(map(str, range(LIMIT + 5)), 1))
        await fetch_some(calls.get, calls.script, per_call=5)
        assert calls.most == LIMIT, "the largest number of calls in flight at a time, where no limit is given"

    async def test_limit_below_one_is_refused(self):
        with pytest.raises(ValueError):
            await fetch_some(Calls({"a": 1}).get, ["a"], 5, limit=0)

    async def test_cancelled_from_outside_is_no_failure(self):
        calls = Calls({"a": 3600, "b": 3600})
        with anyio.move_on_after(1) as scope:
            await fetch_some(calls.get, calls.script, per_call=5, limit=1)
        assert scope.cancelled_caught, "its caller cancelled fetch_some, and fetch_some went on all the same"
        assert len(calls.begun) == 1, "fetch_some was cancelled, and began one call more"

    async def test_cancelled_anywhere_it_leaves_no_call(self):
        await cancelled_anywhere(lambda get: fetch_some(get, ABC, 5, limit=2))


SECRET = "10.0.0.7"
STATUSES = [(TimeoutError, 504), (OSError, 502), (ConnectionRefusedError, 502), (EOFError, 502)]
STATUSES += [(ValueError, 502), (anyio.BrokenResourceError, 502)]


class TestToGatewayError:
    @pytest.mark.parametrize(("error", "due"), STATUSES)
    def test_failure_of_the_upstream_has_a_status(self, error, due):
        assert to_gateway_error(error(SECRET)).status == due

    @pytest.mark.parametrize("error", [TimeoutError(SECRET), OSError(111, SECRET), ValueError(SECRET)])
    def test_detail_tells_nothing_of_the_inside(self, error):
        told = to_gateway_error(error)
        assert SECRET not in f"{told.detail} {told.headers}", f"the client is told {told.detail!r}"

    @pytest.mark.parametrize(
        "error", [KeyError("id"), TypeError(), anyio.ClosedResourceError(), HTTPError(404, "")]
    )
    def test_mistake_of_our_own_is_raised(self, error):
        with pytest.raises(type(error)) as raised:
            to_gateway_error(error)
        same = raised.value is error
        assert same, f"another {type(error).__name__} was raised than was given: it has lost its traceback"


BODY = '{"name": "né"}'.encode()
KEPT, JSON = ok(BODY), ok(BODY, "Connection: close")
OTHERS = [b"500", b"404", b"201"]  # statuses that are not 200
ONE = "/items/1"


@pytest.mark.anyio
class TestMakeApp:
    async def test_value_of_the_upstream_is_answered(self):
        async with upstream([JSON]) as server, alive(app := make_app(server.url("/api"))):
            answer = await http("GET", ONE).run(app)
        assert (answer.status, answer.json, server.paths) == (200, {"name": "né"}, ["/api/items/1"])

    @pytest.mark.parametrize("begin", ["/items/", "/items?ids=%2F"])
    async def test_id_stays_one_segment(self, begin):
        async with upstream([JSON]) as server, alive(app := make_app(server.url(""))):
            await http("GET", f"{begin}a%3Fb%20%23%25").run(app)
        due = begin.replace("?ids=", "/") + "a%3Fb%20%23%25"
        assert server.paths == [due], "what stands in the id is no end of the segment, and no query"

    async def test_shutdown_closes_the_connections(self):
        async with upstream([KEPT, KEEP]) as server:
            async with alive(app := make_app(server.url(""))):
                await http("GET", ONE).run(app)
            assert await server.still_open() == 0, "the app is over, and its pool has an open connection"

    async def test_one_connection_serves_one_request_after_the_other(self):
        async with upstream([KEPT, KEEP]) as server, alive(app := make_app(server.url(""))):
            for _ in range(3):
                await http("GET", ONE).run(app)
        assert len(server.calls) == 1, "so many connections for 3 requests: a pool lives as long as its app"

    async def test_silent_upstream_is_a_504(self):
        async with upstream([3600]) as server, alive(app := make_app(server.url(""), timeout=5)):
            start = anyio.current_time()
            assert (await http("GET", ONE).run(app)).status == 504, "the upstream is silent for 5 seconds"
            assert anyio.current_time() - start == 5

    @pytest.mark.parametrize(
        "octets",
        [b"", JSON[:-1], b"junk\r\n\r\n", ok(b"{"), *(JSON.replace(b"200", each) for each in OTHERS)],
        ids=["nothing", "early", "no http", "no json", "500", "404", "201"],
    )
    async def test_upstream_that_answers_badly_is_a_502(self, octets):
        async with upstream([octets]) as server, alive(app := make_app(server.url(""))):
            assert (await http("GET", ONE).run(app)).status == 502

    async def test_upstream_that_is_not_there_is_a_502(self):
        with nobody_listens() as url:
            async with alive(app := make_app(url.rstrip("/"))):
                assert (await http("GET", ONE).run(app)).status == 502

    @pytest.mark.parametrize("target", [ONE, "/items?ids=1"])
    async def test_mistake_of_our_own_is_a_500(self, target):
        async with alive(app := make_app("http://127.0.0.1")):
            pass
        answer = await http("GET", target).run(app)
        assert answer.status == 500, "the pool is closed: that says nothing of the upstream"

    async def test_waiting_requests_share_the_limit(self):
        async with upstream([HOLD, JSON]) as server, alive(app := make_app(server.url(""), inf, limit=2)):
            async with anyio.create_task_group() as group:
                for _ in "123":
                    group.start_soon(http("GET", ONE).run, app)
        assert server.in_flight == [2, 2, 1], "so many were in flight at the upstream, with a limit of 2"

    async def test_many_are_answered_in_part(self):
        scripts = {"/items/a": [JSON], "/items/b": [3600], "/items/c": [b"junk\r\n\r\n"]}
        async with upstream(scripts) as server, alive(app := make_app(server.url(""), timeout=5)):
            answer = await http("GET", "/items?ids=a,b,c").run(app)
        assert answer.json == {"items": {"a": {"name": "né"}}, "failed": {"b": 504, "c": 502}}

    async def test_many_are_asked_for_within_the_limit(self):
        async with upstream([HOLD, JSON]) as server, alive(app := make_app(server.url(""), inf, limit=2)):
            await http("GET", "/items?ids=a,b,c,d").run(app)
        assert server.in_flight == [2, 2, 2, 1], "the calls in flight, with a limit of 2 and 4 to make"

    async def test_cancelled_request_takes_no_place_away(self):
        async with upstream({ONE: [3600], "/items/2": [JSON]}) as server:
            async with alive(app := make_app(server.url(""), limit=1)):
                with anyio.move_on_after(1):
                    await http("GET", ONE).run(app)
                answer = await http("GET", "/items/2").run(app)
        assert answer.status == 200, "the pool's only place went with the request that was cancelled"
