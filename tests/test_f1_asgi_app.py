"""An ASGI app is a function that is sent messages and sends messages: it needs no server to be tried.

It needs no event loop either: run() takes the first step of a coroutine, and that has to be its last.
"""

import asyncio

import pytest

from dojo.kit.asgi import http, life, other
from dojo.kit.asgi_by_hand import run
from dojo.kit.by_hand import ask, depth, interrupt
from dojo.kit.causes import must_not_raise, must_raise
from dojo.kit.small_tasks import Stop
from dojo.kit.split import cuts
from katas.f1_asgi_app import hello, lifespan, read_body, send_json


class TestSendJson:
    def test_start_is_sent_and_then_the_body(self):
        talk = http()
        run(send_json(talk.send, 201, {"id": [1, 2]}))
        assert (talk.answer.status, talk.answer.json) == (201, {"id": [1, 2]})

    def test_headers_tell_type_and_length(self):
        talk = http()
        run(send_json(talk.send, 200, [1, 2]))
        due = {"content-type": "application/json", "content-length": str(len(talk.answer.body))}
        assert talk.answer.headers == due, "these two are due, and no others"

    @pytest.mark.parametrize("value", [{"name": "Zoë"}, "\N{SNOWMAN}\r\n"], ids=["name", "snowman"])
    def test_length_counts_octets_and_not_characters(self, value):
        talk = http()
        run(send_json(talk.send, 200, value))
        assert talk.answer.json == value

    @pytest.mark.parametrize("value", [None, False, 0, "", []])
    def test_nothing_is_a_value_too(self, value):
        talk = http()
        run(send_json(talk.send, 200, value))
        assert talk.answer.json == value

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            (object(), TypeError),
            ({"a": b"octets"}, TypeError),
            ({("a", "b"): 1}, TypeError),
            ([float("nan")], ValueError),
        ],
        ids=["object", "bytes", "key", "nan"],
    )
    def test_what_is_no_json_sends_nothing(self, value, error):
        talk = http()
        with must_raise(error, f"{value!r} is no JSON"):
            run(send_json(talk.send, 200, value))
        cause = "who has sent a start cannot answer 500 any more: make the body first"
        assert talk.log == [], cause


class TestReadBody:
    def test_one_message_can_be_all_of_it(self):
        body = run(read_body(http(body=b"Hello").receive))
        assert body == b"Hello"
        assert isinstance(body, bytes), f"{body!r} is no bytes: whoever has it can change it"

    def test_request_without_a_body_has_none(self):
        assert run(read_body(http(body=b"").receive)) == b""

    def test_more_body_means_that_more_comes(self):
        cause = "where more_body is true, this message is not the last"
        assert run(read_body(http(body=[b"He", b"llo"]).receive)) == b"Hello", cause

    def test_no_cut_makes_a_difference(self):
        bodies = [run(read_body(http(body=parts).receive)) for parts in cuts(b"Hello")]
        assert bodies == [b"Hello"] * len(bodies), "the parts are due in their order, none left out"

    def test_empty_message_is_not_the_end(self):
        body = run(read_body(http(body=[b"", b"He", b"", b"llo", b""]).receive))
        assert body == b"Hello", "a message may have no octets: more_body says whether it is the last"

    def test_missing_keys_have_their_defaults(self):
        talk = http(messages=[{"type": "http.request", "more_body": True}, {"type": "http.request"}])
        cause = "body is b'' and more_body is False where they are missing"
        assert run(read_body(talk.receive)) == b"", cause

    @pytest.mark.parametrize("parts", [[], [b"Hel"]], ids=["before", "in-the-middle"])
    def test_client_that_goes_is_an_error(self, parts):
        talk = http(body=parts, ends=False)
        with must_raise(EOFError, "http.disconnect came: half a body is not a body"):
            run(read_body(talk.receive))

    def test_many_messages_do_not_fill_the_stack(self):
        depths = []

        async def measure():
            depths.append(depth())

        run(read_body(http(body=[b"o"] * 50, turn=measure).receive))
        deeper = depths[-1] - depths[0]
        assert deeper < 40, f"50 messages, and receive() was called {deeper} calls deeper: a stack has an end"


EVENTS = [
    "received lifespan.startup",
    "startup",
    "sent lifespan.startup.complete",
    "received lifespan.shutdown",
    "shutdown",
    "sent lifespan.shutdown.complete",
]
LIFE = "complete is what a server waits for before it lets anybody in; shutdown waits for the server's end"


async def no_turn():
    pass


async def one_turn():
    await ask("a turn")


def living(talk, turn=no_turn, **errors):
    """An app of the learner's, whose startup and shutdown are noted, and fail where an error is given."""

    def noting(what):
        async def function():
            await turn()
            talk.log.append(what)
            if what in errors:
                raise errors[what]

        return function

    return lifespan(talk.receive, talk.send, noting("startup"), noting("shutdown"))


def interrupted(error, places):
    """Raise error just before each of these events, one at a time: nothing more is due then."""
    for place in places:
        talk, where = life(turn=one_turn), f"it was raised just before {EVENTS[place]!r}"
        interrupt(living(talk, one_turn), place + 1, error, f"{where}, and is due at once, untold")
        assert talk.log == EVENTS[:place], f"{where}: nothing more is due, nobody has ordered it"


class TestLifespan:
    def test_each_runs_when_the_server_says_so(self):
        talk = life()
        run(living(talk))
        assert talk.log == EVENTS, LIFE

    @pytest.mark.parametrize("stage", ["startup", "shutdown"])
    def test_failure_is_told_and_not_raised(self, stage):
        talk = life()
        with must_not_raise(LookupError, f"a {stage} that fails is told as failed, and not raised as well"):
            run(living(talk, **{stage: LookupError("no database")}))
        due = [*EVENTS[: EVENTS.index(stage) + 1], f"sent lifespan.{stage}.failed"]
        assert talk.log == due, "failed is the last word: what has not started up is not shut down"
        message = talk.sent[-1].get("message", "")
        for word in ("LookupError", "no database"):
            cause = f"the message {message!r} is all that the server's log will say: no {word!r}"
            assert word in message, cause

    @pytest.mark.parametrize("error", [asyncio.CancelledError(), Stop(), KeyboardInterrupt(), SystemExit()])
    def test_what_is_no_exception_goes_on_untold(self, error):
        interrupted(error, range(6))

    def test_failing_receive_or_send_goes_on_untold(self):
        interrupted(ConnectionError(), [0, 2, 3, 5])


class TestHello:
    def test_get_is_answered_with_hello_world(self):
        answer = run(http("GET", "/").run(hello))
        assert (answer.status, answer.json) == (200, {"Hello": "World"})

    @pytest.mark.parametrize("line", ["POST /", "BREW /tea", "HEAD /", "GET /a/b?c"])
    def test_any_method_and_path_will_do(self, line):
        answer = run(http(*line.split(), messages=[]).run(hello))  # nothing to receive: it is of no interest
        due = run(http("GET", "/").run(hello))
        assert (answer.status, answer.headers) == (due.status, due.headers)

    def test_lifespan_is_not_a_request(self):
        talk = life()
        run(talk.run(hello))
        told = [message["type"] for message in talk.sent]
        due = ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert told == due, "the server speaks twice, and each time waits for an answer"

    @pytest.mark.parametrize("kind", ["websocket", "http3"])
    def test_scope_of_another_type_is_refused(self, kind):
        with pytest.raises(ValueError) as caught:  # noqa: PT011  matched below, in a sentence
            run(other(kind).run(hello))
        assert kind in str(caught.value), f"{caught.value!r} does not say which type is refused: {kind!r}"
