"""A reactor in the test's hand: turned round by round, its clients in the same thread; nothing ever waits."""

from __future__ import annotations

import os
import selectors
import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

import pytest

from dojo.kit.ends import Arrivals, Client, Served
from dojo.kit.sockets import complain

# A pair of sockets delivers at once, but on Windows it is a TCP connection.
GRACE = 0.01 if os.name == "nt" else 0.0
ROUNDS = 1_000  # more than any right answer needs
NAMES = {0: "nothing", EVENT_READ: "reading", EVENT_WRITE: "writing", 3: "reading and writing"}


class HandSelector(selectors.DefaultSelector):
    """A selector that looks and never waits, remembers what it reported, and can be made to lie."""

    def __init__(self) -> None:
        super().__init__()
        self.reported: list[tuple[selectors.SelectorKey, int]] = []
        self._lies: list[tuple[socket.socket, int]] = []

    def lie(self, sock: socket.socket, events: int) -> None:
        """Report events of sock in the next round, if they are asked for, though they are not so."""
        self._lies.append((sock, events))

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.reported = super().select(GRACE)
        while self._lies:
            sock, events = self._lies.pop()
            key = self.get_key(sock)
            self.reported.append((key, events & key.events))
        return list(self.reported)  # a list of its own, for the caller to use up

    def watches(self, number: int) -> int:
        """Return the events that the socket with this number is registered for; 0 where it is not."""
        return {key.fd: key.events for key in (self.get_map() or {}).values()}.get(number, 0)


class Rounds:
    """Makes clients, and turns the reactor that make_reactor(selector) has made. For a `with`."""

    def __init__(self, make_reactor: Callable[[selectors.BaseSelector], Any]) -> None:
        self.selector = HandSelector()
        self.reactor = make_reactor(self.selector)
        self.dropped: list[Client] = []
        self._clients: list[Client] = []

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, *_: object) -> None:
        self.selector.close()
        for client in self._clients:
            client.close()
            client.served.close()

    def client(self, says: bytes = b"", **shyness: int) -> Client:
        """Return a new client that has said this; the socket to serve is its `served`, as Shy as told."""
        ours, theirs = socket.socketpair()
        client = Client(ours, Served(theirs, self.selector.watches, **shyness))
        self._clients.append(client)
        client.say(says)
        return client

    def watched_client(self, events: int, says: bytes = b"") -> Client:
        """Return a new client that has said this, whose served end reports these events to `reports`."""
        client = self.client(says)
        self.reactor.add(client.served, events, client.reports.append)
        return client

    def take_in(
        self,
        acceptor: Any,
        *arrivals: socket.socket | OSError,
        events: int = 1,
        on_connection_raises: Exception | None = None,
    ) -> list[Any]:
        """Return what acceptor(reactor, listener, on_connection) hands on when these arrive."""
        taken: list[Any] = []

        def on_connection(sock: Any) -> None:
            taken.append(sock)
            if on_connection_raises is not None:
                raise on_connection_raises

        with Arrivals(*arrivals) as listener:
            acceptor(self.reactor, listener, on_connection)
            for _ in range(events):
                self.turn()
        return taken

    def drop(self, client: Client) -> int:
        """Remove the served end of client from the reactor and close it; return the number that it had."""
        number: int = client.served.fileno()
        self.dropped.append(client)
        self.reactor.remove(client.served)
        client.served.close()
        return number

    def renumber(self, client: Client, number: int) -> socket.socket:
        """Give the served end of client this number, and return it: a new socket in place of the old."""
        old = client.served
        try:
            os.dup2(old.fileno(), number)
        except OSError:
            pytest.skip("no number can be chosen for a socket on this system")
        new = client.served = socket.socket(old.family, old.type, old.proto, fileno=number)
        old.close()
        return new

    def turn(self) -> bool:
        """Let the reactor run one round; return whether its selector had something to report."""
        self.selector.reported = []
        self.reactor.run_once(0)
        return bool(self.selector.reported)

    def rest(self) -> None:
        """Turn until there is nothing to do; complain where that never comes."""
        for _ in range(ROUNDS):
            if not self.turn():
                return
        ready = ", ".join(f"fd {key.fd} ready for {NAMES[events]}" for key, events in self.selector.reported)
        complain(
            f"after {ROUNDS} rounds the selector still comes back at once ({ready}), and nobody has anything "
            "to say any more: events that are not needed, or an end (b'') not noticed, make the loop spin"
        )

    def hear(self, client: Client) -> bytes:
        """Turn, and let client listen, until it has heard the end; return all that it heard."""
        for _ in range(ROUNDS):
            turned, heard = self.turn(), client.listen_up()
            if client.ended:
                return bytes(client.heard)
            if not turned and not heard:
                watched = self.selector.watches(client.served.fileno())
                complain(
                    f"nothing is ready any more, and the client still waits. It has heard "
                    f"{bytes(client.heard[-60:])!r}; the selector was asked for {NAMES[watched]}"
                )
        complain(f"after {ROUNDS} rounds the client, who has heard {len(client.heard)} octets, still waits")

    def hear_out(self, client: Client) -> bytes:
        """Turn, and let client listen, until there is nothing to do; return all that it has heard."""
        self.rest()
        while client.listen_up():
            self.rest()
        return bytes(client.heard)

    def push(self, client: Client, octets: bytes, most: int) -> int:
        """Let client, which hears nothing, send octets over and over, until nobody takes any more.

        Returns how many were taken; it stops at `most`.
        """
        taken = 0
        while taken < most:
            at = taken % len(octets)
            try:
                taken += client.send(octets[at:])
            except BlockingIOError:
                if not self.turn():
                    break
            except ConnectionError:
                break
        return taken
