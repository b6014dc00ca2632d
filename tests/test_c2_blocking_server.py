"""A server is a loop around accept and a loop around recv; the art is in how they end."""

import threading
from contextlib import suppress

import pytest

from dojo.kit.crowd_rules import CrowdRules
from dojo.kit.http_rules import GET, HELLO, LAST, ServerRules, request
from dojo.kit.lint import read_answer
from dojo.kit.rude import Client, ask, ask_half_closed, reset
from dojo.kit.serving import Listener, ScriptedListener, no_thread_left, running
from dojo.kit.sockets import Scripted, Sipping, wait_for_input
from dojo.kit.split import every_cut
from katas.c1_http_messages import Response
from katas.c2_blocking_server import LINGER_OCTETS, send_all, serve, serve_connection, serve_in_threads


def hello(request):
    return Response(200, {"Content-Type": "application/json"}, HELLO)


def noting(notes, note):
    """An app that notes something about each request: note(request)."""
    return lambda request: notes.append(note(request)) or Response(200, {}, request.target.encode())


GONE = {
    "leaves-without-a-word": lambda: Scripted(),
    "leaves-in-mid-request": lambda: Scripted(GET[:-9]),
    "resets-in-mid-request": lambda: Scripted(GET[:-9], then="reset"),
    "resets-between-requests": lambda: Scripted(GET, then="reset"),
    "takes-half-an-answer": lambda: Scripted(GET, breaks_after=20),
    "takes-no-400": lambda: Scripted(b"Hello, server!\r\n\r\n", breaks_after=0),
}


class TestSendAll:
    def test_data_arrives_whole_and_in_order(self):
        with Scripted() as client:
            send_all(client, b"Hello, World")
            assert bytes(client.taken) == b"Hello, World"

    @pytest.mark.parametrize("at_most", [1, 5, 11])
    def test_socket_that_takes_little_gets_all(self, at_most):
        with Scripted(at_most=at_most) as client:
            send_all(client, b"Hello, World")
            assert bytes(client.taken) == b"Hello, World", "send returns how much it took: maybe not all"

    def test_broken_connection_reaches_the_caller(self):
        with Scripted(at_most=5, breaks_after=10) as client, pytest.raises(BrokenPipeError):
            send_all(client, b"Hello, World")


class TestServeConnection(ServerRules):
    """Run first, and inherited: what every HTTP server here must show, in dojo/kit/http_rules.py."""

    response = Response

    def serve(self, app, *pieces):
        with Scripted(*pieces) as client:
            serve_connection(client, app)
            return bytes(client.taken)

    def test_no_cut_of_the_input_makes_a_difference(self):
        sent = GET + request("POST /", "Content-Length: 5", body=b"Hello") + LAST
        due = [("/", b""), ("/", b"Hello"), ("/last", b"")]

        def seen_by_app(pieces):
            seen = []
            self.serve(noting(seen, lambda request: (request.target, request.body)), *pieces)
            return seen

        assert seen_by_app([sent]) == due, "three requests came in one piece: target and body of each"
        every_cut(sent, seen_by_app)

    def test_large_answer_is_sent_to_the_last_octet(self):
        with Scripted(LAST, at_most=1_000) as client:
            serve_connection(client, lambda request: Response(200, {}, b"a" * 9_000))
            assert client.taken.count(b"a" * 1_000) == 9, "a send took 1000 octets, and the rest was not sent"

    def test_fault_in_a_head_is_answered_without_content(self):
        self.answer_is(400, "this request has no Host", hello, b"HEAD / HTTP/1.1\r\n\r\n", "HEAD")

    def test_answer_that_cannot_be_written_becomes_500(self):
        cause = "write_response refuses this header, and the client waits for an answer"
        self.answer_is(500, cause, lambda request: Response(200, {"X": "a\r\nb"}), GET)

    # Clients who are gone

    def test_socket_is_closed_after_the_last_answer(self):
        with Scripted(LAST) as client:
            serve_connection(client, hello)
            assert client.fileno() == -1, "the socket is still open"

    @pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
    def test_client_who_is_gone_ends_it_quietly(self, gone):
        with gone() as client:
            serve_connection(client, hello)
            assert client.fileno() == -1, "the socket is still open"

    def test_socket_is_closed_whatever_the_app_raises(self):
        def app(request):
            raise KeyboardInterrupt

        with Scripted(GET) as client:
            with suppress(KeyboardInterrupt):
                serve_connection(client, app)
            assert client.fileno() == -1, "the socket is still open"

    # The close in two stages

    def test_client_still_sending_gets_answer_and_no_reset(self):
        octets = LAST + b"a" * 5_000
        with Listener() as listener, Client(listener.port) as client:
            client.say(octets)
            client.half_close()
            with Sipping(listener.accept()[0], at_most=1_000) as sock:
                wait_for_input(sock, len(octets))
                serve_connection(sock, hello)
            assert read_answer(client.read_to_end()).body == HELLO

    def test_client_who_waits_for_the_end_is_told(self):
        with Scripted(LAST, then="waits") as client:
            serve_connection(client, hello)
            assert read_answer(bytes(client.taken)).body == HELLO

    def test_what_still_comes_is_read_before_the_close(self):
        with Scripted(LAST, b"a" * 500, b"b" * 500) as client:
            serve_connection(client, hello)
            assert client.unread == 0, "the close left octets unread, for which TCP sends a reset"

    def test_client_who_never_closes_is_not_waited_for(self):
        with Scripted(LAST, then="silence") as client:
            serve_connection(client, hello)
            assert client.fileno() == -1, "the socket is still open"

    def test_client_who_never_stops_sending_is_cut_off(self):
        with Scripted(LAST, then="endless", endless_after=4 * LINGER_OCTETS) as client:
            serve_connection(client, hello)
            assert client.fileno() == -1, "the socket is still open"


class TestServe:
    def test_closed_listener_is_the_end(self):
        with ScriptedListener() as listener:
            assert serve(listener, hello) is None

    def test_clients_are_served_one_after_the_other(self):
        clients = [Scripted(request("GET /a1") + request("GET /a2")), Scripted(request("GET /b"))]
        targets = []
        with ScriptedListener(*clients) as listener:
            serve(listener, noting(targets, lambda request: request.target))
        assert targets == ["/a1", "/a2", "/b"]

    def test_app_is_called_in_the_calling_thread(self):
        threads = []
        with ScriptedListener(Scripted(GET)) as listener, no_thread_left():
            serve(listener, noting(threads, lambda _: threading.current_thread()))
        assert threads == [threading.current_thread()], "one client at a time needs one thread"

    def test_aborted_connection_is_not_the_end(self):
        client = Scripted(LAST)
        with ScriptedListener(ConnectionAbortedError(), client) as listener:
            serve(listener, hello)
        assert HELLO in client.taken, f"one client left the queue, and the next got {bytes(client.taken)!r}"

    @pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
    def test_bad_client_harms_nobody(self, gone):
        client = Scripted(LAST)
        with ScriptedListener(gone(), client) as listener:
            serve(listener, hello)
        assert HELLO in client.taken, f"the next client got {bytes(client.taken)!r}"

    def test_every_client_gets_hello_over_tcp(self):
        with running(serve, hello) as server:
            answers = [read_answer(ask(server.port, LAST)) for _ in range(3)]
        assert [answer.body for answer in answers] == [HELLO] * 3

    def test_half_closed_client_gets_its_answer(self):
        with running(serve, hello) as server:
            answer = read_answer(ask_half_closed(server.port, GET))
        assert answer.body == HELLO, "the client has ended its sending side, and still listens"

    def test_reset_over_tcp_harms_nobody(self):
        with running(serve, hello) as server:
            reset(server.port, GET)
            reset(server.port, GET[:-9])
            answer = read_answer(ask(server.port, LAST))
        assert answer.body == HELLO


class TestServeInThreads(CrowdRules):
    """Run first, and inherited: what every server of many clients must show, in dojo/kit/crowd_rules.py."""

    response, server = Response, staticmethod(serve_in_threads)
    concurrent, crowd = True, 20
    test_stop_ends_a_server_that_is_asleep = None  # a thread that waits for its client ends with that client

    def test_silent_client_keeps_nobody_out(self):
        with self.running(hello) as server, Client(server.port):
            answer = read_answer(ask(server.port, LAST))
        assert answer.body == HELLO

    def test_each_client_has_a_thread_of_its_own(self):
        threads = []
        with ScriptedListener(Scripted(GET + GET), Scripted(LAST)) as listener, no_thread_left():
            serve_in_threads(listener, noting(threads, lambda _: threading.current_thread()))
        assert len(set(threads)) == 2, "two clients, one with two requests, are two threads"

    def test_threads_of_clients_are_daemons(self):
        threads = []
        with ScriptedListener(Scripted(LAST)) as listener, no_thread_left():  # threads of daemons are daemons
            arguments = listener, noting(threads, lambda _: threading.current_thread())
            threading.Thread(target=serve_in_threads, args=arguments, daemon=False).start()
        assert [thread.daemon for thread in threads] == [True], "a silent client keeps the program alive"

    def test_aborted_connection_is_not_the_end(self):
        client = Scripted(LAST)
        with ScriptedListener(ConnectionAbortedError(), client) as listener, no_thread_left():
            serve_in_threads(listener, hello)
        assert HELLO in client.taken, f"one client left the queue, and the next got {bytes(client.taken)!r}"
