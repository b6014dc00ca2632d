"""One thread serves thousands: callbacks that never wait, and one bad client who harms nobody."""

import errno
from selectors import EVENT_READ, EVENT_WRITE

import pytest

from dojo.kit.crowd_rules import CrowdRules
from dojo.kit.http_rules import GET, HELLO, LAST, ServerRules, request
from dojo.kit.lint import read_answer, read_answers
from dojo.kit.rounds import Arrivals, Rounds
from dojo.kit.rude import Client
from dojo.kit.serving import Listener, running
from dojo.kit.split import every_cut
from dojo.kit.spysel import SpySelector
from katas.c1_http_messages import Response
from katas.c4_selectors_server import HIGH_WATER, LINGER_OCTETS
from katas.c4_selectors_server import Acceptor, Connection, Reactor, SelectorsServer


@pytest.fixture
def rounds():
    with Rounds(Reactor) as rounds:
        yield rounds


class TestReactor:
    def test_ready_socket_is_called_with_its_events(self, rounds):
        client = rounds.client(says=b"!")
        rounds.reactor.add(client.served, EVENT_READ, client.reports.append)
        rounds.turn()
        assert client.reports == [EVENT_READ]

    def test_only_events_that_are_ready_are_reported(self, rounds):
        client = rounds.client()
        rounds.reactor.add(client.served, EVENT_READ | EVENT_WRITE, client.reports.append)
        rounds.turn()
        assert client.reports == [EVENT_WRITE], "the socket takes octets, and nobody has sent it any"

    def test_each_ready_socket_has_its_own_callback(self, rounds):
        called = []
        for name in ["ann", "bob", "cy"]:
            client = rounds.client(says=b"!")
            rounds.reactor.add(client.served, EVENT_READ, lambda ready, name=name: called.append(name))
        rounds.turn()
        assert sorted(called) == ["ann", "bob", "cy"], "three sockets were ready, each with its own callback"

    def test_change_of_events_keeps_the_callback(self, rounds):
        client = rounds.client(says=b"!")
        rounds.reactor.add(client.served, EVENT_READ, client.reports.append)
        rounds.reactor.change(client.served, EVENT_WRITE)
        rounds.turn()
        assert client.reports == [EVENT_WRITE]

    def test_removed_socket_is_called_no_more(self, rounds):
        client = rounds.client(says=b"!")
        rounds.reactor.add(client.served, EVENT_READ, client.reports.append)
        rounds.reactor.remove(client.served)
        rounds.turn()
        assert client.reports == [], "it was removed before this round"

    def test_socket_removed_in_this_round_is_not_called(self, rounds):
        ann, bob, called = rounds.client(says=b"!"), rounds.client(says=b"!"), []
        for name, other in [("ann", bob), ("bob", ann)]:
            hang_up = lambda ready, name=name, other=other: (called.append(name), rounds.hang_up(other))
            rounds.reactor.add((ann if other is bob else bob).served, EVENT_READ, hang_up)
        rounds.turn()
        assert len(called) == 1, f"both were ready, and {called[0]}'s callback removed and closed the other"
