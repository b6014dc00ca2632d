"""All that you have written, in one process: client, event loop, server, framework, database."""

import logging
import sqlite3
from itertools import islice
from socket import create_server, socket
from urllib.parse import urlencode

import pytest

from dojo.kit import asgi_by_hand
from dojo.kit.asgi import life
from dojo.kit.asgi_apps import noting, sending
from dojo.kit.asgi_by_hand import at_once
from dojo.kit.blocking import threads_take_long
from dojo.kit.by_hand import Paused, step
from dojo.kit.by_hand import ask as pause
from dojo.kit.causes import must_raise
from dojo.kit.databases import left_over
from dojo.kit.doors import Door
from dojo.kit.http_rules import request
from dojo.kit.lint import read_answer
from dojo.kit.manual_clock import ManualClock
from dojo.kit.pages import Page
from dojo.kit.rude import Client, ask
from dojo.kit.serving import running
from dojo.kit.sockets import pair
from dojo.kit.visitor import Visitor
from katas.a2_pascal_triangle import pascal_triangle, render
from katas.c1_http_messages import Request, Response, write_response
from katas.d1_coroutine_scheduler import Scheduler, join, sleep
from katas.d2_socket_io import serve
from katas.d3_cancellation import Cancelled, cancel
from katas.f1_asgi_app import hello, read_body
from katas.f4_async_database import Database, DatabaseThread
from katas.f5_capstone import MAX_ROWS, ROWS, SCHEMA, asgi_handler, get, make_app, run

START = {"type": "http.response.start", "status": 200}
MORE = {"type": "http.response.body", "body": b"Hel", "more_body": True}
LAST = {"type": "http.response.body", "body": b"lo"}
NO_ANSWERS = {
    "nothing": [],
    "a start alone": [START],
    "a start, and a body without an end": [START, MORE],
    "a body without a start": [LAST],
    "two starts": [START, START, LAST],
    "a body behind the end": [START, LAST, LAST],
    "a start behind the end": [START, LAST, START],
    "http.nonsense": [START, {**MORE, "type": "http.nonsense"}, LAST],
}


def answered(app, method="GET", target="/", headers=None, body=b""):
    """What the handler makes of the app's answer to one request, with no event loop anywhere."""
    return asgi_by_hand.run(asgi_handler(app)(Request(method, target, headers or {}, body)))


def scope_of(*args):
    """The scope that the app is given for this request."""
    scopes = []
    answered(noting(scopes, hello), *args)
    return scopes[0]


class TestAsgiHandler:
    def test_request_becomes_an_http_scope(self):
        scope = scope_of("DELETE", "/items/7", {"host": "kata", "cookie": "né"})
        assert (scope["type"], scope["asgi"]["version"], scope["http_version"]) == ("http", "3.0", "1.1")
        assert (scope["method"], scope["scheme"], scope["root_path"]) == ("DELETE", "http", "")
        assert (scope["path"], scope["query_string"]) == ("/items/7", b""), "there is no ? in the target"
        headers = [tuple(pair) for pair in scope["headers"]]
        assert headers == [(b"host", b"kata"), (b"cookie", b"n\xe9")], "pairs of octets: C1 reads Latin-1"

    def test_path_is_decoded_once_and_raw_path_not_at_all(self):
        scope = scope_of("GET", "/caf%C3%A9%2525?q=a%20b?")
        assert scope["path"] == "/café%25", "%25 is a percent sign, which decodes nothing behind it"
        assert (scope["raw_path"], scope["query_string"]) == (b"/caf%C3%A9%2525", b"q=a%20b?")

    def test_body_is_received_and_then_the_end(self):
        received = []

        async def app(scope, receive, send):
            received.append(await read_body(receive))
            received.append(await receive())
            await hello(scope, receive, send)

        answered(app, "POST", "/", {}, b"Hello")
        assert received == [b"Hello", {"type": "http.disconnect"}]

    def test_answer_of_an_app_becomes_a_response(self):
        response = answered(hello)
        assert (response.status, response.body) == (200, b'{"Hello": "World"}')
        assert response.headers.get("content-type") == "application/json"

    def test_pieces_of_an_answer_are_put_together(self):
        assert answered(sending(START, MORE, MORE, LAST)).body == b"HelHello"

    def test_headers_and_body_may_be_left_out(self):
        response = answered(sending(START, {"type": "http.response.body"}))
        assert (response.status, response.headers, response.body) == (200, {}, b"")

    def test_values_of_a_repeated_header_are_joined(self):
        pairs = [(b"vary", b"a"), (b"vary", b"b")]
        assert answered(sending({**START, "headers": pairs}, LAST)).headers == {"vary": "a, b"}

    def test_head_has_the_length_that_get_would_have(self):
        async def app(scope, receive, send):
            await send(START)
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"Hello"})

        wire = write_response(answered(app, "HEAD"), "HEAD")
        assert read_answer(wire, "HEAD").headers["content-length"] == "5", (
            "C1 counts the octets of the body, and then leaves them out: an app that is told HEAD has none"
        )

    @pytest.mark.parametrize("what", NO_ANSWERS)
    def test_what_is_no_answer_is_an_error(self, what):
        with must_raise(RuntimeError, f"the app has sent {what}, and a client takes it for its whole answer"):
            answered(sending(*NO_ANSWERS[what]))

    def test_app_is_told_of_a_message_that_is_not_due(self):
        async def app(scope, receive, send):
            with must_raise(
                RuntimeError, "send() is where the app learns that a body has come before a start"
            ):
                await send(LAST)
            await hello(scope, receive, send)

        assert answered(app).status == 200

    @pytest.mark.parametrize("messages", [[], [START, LAST]], ids=["before", "after"])
    def test_failure_of_the_app_comes_out(self, messages):
        with pytest.raises(LookupError):
            answered(sending(*messages, fails=LookupError("no such place")))

    def test_two_requests_at_a_time_do_not_mix(self):
        async def app(scope, receive, send):
            await send(START)
            await pause("a while")
            await send({"type": "http.response.body", "body": scope["raw_path"]})

        handler = asgi_handler(app)
        both = [handler(Request("GET", target)) for target in ("/a", "/b")]
        assert [step(each) for each in both] == [Paused("a while")] * 2, "what the app waits for goes through"
        assert [step(each).result.body for each in both] == [b"/a", b"/b"]


def on_one_scheduler(app, client, scheduler=None):
    """Run client(url), and beside it your server, both on one scheduler and in one thread."""
    scheduler = scheduler or Scheduler()
    with create_server(("127.0.0.1", 0)) as listener:
        scheduler.spawn(serve(listener, app))
        return scheduler.run(client(f"http://127.0.0.1:{listener.getsockname()[1]}/a?b"))


class TestGet:
    def test_own_client_is_answered_by_own_server(self):
        asked = []

        def app(request):
            asked.append((request.method, request.target, request.keep_alive))
            return Response(201, {}, bytes(900_000))

        answer = on_one_scheduler(app, lambda url: get(url, 5))
        assert (answer.status, len(answer.body)) == (201, 900_000)
        assert asked == [("GET", "/a?b", False)]

    @pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://127.0.0.1:1/a b"])
    def test_what_is_no_url_is_refused(self, url):
        with pytest.raises(ValueError):  # noqa: PT011
            Scheduler().run(get(url, 5))

    def test_nobody_there_is_an_error(self):
        with socket() as silent:
            silent.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError):
                Scheduler().run(get(f"http://127.0.0.1:{silent.getsockname()[1]}/", 5))

    def test_deadline_is_kept(self):
        clock = ManualClock()

        async def app(_):
            clock.now += 6
            for _ in range(20):
                await sleep(0)  # now everybody has heard of it
            return Response()

        with pytest.raises(TimeoutError):
            on_one_scheduler(app, lambda url: get(url, 5), Scheduler(clock))

    def test_connection_is_closed_on_cancellation(self):
        scheduler, client = Scheduler(), []

        async def app(_):
            await cancel(client[0])
            return Response()

        async def main(url):
            client.append(scheduler.spawn(get(url, 5)))
            with pytest.raises(Cancelled):
                await join(client[0])

        on_one_scheduler(app, main, scheduler)


NAMES = {
    "né + b": "a form's body is name=n%C3%A9+%2B+b: decode it, as UTF-8",
    '<b> & "c"': "keep what was typed: it is HTML only on the page, and escaped there",
    "'); DROP TABLE items; --": "a name is a value: write ? in the SQL, and hand it over beside that",
}


@pytest.fixture
def database():
    """A database in memory, whose thread everybody waits for on the spot."""
    thread = DatabaseThread(":memory:", at_once)
    asgi_by_hand.run(Database(thread).execute(SCHEMA))
    yield Database(thread)
    asgi_by_hand.run(thread.aclose())


@pytest.fixture
def site(database):
    """The app, and somebody who visits it."""
    return Visitor(make_app(database, at_once))


@pytest.fixture
def with_gap(database):
    """Two items, once there were more."""
    asgi_by_hand.run(database.execute("INSERT INTO items(id, name) VALUES (9, 'né'), (7, 'b')"))


class TestMakeApp:
    def test_form_adds_an_item(self, site):
        site.post("/items", name="b")
        site.post("/items", name="a")
        due = [{"id": 1, "name": "b"}, {"id": 2, "name": "a"}]
        assert site.get("/items").json == due, "each POST adds one, and they stand in the order of their ids"

    @pytest.mark.parametrize(("name", "cause"), NAMES.items(), ids=["encoded", "html", "sql"])
    def test_name_is_kept_as_it_was_typed(self, site, name, cause):
        site.post("/items", name=name)
        assert site.get("/items").json == [{"id": 1, "name": name}], cause

    def test_form_leads_back_to_the_page(self, site):
        answer = site.post("/items", name="a")
        assert (answer.status, answer.headers.get("location")) == (303, "/"), "303 makes a GET of the POST"

    @pytest.mark.parametrize("fields", [{}, {"name": ""}, {"other": "a"}], ids=["", "name=", "other=a"])
    def test_item_without_a_name_is_refused(self, site, fields):
        answer = site.post("/items", **fields)
        assert answer.status == 422
        assert list(answer.json["detail"]) == ["name"]
        assert site.get("/items").json == []

    def test_item_is_found_by_its_id(self, site, with_gap):
        assert site.get("/items/9").json == {"id": 9, "name": "né"}

    @pytest.mark.parametrize("id", ["1", "-1", str(2**63), str(-(2**64))])
    def test_item_that_is_not_there_is_a_404(self, site, with_gap, id):
        assert site.get(f"/items/{id}").status == 404

    def test_page_shows_triangle_and_form(self, site):
        answer, page = site.get("/"), site.page
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert render(islice(pascal_triangle(), ROWS)) in page.text
        assert [(form.action, form.method, form.fields) for form in page.forms] == [
            ("/items", "post", ["name"])
        ]

    def test_page_links_every_item(self, site, with_gap):
        assert site.page.links == {"/items/7": "b", "/items/9": "né"}, "an item is where its id says"

    def test_name_is_text_and_not_html(self, site):
        name = "<script>alert('&amp;')</script> $items"
        site.post("/items", name=name)
        assert site.page.links == {"/items/1": name}, (
            "html.escape makes text of what looks like HTML: else it runs as a program in everybody's browser"
        )

    @pytest.mark.parametrize("rows", [0, 4])
    def test_triangle_is_as_large_as_asked_for(self, site, rows):
        answer = site.get(f"/triangle/{rows}")
        assert answer.body.decode() == render(islice(pascal_triangle(), rows))
        assert answer.headers["content-type"].partition(";")[0] == "text/plain"

    @pytest.mark.parametrize(("rows", "status"), [(-1, 404), (MAX_ROWS, 200), (MAX_ROWS + 1, 404)])
    def test_triangle_has_at_most_so_many_rows(self, site, rows, status):
        assert site.get(f"/triangle/{rows}").status == status

    def test_triangle_is_waited_for_by_wait(self, database):
        waited = []
        app = make_app(database, lambda future: waited.append(future) or at_once(future))
        Visitor(app).get("/triangle/4")
        assert len(waited) == 1, "a plain def runs in a thread, and who waits for that is wait(future)"

    def test_startup_makes_the_table_once(self):
        thread = DatabaseThread(":memory:", at_once)
        app = make_app(Database(thread), at_once)
        for _ in range(2):
            said = [message["type"] for message in asgi_by_hand.run(life().run(app))]
            assert said[0] == "lifespan.startup.complete", "the table may be there from last time"
            Visitor(app).post("/items", name="a")
        assert len(Visitor(app).get("/items").json) == 2, "the items of last time are still there"
        asgi_by_hand.run(thread.aclose())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "items.db"


FORM = urlencode({"name": "né"}).encode()
GET = request("GET /", "Connection: close")
POST = request("POST /items", "Connection: close", f"Content-Length: {len(FORM)}", body=FORM)
TRIANGLE = request("GET /triangle/2", "Connection: close")
NOWHERE = request("GET /nowhere", "Connection: close")


class TestRun:
    def test_item_is_there_next_time(self, path):
        with running(run, path) as server:
            assert read_answer(ask(server.port, POST)).status == 303
        with running(run, path) as server:
            assert Page(read_answer(ask(server.port, GET)).body.decode()).links == {"/items/1": "né"}

    def test_own_client_is_answered_by_all_of_it(self, path, caplog):
        caplog.set_level(logging.CRITICAL)  # a traceback that is kept would keep the app, and its threads
        with running(run, path) as server:
            response = Scheduler().run(get(f"http://127.0.0.1:{server.port}/triangle/2", 5))
        assert (response.status, response.body) == (200, b" 1\n1 1")

    @pytest.mark.parametrize("busy", [POST, TRIANGLE], ids=["database", "triangle"])
    def test_others_are_served_while_a_thread_is_busy(self, path, busy):
        with running(run, path) as server, Client(server.port) as slow:
            ask(server.port, GET)  # by then the table is made
            with threads_take_long():
                slow.say(busy)
                other = ask(server.port, NOWHERE)
            assert read_answer(other).status == 404
            assert read_answer(slow.read_to_end()).status < 400

    def test_file_that_cannot_be_opened_is_an_error(self, tmp_path):
        missing = tmp_path / "no folder" / "items.db"
        with socket() as listener, left_over() as left, pytest.raises(sqlite3.OperationalError):
            run(listener, missing)
        assert left == [], "a thread of the database goes on, and nobody can end it any more"

    def test_database_is_closed_after_ctrl_c(self, path):
        class Interrupted(socket):
            def recv(self, *_):
                raise KeyboardInterrupt

        browser, served = pair()
        with (
            browser,
            Interrupted(fileno=served.detach()) as client,
            Door(client) as listener,
            left_over() as left,
        ):
            browser.sendall(GET)
            with pytest.raises(KeyboardInterrupt):
                run(listener, path)
        assert left == [], "a thread of the database goes on, and nobody can end it any more"
