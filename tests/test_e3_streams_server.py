"""asyncio's streams: write() never waits, read() may wait for ever, and closing is the hard part."""

import asyncio
import weakref
from math import inf

import pytest

from dojo.kit.barrier import Barrier
from dojo.kit.causes import must_raise
from dojo.kit.crowd_rules import CrowdRules
from dojo.kit.hosts import collect_garbage, hosted
from dojo.kit.http_rules import GET, HELLO, LAST, ServerRules, request
from dojo.kit.lint import read_answer, read_answers
from dojo.kit.loop_client import lasts, rest
from dojo.kit.serving import Listener
from dojo.kit.split import cuts, shown
from dojo.kit.spysel import ctrl_c
from dojo.kit.stream_apps import MUCH, Apps
from dojo.kit.streams import converse, in_a_thread, pieced, served, turn
from katas import e3_streams_server as e3
from katas.a4_byte_parser import read_exactly, read_until
from katas.c1_http_messages import Response, read_request
from katas.e3_streams_server import LINGER_OCTETS, LINGER_SECONDS, PIECE, StreamsServer, handle

apps = Apps(Response)


def send(data, idle=10):
    return lambda reader, writer: e3.send(writer, data, idle)


@pytest.mark.asyncio
class TestSend:
    @pytest.mark.parametrize("size", [0, 5, PIECE, PIECE + 1, 1_000_000])
    async def test_data_arrives_whole_and_in_order(self, size):
        async with served(send(MUCH[:size])) as client:
            heard = await client.hear_octets(size)
            await client.task
            assert len(heard) == size, "so many octets came, and then no more"
            assert heard == MUCH[:size], "what came is not what was sent"

    async def test_client_who_takes_nothing_is_waited_for(self):
        async with served(send(MUCH)) as client:
            await rest()
            over, stored = client.task.done(), client.stored()
            assert not over, "send is over, and nothing was taken: write() only stores, drain() waits"
            assert stored <= 2 * PIECE, f"{stored} octets are stored for a client who takes nothing"

    async def test_client_who_takes_nothing_is_given_up(self):
        async with served(send(MUCH, idle=10)) as client:
            assert await client.outcome() == ("TimeoutError", 10), "it has so many seconds for a piece"

    async def test_client_who_takes_it_slowly_gets_all(self):
        async with served(send(MUCH, idle=10), narrow=True) as client:
            heard = await client.hear_octets(len(MUCH), at_most=100_000, every=4)
            error, _ = await client.outcome()
            assert error == "", "it takes more than a piece in 10 seconds, and each has its own 10"
            assert len(heard) == len(MUCH), "so many octets came, and then no more"

    async def test_client_who_is_gone_is_an_error(self):
        async with served(send(MUCH)) as client:
            await rest()
            client.close()
            error, _ = await client.outcome()
            assert error in ("ConnectionResetError", "BrokenPipeError"), f"it is gone: {error or 'no error'}"

    async def test_cancelled_in_any_turn_is_no_timeout(self):
        for turns in range(6):
            async with served(send(MUCH)) as client:
                await rest()
                client.listen_up()
                await turn(turns)
                client.task.cancel()
                error, _ = await client.outcome()
                assert error == "CancelledError", f"it was cancelled {turns} turns after the client took some"


def read(parser, idle=10):
    return lambda reader, writer: e3.read_within(reader, parser, idle)


@pytest.mark.asyncio
class TestReadWithin:
    @pytest.mark.parametrize(("held", "says"), [(b"", b"Hello"), (b"Hello", b"")], ids=["reads", "has-all"])
    async def test_result_of_the_parser_comes_back(self, held, says):
        async with served(read(read_exactly(bytearray(held), 5), idle=inf), says) as client:
            await rest()
            over = client.task.done()
            assert over, "the parser has all it needs, and read_within waits to read"
            assert await client.task == b"Hello"

    async def test_no_cut_makes_a_difference(self):
        post = request("POST /", "Content-Length: 5", body=b"Hello")
        for pieces in cuts(post):
            parser = read_request(bytearray())
            parsed = await pieced(pieces, lambda reader, parser=parser: e3.read_within(reader, parser, 10))
            assert parsed.body == b"Hello", f"the request came {shown(pieces)}"

    @pytest.mark.parametrize(("says", "due"), [(b"Hel", "EOFError"), (b"Hello, World", "ValueError")])
    async def test_what_the_parser_raises_comes_out(self, says, due):
        async with served(read(read_until(bytearray(), b"!", 10)), says=says) as client:
            client.half_close()
            assert await client.outcome() == (due, 0), f"the parser says so to {says!r}, and b'' for the end"

    @pytest.mark.parametrize("drops", [0, 4])
    async def test_drip_of_octets_does_not_move_the_deadline(self, drops):
        async with served(read(read_exactly(bytearray(), 50), idle=10)) as client:
            for _ in range(drops):
                client.say(b"a")
                await asyncio.sleep(2)
            assert await client.outcome() == ("TimeoutError", 10 - 2 * drops), "10 seconds are for all of it"

    async def test_cancelled_in_any_turn_is_no_result(self):
        for turns in range(6):
            async with served(read(read_exactly(bytearray(), 5))) as client:
                await rest()
                client.say(b"Hello")
                await turn(turns)
                if client.task.cancel():  # it was not over yet
                    error, _ = await client.outcome()
                    assert error == "CancelledError", f"it was cancelled {turns} turns after the octets came"


def handled(app=apps.hello, idle=10):
    return lambda reader, writer: handle(reader, writer, app, idle)


class TestHandle(ServerRules):
    """Run first, and inherited: what every HTTP server here must show, in dojo/kit/http_rules.py."""

    response = Response

    def serve(self, app, *pieces):
        return converse(lambda reader, writer: handle(reader, writer, app), pieces)

    def test_answer_that_cannot_be_written_becomes_500(self):
        def app(request):
            return Response(200, {"X": "a\r\nb"}, HELLO)

        self.answer_is(500, "write_response refuses its header, and the client waits", app, GET)
        assert read_answer(self.serve(app, GET)).body == b"", "an error of yours has no body"

    def test_half_a_request_gets_no_answer(self):
        assert self.serve(apps.hello, GET[:9]) == b"", "the client left before it had asked for anything"

    @pytest.mark.parametrize("kind", [lambda made: made, asyncio.ensure_future], ids=["coroutine", "future"])
    def test_app_may_return_an_awaitable(self, kind):
        assert read_answer(self.serve(lambda request: kind(apps.later(1)(request)), LAST)).body == HELLO

    def test_awaitable_that_raises_is_answered_with_500(self):
        async def app(request):
            raise TimeoutError("the app's own")

        self.answer_is(500, "the app's awaitable raised TimeoutError: no client was silent here", app, GET)

    def test_app_may_take_longer_than_a_client(self):
        assert read_answer(self.serve(apps.later(1_000), LAST)).body == HELLO, "the idle limit is for clients"

    def test_ctrl_c_in_the_app_comes_out(self):
        with must_raise(KeyboardInterrupt, "it is no Exception, and is not answered with 500"):
            self.serve(lambda request: ctrl_c(), GET)

    # The idle limit

    @pytest.mark.asyncio
    @pytest.mark.parametrize("says", [b"", GET[:9]], ids=["nothing", "half-a-request"])
    async def test_silent_client_is_closed_without_a_word(self, says):
        async with served(handled(idle=10)) as client:
            await asyncio.sleep(6)
            client.say(says)
            assert await lasts(client.hear()) == 4, "seconds left of 10: the first 6 went by in silence"
            assert client.heard == b"", "it has not asked for anything"
            assert (await client.outcome())[0] == "", "an idle client is no error"

    @pytest.mark.asyncio
    async def test_every_request_has_seconds_of_its_own(self):
        async with served(handled(idle=10)) as client:
            for number in [1, 2, 3]:
                await asyncio.sleep(6)
                client.say(GET)
                await rest()
                client.listen_up()
                assert client.heard.count(HELLO) == number, "it asks every 6 seconds, with a limit of 10"

    # Clients who do not take their answers

    @pytest.mark.asyncio
    async def test_client_who_never_listens_is_served_in_bounds(self):
        asked = []
        async with served(handled(apps.much(100_000, asked)), GET * 100) as client:
            await rest()
            assert len(asked) < 8, f"{len(asked)} answers of 100000 octets were made for one who takes none"
            taken = await client.push(GET, most=5_000_000)
            assert taken < 5_000_000, f"{taken} octets were read from a client who takes no answer"
            error, seconds = await client.outcome()
            assert seconds <= 10 + LINGER_SECONDS, f"it took nothing in {seconds} seconds, of 10"
            assert error == "", "an idle client is no error"

    @pytest.mark.asyncio
    async def test_end_of_an_answer_waits_for_a_slow_client(self):
        async with served(handled(apps.much(50_000), idle=10), LAST, narrow=True) as client:
            await asyncio.sleep(2 * LINGER_SECONDS)
            body = (await client.hear()).partition(b"\r\n\r\n")[2]
            assert len(body) == 50_000, "below its mark drain() does not wait, and it was closed too early"

    @pytest.mark.asyncio
    async def test_client_who_never_takes_the_end_is_given_up(self):
        async with served(handled(apps.much(50_000), idle=10), LAST, narrow=True) as client:
            error, seconds = await client.outcome()
            assert seconds <= 10 + LINGER_SECONDS, f"{seconds} seconds: wait_closed() has no limit"
            assert error == "", "an idle client is no error"

    # The close

    @pytest.mark.asyncio
    async def test_connection_is_closed_when_it_is_over(self):
        async def scene(reader, writer):
            await handle(reader, writer, apps.hello)
            return writer.get_extra_info("socket").fileno()

        async with served(scene, LAST) as client:
            await client.hear_and_leave()
            assert await client.task == -1, "close() only asks for it: wait_closed() knows when it is done"

    @pytest.mark.asyncio
    async def test_client_who_waits_for_the_end_is_told(self):
        async with served(handled(), LAST) as client:
            assert await lasts(client.hear()) == 0, "seconds that it waited to hear that no more will come"

    @pytest.mark.asyncio
    async def test_client_still_sending_gets_answer_and_no_reset(self):
        async with served(handled(apps.later(1))) as client:
            await client.push(LAST + b"a" * 50_000, most=1_000_000)
            client.half_close()
            assert read_answer(await client.hear()).body == HELLO

    @pytest.mark.asyncio
    async def test_client_who_never_closes_is_not_waited_for(self):
        async with served(handled(), LAST) as client:
            for _ in range(3):
                await asyncio.sleep(LINGER_SECONDS / 4)
                client.say(b"a")
            _, seconds = await client.outcome()
            assert seconds == LINGER_SECONDS / 4, "LINGER_SECONDS are for all that comes, and 3/4 were over"

    @pytest.mark.asyncio
    async def test_client_who_never_stops_sending_is_cut_off(self):
        async with served(handled(), LAST) as client:
            dropped = await client.push(b"a" * 50_000, most=3 * LINGER_OCTETS)
            assert dropped < 3 * LINGER_OCTETS, f"{dropped} octets were taken behind the last answer"

    @pytest.mark.asyncio
    @pytest.mark.parametrize("says", [b"", GET[:9], GET, GET * 20], ids=["", "half", "one", "many"])
    @pytest.mark.parametrize("app", [apps.much(100_000), apps.later(1)], ids=["now", "later"])
    async def test_client_who_is_gone_ends_it_quietly(self, says, app):
        async with served(handled(app), says) as client:
            client.close()
            assert (await client.outcome())[0] == "", "there is nobody to tell"

    @pytest.mark.asyncio
    async def test_cancelled_anywhere_closes_and_says_so(self):
        for turns in range(1, 30):
            async with served(handled(apps.later(0)), LAST) as client:
                await turn(turns)
                client.task.cancel()
                error, _ = await client.outcome()
                assert error == "CancelledError", f"cancelled after {turns} turns of the loop, it went on"
                await turn(1)
                assert client.served.fileno() == -1, f"cancelled after {turns} turns, it left the socket open"


class TestStreamsServer(CrowdRules):
    """Run first, and inherited: what every server of many clients must show, in dojo/kit/crowd_rules.py."""

    response, server = Response, in_a_thread(StreamsServer)

    @pytest.mark.asyncio
    async def test_app_that_waits_keeps_nobody_out(self):
        barrier = Barrier(2)

        async def app(request):
            await barrier.call()
            return apps.hello(request)

        async with hosted(StreamsServer, app) as host:
            await asyncio.gather(*(host.client(LAST).hear_and_leave() for _ in "12"))
        assert barrier.most == 2, barrier.complaint()

    @pytest.mark.asyncio
    async def test_idle_limit_is_the_one_given(self):
        async with hosted(StreamsServer, apps.hello, idle=5) as host:
            assert await lasts(host.client().hear()) == 5, "seconds until a silent client heard the end"

    @pytest.mark.asyncio
    async def test_task_of_a_client_is_not_collected(self):
        waiting = []

        async def app(request):
            event = asyncio.Event()
            waiting.append(weakref.ref(event))
            await event.wait()
            return apps.hello(request)

        async with hosted(StreamsServer, app) as host:
            client = host.client(LAST)
            await rest()
            collect_garbage()
            event = waiting[0]()
            assert event is not None, "its task was collected as garbage: the loop holds its tasks weakly"
            event.set()
            await client.hear_until(HELLO)

    # Shutting down

    @pytest.mark.asyncio
    @pytest.mark.parametrize("says", [b"", GET], ids=["at-first", "between-requests"])
    async def test_idle_client_does_not_delay_the_end(self, says):
        async with hosted(StreamsServer, apps.hello) as host:
            client = host.client(says)
            await rest()
            assert await host.aclose(grace=30) == 0, "seconds, and nobody was there to wait for"
            assert (await client.hear()).count(HELLO) == bool(says)

    @pytest.mark.asyncio
    @pytest.mark.parametrize(("came", "takes"), [(len(GET), 3), (9, 1)], ids=["app-at-work", "half"])
    async def test_request_in_flight_is_answered(self, came, takes):
        async with hosted(StreamsServer, apps.later(takes)) as host:
            client = host.client(GET[:came])
            await rest()
            closing = asyncio.create_task(host.aclose(grace=30))
            await asyncio.sleep(2)
            assert not client.listen_up(), "the client has begun its request, and the connection ended"
            client.say(GET[came:])
            answer = read_answer(await client.hear_and_leave())
            assert answer.body == HELLO
            assert answer.closes, "the answer promised to keep a connection that then ended"
            assert await closing == 3, "it is over when the last answer is, and need not wait out its grace"

    @pytest.mark.asyncio
    @pytest.mark.parametrize("behind", [b"", request("GET /0")], ids=["alone", "pipelined"])
    async def test_nobody_becomes_idle_in_its_midst(self, behind):
        async with hosted(StreamsServer, apps.huge_or_later()) as host:
            client = host.client(request("GET /huge") + behind)
            await rest()
            seconds, heard = await asyncio.gather(host.aclose(grace=30), client.hear_and_leave())
            answers = read_answers(heard, ["GET", "GET"])
            assert len(answers) == 1 + bool(behind), "answers: a request that was read is in flight"
            assert seconds == 0, "seconds: nobody is given time for a next request"

    @pytest.mark.asyncio
    async def test_grace_is_for_all_together_then_they_are_cut_off(self):
        ended = []
        async with hosted(StreamsServer, apps.huge_or_later(ended)) as host:
            for target in ["/6", "/1000", "/1000", "/huge"]:
                host.client(request(f"GET {target}"))
            await rest()
            assert await host.aclose(grace=10) == 10, "seconds, for all together, and not for each in turn"
            assert ended == ["/6", "/1000", "/1000"], "the app's awaitables are cancelled, and end"

    @pytest.mark.asyncio
    async def test_closed_at_any_turn_leaves_nothing(self):
        for turns in range(12):
            async with hosted(StreamsServer, apps.hello) as host:
                host.client(GET)
                await turn(turns)
                await host.server.aclose(0)
                await rest()
                host.check(f"a client came {turns} turns of the loop before")

    @pytest.mark.asyncio
    async def test_cancelled_close_cuts_off_at_once(self):
        ended = []
        async with hosted(StreamsServer, apps.later(1_000, ended, cleanup=1)) as host:
            host.client(GET)
            await rest()
            closing = asyncio.create_task(host.server.aclose(grace=100))
            await rest()
            closing.cancel()
            seconds = await lasts(asyncio.wait([closing]))
            assert closing.cancelled(), "aclose was cancelled, and has swallowed that"
            assert ended == ["/"], "the app's awaitable is cancelled, and aclose waits for its end"
            assert seconds <= 1, f"{seconds} seconds after it was cancelled: only the app's cleanup takes one"
            host.check()

    @pytest.mark.asyncio
    async def test_close_may_come_early_and_often(self):
        with Listener() as listener:
            server = StreamsServer(listener, apps.hello)
            assert server.port == listener.port
            await server.aclose(1)
            await server.aclose(1)
            assert listener.fileno() == -1, "aclose is over, and the listener is still open"
