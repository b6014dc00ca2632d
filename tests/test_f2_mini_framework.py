"""A framework finds the function, gives it what it asks for, and makes an answer of what it returns."""
# ruff: noqa: PT011  what cannot be converted is a ValueError, in words of your own

import asyncio
import threading
from typing import Any, Optional
from uuid import UUID

import pytest

from dojo.kit.asgi import http, life, other
from dojo.kit.asgi_by_hand import Later, ask, at_once, run
from dojo.kit.by_hand import Paused, Returned, step, throw
from dojo.kit.by_hand import ask as pause
from dojo.kit.small_tasks import Stop
from katas.f2_mini_framework import App, HTTPError, Reply, Router, bind, convert, run_endpoint

NO_INT = ["", "+5", " 5", "5\n", "1_0", "٣", "5.0", "0x5", "--5"]
NO_FLOAT = ["", "nan", "inf", "-Infinity", "1e999", "1_0.5", " 1.5", "e5", "1e", "٣.5"]
VALUES = [("né", str, "né"), ("5", Any, "5"), ("-5", int, -5), ("007", int, 7), ("-1.5", float, -1.5)]
VALUES += [("2E-3", float, 0.002), ("5", float, 5.0), ("1", bool, True), ("False", bool, False)]


class TestConvert:
    @pytest.mark.parametrize(("text", "kind", "due"), VALUES)
    def test_text_becomes_a_value_of_its_kind(self, text, kind, due):
        assert repr(convert(text, kind)) == repr(due)

    @pytest.mark.parametrize("text", NO_INT)
    def test_what_is_no_int_is_refused(self, text):
        with pytest.raises(ValueError):
            convert(text, int)

    @pytest.mark.parametrize("text", NO_FLOAT)
    def test_what_is_no_finite_float_is_refused(self, text):
        with pytest.raises(ValueError):
            convert(text, float)

    @pytest.mark.parametrize("text", ["", "yes", "2", "tru", "fal\u017fe"])
    def test_what_is_no_bool_is_refused(self, text):
        with pytest.raises(ValueError):
            convert(text, bool)

    @pytest.mark.parametrize("kind", [int | None, Optional[int], None | int])  # noqa: UP045
    def test_optional_kind_is_the_kind(self, kind):
        assert convert("5", kind) == 5, "None stands for what is not given: what is given is an int"

    def test_any_other_kind_is_called_with_the_text(self):
        assert convert("0" * 32, UUID) == UUID(int=0)
        with pytest.raises(ValueError):
            convert("5", UUID)


async def hello(name="World"):
    return {"Hello": name}


async def item(id: int, q: str = "all", deep: bool = False):
    return [id, q, deep]


def routes(*added):
    router = Router()
    for method, path, endpoint in added:
        router.add(method, path, endpoint)
    return router


def refusal(call, *arguments):
    """The HTTPError that the call raises."""
    with pytest.raises(HTTPError) as raised:
        call(*arguments)
    return raised.value


class TestRouter:
    def test_path_leads_to_its_endpoint(self):
        router = routes(("GET", "/hello", hello), ("GET", "/item", item))
        assert router.match("GET", "/item") == (item, {})

    def test_text_of_a_parameter_is_returned(self):
        router = routes(("GET", "/shelves/{shelf}/items/{id}", item))
        assert router.match("GET", "/shelves/a b/items/7") == (item, {"shelf": "a b", "id": "7"})

    @pytest.mark.parametrize("path", ["/", "/items", "/items/", "/items/7/", "/items/7/8", "/old/items/7"])
    def test_any_other_path_is_a_404(self, path):
        assert refusal(routes(("GET", "/items/{id}", item)).match, "GET", path).status == 404

    def test_fixed_segment_stands_for_itself(self):
        assert refusal(routes(("GET", "/a.b", item)).match, "GET", "/axb").status == 404, "a dot is a dot"

    def test_decoded_path_is_not_decoded_again(self):
        found = routes(("GET", "/items/{id}", item)).match("GET", "/items/100%25")
        assert found == (item, {"id": "100%25"}), "the path is decoded already: this id has a % in it"

    @pytest.mark.parametrize("first", [0, 1])
    def test_fixed_segment_wins_in_either_order(self, first):
        both = [("GET", "/items/me", hello), ("GET", "/items/{id}", item)]
        assert routes(both[first], both[1 - first]).match("GET", "/items/me") == (hello, {})

    @pytest.mark.parametrize("first", [0, 1])
    def test_leftmost_fixed_segment_wins(self, first):
        both = [("GET", "/a/{x}", hello), ("GET", "/{y}/b", item)]
        assert routes(both[first], both[1 - first]).match("GET", "/a/b") == (hello, {"x": "b"})

    def test_method_decides_between_endpoints(self):
        router = routes(("GET", "/items", hello), ("POST", "/items", item))
        assert router.match("POST", "/items") == (item, {})

    def test_wrong_method_is_a_405_that_says_which_are_right(self):
        added = [("GET", "/a"), ("POST", "/a"), ("PUT", "/{x}"), ("PATCH", "/b")]
        error = refusal(routes(*((*each, item) for each in added)).match, "DELETE", "/a")
        assert error.status == 405, "the path is known, but not with this method"
        allowed = {name.lower(): value for name, value in error.headers.items()}.get("allow", "")
        assert allowed, f"a 405 carries Allow (RFC 9110 section 15.5.6), and its headers are {error.headers}"
        assert sorted(allowed.split(", ")) == ["GET", "HEAD", "POST", "PUT"]

    def test_method_is_looked_for_on_all_paths_that_match(self):
        router = routes(("GET", "/items/me", hello), ("DELETE", "/items/{id}", item))
        assert router.match("DELETE", "/items/me") == (item, {"id": "me"})

    def test_head_goes_where_get_goes(self):
        router = routes(("GET", "/items/{id}", item), ("POST", "/items", item))
        assert router.match("HEAD", "/items/7") == (item, {"id": "7"})
        assert refusal(router.match, "HEAD", "/items").status == 405, "HEAD is a GET, and here is none"

    def test_two_routers_do_not_meddle(self):
        routes(("GET", "/", item))
        assert refusal(routes().match, "GET", "/").status == 404, "it was added to another Router"


def texts(id: "int", q: "str | None" = None): ...
def plain(q): ...
def octets(body: bytes): ...
def perhaps_octets(body: bytes | None): ...
def mapping(body: dict[str, int]): ...
def perhaps_mapping(body: dict | None): ...
def sequence(body: list): ...
def anything(body): ...


BODIES = [(octets, b"\xff", b"\xff"), (perhaps_octets, b"\xff", b"\xff"), (anything, b"7", 7)]
BODIES += [(mapping, b'{"a": 1}', {"a": 1}), (sequence, b"[1]", [1])]
WRONG_BODIES = [(anything, b""), (anything, b"{"), (anything, b"\xff"), (mapping, b"[1]")]
WRONG_BODIES += [(perhaps_mapping, b"[1]"), (sequence, b'{"a": 1}')]


class TestBind:
    def test_path_and_query_become_values(self):
        assert bind(item, {"id": "7"}, {"q": "né", "deep": "1"}, b"") == {"id": 7, "q": "né", "deep": True}

    def test_default_stands_for_what_is_not_given(self):
        assert bind(item, {"id": "0"}, {}, b"") == {"id": 0}, "Python itself fills in what is left out"

    def test_empty_text_is_a_value(self):
        assert bind(plain, {}, {"q": ""}, b"") == {"q": ""}, "q is there, and empty"

    def test_annotation_may_be_a_text(self):
        arguments = bind(texts, {"id": "7"}, {"q": "a"}, b"")
        assert arguments == {"id": 7, "q": "a"}, "`from __future__ import annotations` makes texts of all"

    def test_what_nobody_asks_for_is_left_out(self):
        assert bind(plain, {"id": "7"}, {"q": "a", "utm": "b"}, b"junk") == {"q": "a"}

    def test_name_in_the_path_is_not_taken_from_the_query(self):
        assert bind(item, {"id": "7"}, {"id": "8"}, b"") == {"id": 7}, "/items/7?id=8 is about item 7"

    def test_missing_parameter_is_named(self):
        error = refusal(bind, plain, {}, {"other": "a"}, b"")
        assert (error.status, set(error.detail)) == (422, {"q"})

    def test_every_wrong_parameter_is_named(self):
        error = refusal(bind, item, {"id": "x"}, {"q": "a", "deep": "perhaps"}, b"")
        assert (error.status, set(error.detail)) == (422, {"id", "deep"})

    @pytest.mark.parametrize(("endpoint", "body", "due"), BODIES)
    def test_body_is_given_as_annotated(self, endpoint, body, due):
        assert bind(endpoint, {}, {"body": "not this"}, body) == {"body": due}

    @pytest.mark.parametrize(("endpoint", "body"), WRONG_BODIES)
    def test_wrong_body_is_named(self, endpoint, body):
        error = refusal(bind, endpoint, {}, {}, body)
        assert (error.status, set(error.detail)) == (422, {"body"})

    def test_body_nested_too_deeply_is_named(self):
        assert set(refusal(bind, anything, {}, {}, b"[" * 100_000).detail) == {"body"}


class Soon:
    """An awaitable, and no coroutine."""

    def __await__(self):
        return hello().__await__()


class TestRunEndpoint:
    def test_coroutine_function_needs_no_thread(self):
        executor = Later()
        assert run(run_endpoint(hello, {"name": "né"}, executor, pause)) == {"Hello": "né"}
        assert executor.futures == [], "a coroutine function is called where the event loop is"

    def test_coroutine_function_may_wait(self):
        async def slow():
            return await pause("a while")

        running = run_endpoint(slow, {}, Later(), pause)
        assert step(running) == Paused("a while")
        assert step(running, "over") == Returned("over")

    def test_function_that_may_block_is_left_to_the_executor(self):
        called, executor = [], Later()
        running = run_endpoint(lambda name: called.append(name), {"name": "né"}, executor, pause)
        waits_for = step(running)
        assert len(executor.futures) == 1, "that was left to the executor: while it blocks, all others go on"
        assert called == [], "it was called before the executor came to it"
        assert waits_for == Paused(executor.futures[0]), "what waits for a future is wait(future)"
        assert step(running, executor.run().result()) == Returned(None)
        assert called == ["né"]

    def test_failure_in_a_thread_comes_out(self):
        executor = Later()
        running = run_endpoint(lambda: {}["gone"], {}, executor, pause)
        step(running)
        with pytest.raises(KeyError):
            throw(running, executor.run().exception())

    @pytest.mark.parametrize("returned", [Soon, hello])
    def test_awaitable_that_a_function_returns_is_awaited(self, returned):
        executor = Later()
        running = run_endpoint(lambda: returned(), {}, executor, pause)
        step(running)
        assert step(running, executor.run().result()) == Returned({"Hello": "World"})


def app_with(endpoint, **options):
    """An app that has this endpoint at /, for GET and POST."""
    app = App(**options)
    app.get("/")(endpoint)
    app.post("/")(endpoint)
    return app


def answering(value):
    """An app that answers with value, or fails with it."""

    async def endpoint():
        if isinstance(value, BaseException):
            raise value
        return value

    return app_with(endpoint)


class TestApp:
    def test_json_value_is_answered(self):
        answer = ask(app_with(hello), "GET", "/")
        assert (answer.status, answer.json) == (200, {"Hello": "World"})
        headers = answer.headers.get("content-type"), answer.headers.get("content-length")
        assert headers == ("application/json", str(len(answer.body)))

    def test_decorated_function_stays_what_it_is(self):
        app = App()
        assert (app.get("/")(hello), app.post("/")(hello)) == (hello, hello), "its name has to mean the same"

    def test_path_and_query_are_decoded_once(self):
        app = App()

        @app.get("/items/{id}")
        async def items(id: str, q: str):
            return [id, q]

        assert ask(app, "GET", "/items/100%2525?q=a%20b%2Bc+%C3%A9%26").json == ["100%25", "a b+c é&"]

    @pytest.mark.parametrize(("query", "due"), [("name=", ""), ("name=a&name=b", "b"), ("name=%2525", "%25")])
    def test_query_keeps_empty_values_and_the_last_of_several(self, query, due):
        assert ask(app_with(hello), "GET", f"/?{query}").json == {"Hello": due}

    def test_body_comes_in_pieces(self):
        async def total(body: list, start: int):
            return sum(body, start)

        assert ask(app_with(total), "POST", "/?start=1", b"[1, ", b"", b"2]").json == 4

    def test_reply_is_answered_as_it_says(self):
        answer = ask(answering(Reply(201, "né".encode(), "text/html", {"Location": "/7"})), "POST", "/")
        assert (answer.status, answer.body) == (201, "né".encode())
        headers = [answer.headers.get(name) for name in ("content-type", "content-length", "location")]
        assert headers == ["text/html", "3", "/7"]

    @pytest.mark.parametrize("target", ["/", "/no"])
    def test_head_is_answered_without_a_body(self, target):
        app = app_with(hello)
        answer = ask(app, "HEAD", target)
        assert answer.body == b"", "HEAD is answered without content (RFC 9110 section 9.3.2)"
        assert answer.headers == ask(app, "GET", target).headers, "HEAD asks for the headers of a GET"

    @pytest.mark.parametrize("status", [204, 304])
    def test_answer_without_content_has_no_length(self, status):
        answer = ask(answering(Reply(status, b"junk")), "GET", "/")
        assert (answer.status, answer.body, answer.headers.get("content-length")) == (status, b"", None)

    @pytest.mark.parametrize(
        ("method", "target", "due"), [("GET", "/no", 404), ("PUT", "/", 405), ("GET", "/", 422)]
    )
    def test_refusal_is_answered_in_json(self, method, target, due):
        answer = ask(app_with(item), method, target)
        assert (answer.status, set(answer.json)) == (due, {"detail"})
        assert ("allow" in answer.headers) == (due == 405), f"Allow belongs to 405 alone: {answer.headers}"

    def test_http_error_of_an_endpoint_is_answered(self):
        answer = ask(answering(HTTPError(409, {"taken": 7}, {"Retry-After": "5"})), "GET", "/")
        assert (answer.status, answer.json) == (409, {"detail": {"taken": 7}})
        assert answer.headers.get("retry-after") == "5", "the headers of an HTTPError are part of the answer"

    @pytest.mark.parametrize("value", [LookupError("password"), object(), float("nan"), EOFError()])
    def test_failure_is_a_500_that_tells_nothing(self, value, caplog):
        answer = ask(answering(value), "GET", "/")
        assert (answer.status, answer.json) == (500, {"detail": "Internal Server Error"})
        assert "Traceback" in caplog.text, "no traceback was logged: nobody will ever know what went wrong"

    def test_what_is_no_exception_goes_through(self):
        talk = http()
        with pytest.raises(Stop):
            run(talk.run(answering(Stop())))
        assert talk.sent == [], "nobody is to be answered: a cancellation, for one, is not a failed endpoint"

    def test_failing_send_is_not_tried_again(self):
        talk, sent = http(), []

        async def send(message):
            sent.append(message["type"])
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            run(app_with(hello)(talk.scope, talk.receive, send))
        assert sent == ["http.response.start"], "the client is gone: a 500 does not reach it either"

    def test_client_that_leaves_is_not_answered(self):
        talk, called = http("POST", body=[b"half"], ends=False), []

        async def endpoint(body: bytes):
            called.append(body)

        run(app_with(endpoint)(talk.scope, talk.receive, talk.send))
        assert (called, talk.sent) == ([], []), "half a body is none, and nobody is there to be answered"

    def test_blocking_endpoint_runs_in_a_thread(self):
        called_in = []
        app = app_with(lambda name: called_in.append(threading.get_ident()) or name, wait=at_once)
        assert ask(app, "GET", "/?name=a").json == "a"
        assert called_in != [threading.get_ident()], "while it blocks there, nobody else goes on"

    def test_blocking_endpoints_do_not_wait_for_each_other(self):
        # Each waits until the other has been called as well.
        meeting = threading.Barrier(2)
        app = app_with(lambda: meeting.wait(5), wait=pause)
        talks = [http(), http()]
        running = [talk.run(app) for talk in talks]
        futures = [step(each).value for each in running]
        for each, future in zip(running, futures, strict=True):
            step(each, future.result(5))
        assert {talk.answer.json for talk in talks} == {0, 1}

    def test_wait_is_by_default_that_of_asyncio(self):
        app, release = App(), threading.Event()
        app.get("/blocks")(lambda: release.wait(5))

        @app.get("/releases")
        async def releases():
            release.set()

        async def both():
            return await asyncio.gather(http(target="/blocks").run(app), http(target="/releases").run(app))

        blocked, _ = asyncio.run(both())
        assert blocked.json is True, "the endpoint that blocks kept the other one from running"

    def test_lifespan_calls_startup_and_shutdown(self):
        called = []

        async def startup():
            called.append("startup")

        async def shutdown():
            called.append("shutdown")

        run(life().run(App(startup=startup, shutdown=shutdown)))
        assert called == ["startup", "shutdown"]

    def test_lifespan_is_answered_where_there_is_nothing_to_do(self):
        said = [message["type"] for message in run(life().run(App()))]
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]

    def test_any_other_scope_is_refused(self):
        with pytest.raises(ValueError):
            run(other("websocket").run(app_with(hello)))
