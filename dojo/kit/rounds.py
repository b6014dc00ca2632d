"""A reactor in the test's hand: turned round by round, its clients in the same thread; nothing ever waits."""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

import pytest

from dojo.kit.sockets import Shy, complain

# A pair of sockets delivers at once, but on Windows it is a TCP connection.
GRACE = 0.01 if os.name == "nt" else 0.0
ROUNDS = 1_000  # more than any right answer needs
PATIENCE = 10  # answers of "nobody waits", while a test lasts
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
        return self.reported

    def watches(self, number: int) -> int:
        """Return the events that the socket with this number is registered for; 0 where it is not."""
        return {key.fd: key.events for key in (self.get_map() or {}).values()}.get(number, 0)


class Served(Shy):
    """The served end of a pair: Shy, and it complains when it is closed while a selector watches it.

    Where `recv_raises` is set, recv raises that.
    """

    def __init__(self, real: socket.socket, selector: HandSelector, **shyness: int) -> None:
        super().__init__(real, **shyness)
        self.recv_raises: Exception | None = None
        self._selector = selector

    def _receive(self, bufsize: int, flags: int) -> bytes:
        if self.recv_raises is not None:
            raise self.recv_raises
        if self.getblocking():
            complain("recv was called on a blocking socket: one silent client would stop the whole server")
        return super()._receive(bufsize, flags)

    def close(self) -> None:
        watched = self._selector.watches(self.fileno())
        super().close()
        if watched:
            complain(
                "the socket was closed while the selector still watched it: remove it first. "
                "The next connection may get its number"
            )


class Client(socket.socket):
    """The client's end of a pair. `served` is the other end, `heard` is what came, `ended` whether it ended.

    `reports` is a list for whoever wants to note what was reported of the served end.
    """

    def __init__(self, real: socket.socket, served: socket.socket) -> None:
        super().__init__(real.family, real.type, real.proto, fileno=real.detach())
        self.setblocking(False)
        self.served: Any = served
        self.heard = bytearray()
        self.ended = False
        self.reports: list[int] = []

    def say(self, octets: bytes) -> None:
        """Send octets, which are few enough to be taken at once."""
        try:
            sent = self.send(octets)
        except ConnectionError as error:
            raise AssertionError(
                f"the client could send no more ({error!r}): the socket was closed too early"
            ) from error
        assert sent == len(octets), f"the network took {sent} of {len(octets)} octets"

    def half_close(self) -> None:
        """End the sending side; answers can still come."""
        self.shutdown(socket.SHUT_WR)

    def listen_up(self) -> bool:
        """Take what has come; return whether there was something, an end for one."""
        before = len(self.heard)
        while not self.ended:
            try:
                chunk = self.recv(65_536)
            except BlockingIOError:
                return len(self.heard) > before
            except ConnectionError as error:
                raise AssertionError(
                    f"the client got a reset in place of the end, after {len(self.heard)} octets: "
                    "that is what closing means while input is unread"
                ) from error
            self.heard += chunk
            if not chunk:
                self.ended = True
                return True
        return False


class Arrivals(socket.socket):
    """A listener that is always readable, and whose accept follows a script; then nobody waits any more."""

    def __init__(self, *arrivals: socket.socket | OSError) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours.family, ours.type, ours.proto, fileno=ours.detach())
        self._theirs.send(b"!")  # never read
        self._arrivals = list(arrivals)
        self._in_vain = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.getblocking():
            complain("accept was called on a blocking listener: it waits for somebody who may never come")
        if not self._arrivals:
            self._in_vain += 1
            if self._in_vain > PATIENCE:
                complain("accept was called over and over after BlockingIOError: nobody waits any more")
            raise BlockingIOError(errno.EWOULDBLOCK, "nobody waits any more: the end of this event")
        arrival = self._arrivals.pop(0)
        if isinstance(arrival, OSError):
            raise arrival
        return arrival, ("127.0.0.1", 49152)

    def close(self) -> None:
        self._theirs.close()
        super().close()


class Rounds:
    """Makes pairs of sockets, and turns the reactor that make_reactor(selector) makes. For a `with`."""

    def __init__(self, make_reactor: Callable[[selectors.BaseSelector], Any]) -> None:
        self.selector = HandSelector()
        self.reactor = make_reactor(self.selector)
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
        client = Client(ours, Served(theirs, self.selector, **shyness))
        self._clients.append(client)
        client.say(says)
        return client

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
