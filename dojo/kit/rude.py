"""Clients on TCP, plain and rude: they ask, hang up half-way, reset, drip, or sit there."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

PATIENCE = 5.0  # seconds: no right answer comes near it


class Client(socket.socket):
    """A client connected to a port of this machine, for a `with`; what goes wrong, it says in a sentence."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.settimeout(PATIENCE)
        try:
            self.connect(("127.0.0.1", port))
        except OSError as error:
            self.close()
            raise AssertionError(
                f"nobody listens any more: the server has come to its end ({error!r})"
            ) from error

    def say(self, octets: bytes) -> None:
        """Send all octets."""
        try:
            self.sendall(octets)
        except OSError as error:
            raise AssertionError(f"the server did not take the request: {error!r}") from error

    def read_to_end(self) -> bytes:
        """Return all that comes until the server closes."""
        answer = bytearray()
        while chunk := self._next(answer):
            answer += chunk
        return bytes(answer)

    def read_until(self, marker: bytes) -> bytes:
        """Return what comes up to and with marker, and maybe more of it."""
        answer = bytearray()
        while marker not in answer:
            chunk = self._next(answer)
            if not chunk:
                raise AssertionError(
                    f"the server closed after {bytes(answer[-80:])!r}: {marker!r} never came"
                )
            answer += chunk
        return bytes(answer)

    def half_close(self) -> None:
        """End the sending side; the answer can still come."""
        self.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close so that the server gets a reset in place of a goodbye."""
        self.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
        )
        self.close()

    def _next(self, answer: bytearray) -> bytes:
        try:
            return self.recv(65_536)
        except ConnectionError as error:
            raise AssertionError(
                f"the client got a reset in place of the end of its answer, after {len(answer)} octets: "
                "TCP resets a connection that is closed while input is unread, and a reset takes along "
                "what the client has not read yet"
            ) from error
        except TimeoutError as error:
            raise AssertionError(
                f"the server neither answered nor closed, after it had sent {bytes(answer[-80:])!r}"
            ) from error


def ask(port: int, octets: bytes) -> bytes:
    """Send octets, the last request of which says close, and return all that comes back."""
    with Client(port) as client:
        client.say(octets)
        return client.read_to_end()


def ask_half_closed(port: int, octets: bytes) -> bytes:
    """Send octets, end the sending side, and return all that comes back."""
    with Client(port) as client:
        client.say(octets)
        client.half_close()
        return client.read_to_end()


def drip(port: int, octets: bytes) -> bytes:
    """Send octets one at a time, and return all that comes back.

    TCP may put them together again: only a Scripted socket is sure to be read in pieces.
    """
    with Client(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in octets:
            client.say(bytes([octet]))
        return client.read_to_end()


def reset(port: int, octets: bytes = b"") -> None:
    """Connect, send octets, and reset the connection."""
    with Client(port) as client:
        client.say(octets)
        client.reset()


@contextmanager
def idle(port: int, count: int) -> Iterator[list[Client]]:
    """Keep count clients connected that say nothing."""
    with ExitStack() as stack:
        yield [stack.enter_context(Client(port)) for _ in range(count)]
