"""One thread serves thousands: callbacks that never wait, and one bad client who harms nobody."""

import errno
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from dojo.kit.causes import must_raise
from dojo.kit.crowd_rules import CrowdRules
from dojo.kit.http_rules import GET, HELLO, LAST, ServerRules, request
from dojo.kit.lint import read_answer, read_answers
from dojo.kit.rounds import Rounds
from dojo.kit.rude import Client
from dojo.kit.serving import Listener
from dojo.kit.sockets import complain
from dojo.kit.split import every_cut
from dojo.kit.spysel import SpySelector, ctrl_c
from katas.c1_http_messages import Response
from katas.c4_selectors_server import HIGH_WATER, Acceptor, Connection, Reactor, SelectorsServer


@pytest.fixture
def rounds():
    with Rounds(Reactor) as rounds:
        yield rounds


class TestReactor:
    def test_ready_socket_is_called_with_its_events(self, rounds):
        client = rounds.watched_client(EVENT_READ, says=b"!")
        rounds.turn()
        assert client.reports == [EVENT_READ]

    def test_only_events_that_are_ready_are_reported(self, rounds):
        client = rounds.watched_client(EVENT_READ | EVENT_WRITE)
        rounds.turn()
        assert client.reports == [EVENT_WRITE], "the socket takes octets, and nobody has sent it any"

    def test_each_ready_socket_has_its_own_callback(self, rounds):
        clients = [rounds.watched_client(EVENT_READ, says=b"!") for _ in range(3)]
        rounds.turn()
        reports = [client.reports for client in clients]
        assert reports == [[EVENT_READ]] * 3, "each was ready once, and each has its own callback"

    def test_change_of_events_keeps_the_callback(self, rounds):
        client = rounds.watched_client(EVENT_READ, says=b"!")
        rounds.reactor.change(client.served, EVENT_WRITE)
        rounds.turn()
        assert client.reports == [EVENT_WRITE]

    def test_removed_socket_is_called_no_more(self, rounds):
        client = rounds.watched_client(EVENT_READ, says=b"!")
        rounds.reactor.remove(client.served)
        rounds.turn()
        assert client.reports == [], "it was removed before this round"

    def test_socket_removed_in_this_round_is_not_called(self, rounds):
        ann, bob = rounds.client(says=b"!"), rounds.client(says=b"!")
        rounds.reactor.add(ann.served, EVENT_READ, lambda ready: rounds.drop(bob))
        rounds.reactor.add(bob.served, EVENT_READ, lambda ready: rounds.drop(ann))
        rounds.turn()
        assert len(rounds.dropped) == 1, "both were ready, and the first callback removed the other socket"

    def test_new_socket_with_an_old_number_is_not_called(self, rounds):
        ann, bob, late = rounds.client(says=b"!"), rounds.client(says=b"!"), rounds.client()

        def replace(old):
            sock = rounds.renumber(late, rounds.drop(old))
            rounds.reactor.add(sock, EVENT_READ, late.reports.append)

        rounds.reactor.add(ann.served, EVENT_READ, lambda ready: replace(bob))
        rounds.reactor.add(bob.served, EVENT_READ, lambda ready: replace(ann))
        rounds.turn()
        assert len(rounds.dropped) == 1, "the first callback removed the other socket: nothing calls it again"
        assert late.reports == [], "it got the number of a socket that was ready, and is not ready itself"

    @pytest.mark.parametrize("timeout", [None, 0, 1.5])
    def test_round_is_one_select_with_that_timeout(self, timeout):
        spy = SpySelector([[]])
        reactor = Reactor(spy)
        reactor.run_once(timeout)
        reactor.close()
        assert spy.timeouts == [timeout]

    def test_close_closes_what_was_not_removed(self, rounds):
        kept, removed = (rounds.watched_client(EVENT_READ).served for _ in range(2))
        rounds.reactor.remove(removed)
        rounds.reactor.close()
        assert kept.fileno() == -1, "what is still added belongs to the reactor, and is closed with it"
        assert removed.fileno() != -1, "what was removed is for others to close"
        assert rounds.selector.get_map() is None, "the selector is still open"


class TestAcceptor:
    def test_new_connection_is_handed_on(self, rounds):
        ann = rounds.client().served
        assert rounds.take_in(Acceptor, ann) == [ann]

    def test_one_event_takes_in_all_who_wait(self, rounds):
        ann, bob, cy = (rounds.client().served for _ in range(3))
        taken = rounds.take_in(Acceptor, ann, bob, cy)
        assert taken == [ann, bob, cy], "an event says that somebody waits, and not how many"

    def test_aborted_connection_is_passed_over(self, rounds):
        ann, bob = (rounds.client().served for _ in range(2))
        aborted = ConnectionAbortedError(errno.ECONNABORTED, "left the queue")
        taken = rounds.take_in(Acceptor, ann, aborted, bob)
        assert taken == [ann, bob], "one has left the queue, and the next one still waits in it"

    @pytest.mark.parametrize(("events", "due"), [(1, 1), (2, 3)])
    def test_lack_of_descriptors_ends_the_event_only(self, rounds, events, due):
        ann, bob, cy = (rounds.client().served for _ in range(3))
        lack = OSError(errno.EMFILE, "too many open files")
        taken = rounds.take_in(Acceptor, ann, lack, bob, cy, events=events)
        assert len(taken) == due, "at the first event accept raised EMFILE; at the next there may be room"

    def test_error_of_on_connection_goes_on_to_the_caller(self, rounds):
        lack = OSError(errno.EMFILE, "too many open files")
        with must_raise(OSError, "on_connection raised it, and not accept: it is not one to pass over"):
            rounds.take_in(Acceptor, rounds.client().served, on_connection_raises=lack)


class TestConnection(ServerRules):
    """Run first, and inherited: what every HTTP server here must show, in dojo/kit/http_rules.py."""

    response = Response

    @pytest.fixture(autouse=True)
    def _use(self, rounds):
        self.rounds = rounds

    def connect(self, app, **client):
        client = self.rounds.client(**client)
        Connection(self.rounds.reactor, client.served, app)
        return client

    def serve(self, app, *pieces):
        client = self.connect(app)
        for piece in pieces:
            client.say(piece)
            self.rounds.rest()
        client.half_close()
        return self.rounds.hear(client)

    def aaa(self, request):
        return Response(200, {}, b"a" * 100_000)

    def test_no_cut_of_the_input_makes_a_difference(self):
        octets = request("POST /", "Content-Length: 5", body=b"Hello") + LAST
        echoed = every_cut(octets, lambda pieces: self.serve(self.mirror, *pieces).count(b"Hello"))
        assert echoed == 1, "the body of the first request, once, whatever the cut"

    def test_kept_connection_answers_at_once_and_rests(self):
        client = self.connect(self.hello)
        for number in [1, 2, 3]:
            client.say(GET)
            self.rounds.turn()
            client.listen_up()
            assert client.heard.count(HELLO) == number, "in the round that reads the request it is answered"
            self.rounds.rest()

    def test_false_alarm_changes_nothing(self):
        client = self.connect(self.hello)
        self.rounds.selector.lie(client.served, EVENT_READ)
        self.rounds.turn()
        assert client.served.fileno() != -1, "readiness is a hint: BlockingIOError is no reason to close"
        client.say(LAST)
        assert HELLO in self.rounds.hear(client)

    def test_answer_that_cannot_be_written_becomes_500(self):
        answer = read_answer(self.serve(lambda request: Response(200, {"X": "a\r\nb"}), GET))
        assert answer.status == 500, "write_response refuses this header, and the client waits for an answer"

    @pytest.mark.parametrize("shyness", [{"at_most": 1_000}, {"refusals": 3}], ids=str)
    def test_unsent_tail_is_sent_later(self, shyness):
        client = self.connect(self.aaa, says=LAST, **shyness)
        body = read_answer(self.rounds.hear(client)).body
        assert len(body) == 100_000, f"to this client's socket ({shyness}), send is not sendall"

    @pytest.mark.parametrize("size", [100_000, 50_000])  # more than HIGH_WATER, and less
    def test_client_who_only_listens_gets_the_tail(self, size):
        client = self.connect(lambda _: Response(200, {}, b"a" * size), says=GET, at_most=10_000, pauses=1)
        _, _, body = self.rounds.hear_out(client).partition(b"\r\n\r\n")
        assert len(body) == size, "it sends nothing, and would take the tail: only EVENT_WRITE tells of that"

    def test_half_closed_client_gets_the_tail_too(self):
        client = self.connect(self.hello, says=GET, refusals=2)
        client.half_close()
        assert HELLO in self.rounds.hear(client), "b'' says that no more will come, not that nobody listens"

    def test_client_who_never_listens_is_answered_in_bounds(self):
        calls = []
        client = self.connect(lambda request: calls.append(request) or self.aaa(request), says=GET * 100)
        self.rounds.rest()
        unsent = len(calls) * 100_000 - len(client.served.taken)
        assert unsent < HIGH_WATER + 101_000, f"{len(calls)} answers were made, {unsent} octets are unsent"

    def test_client_who_never_listens_is_read_in_bounds(self):
        client = self.connect(self.aaa)
        post = request("POST /", "Content-Length: 50000", body=b"b" * 50_000)
        taken = self.rounds.push(client, post, most=5_000_000)  # and listens to nothing
        assert taken < 5_000_000, f"{taken} octets were read from a client who takes no answer"

    def test_requests_held_back_are_answered_in_the_end(self):
        client = self.connect(self.aaa, says=GET * 20 + LAST)
        self.rounds.rest()
        answers = read_answers(self.rounds.hear(client), ["GET"] * 21)
        assert len(answers) == 21, "all were read long ago: no event will tell of them"

    def test_client_still_sending_gets_answer_and_no_reset(self):
        client = self.connect(self.hello, says=LAST + b"a" * 100_000)
        assert read_answer(self.rounds.hear(client)).body == HELLO
        client.say(b"a" * 1_000)
        self.rounds.rest()
        client.half_close()
        self.rounds.rest()
        assert client.served.fileno() == -1, "both have said goodbye, and the socket is still open"

    def test_client_who_never_stops_sending_is_cut_off(self):
        client = self.connect(self.hello, says=LAST)
        self.rounds.hear(client)
        dropped = self.rounds.push(client, b"a" * 50_000, most=10_000_000)
        assert dropped < 10_000_000, f"{dropped} octets were taken behind the last answer: there is a bound"

    def test_client_gone_before_its_answer_ends_it_quietly(self):
        client = self.connect(self.hello, says=GET)
        client.close()
        self.rounds.rest()
        assert client.served.fileno() == -1, "there is nobody to send to, and the socket is still open"

    @pytest.mark.parametrize("error", [ConnectionResetError, RuntimeError])
    def test_whatever_goes_wrong_closes_this_connection_only(self, error):
        good, bad = self.connect(self.hello), self.connect(self.hello, says=GET)
        bad.served.recv_raises = error("in the midst of the callback")
        self.rounds.rest()
        assert bad.served.fileno() == -1, f"recv raised {error.__name__}, and the socket is still open"
        good.say(LAST)
        assert HELLO in self.rounds.hear(good)

    def test_ctrl_c_in_the_app_leaves_the_callback(self):
        self.connect(lambda request: ctrl_c(), says=GET)
        with must_raise(KeyboardInterrupt, "it is no Exception: nobody but the caller of run() may end it"):
            self.rounds.rest()


class TestSelectorsServer(CrowdRules):
    """Run first, and inherited: what every server of many clients must show, in dojo/kit/crowd_rules.py."""

    response, server = Response, SelectorsServer

    def test_stop_may_come_early_often_and_late(self):
        with Listener() as listener, Client(listener.port) as client:
            client.say(GET)
            server = SelectorsServer(listener, lambda request: complain("run() serves on after stop()"))
            assert server.port == listener.port
            server.stop(), server.stop()
            server.run()
            server.stop()
            assert listener.fileno() == -1, "run() has ended, and the listener is still open"

    def test_ctrl_c_leaves_nothing_open(self):
        def app(request):
            server.stop()  # in case it goes on
            raise KeyboardInterrupt

        with Listener() as listener, Client(listener.port) as client:
            server = SelectorsServer(listener, app)
            client.say(GET)
            with pytest.raises(KeyboardInterrupt):
                server.run()
            assert listener.fileno() == -1, "run() has ended, and the listener is still open"
            assert listener.left_open() == [], "run() has ended, and a connection is still open"
