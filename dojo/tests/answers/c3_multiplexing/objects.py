"""Multiplexing: one wait for many sockets."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector

SelectorClass = Callable[[], BaseSelector]


class Deadline:
    """So many seconds from now; None is never."""

    def __init__(self, timeout: float | None) -> None:
        self.at = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        return None if self.at is None else max(0.0, self.at - time.monotonic())

    def is_over(self) -> bool:
        return self.remaining() == 0


class Wait:
    """One wait for some sockets and one event."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        event: int,
        timeout: float | None,
        selector_class: SelectorClass,
    ) -> None:
        self.sockets, self.event, self.timeout = sockets, event, timeout
        self.selector_class = selector_class

    def run(self) -> list[socket.socket]:
        with self.selector_class() as selector:
            for sock in self.sockets:
                selector.register(sock, self.event)
            ready: set[object] = set()
            deadline = Deadline(self.timeout)
            while not ready:
                ready = {key.fileobj for key, _ in selector.select(deadline.remaining())}
                if deadline.is_over():
                    break
            return [sock for sock in self.sockets if sock in ready]


def wait_readable(
    sockets: Sequence[socket.socket], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> list[socket.socket]:
    """Wait until some of the sockets are readable; return those, in the order given.

    Waits in a selector made by selector_class, which it closes whatever happens.
    Returns [] when timeout seconds are over; 0 looks without waiting, None waits for ever.
    A select() that comes back early with nothing is not the end: it waits the rest of the time.
    """
    return Wait(sockets, EVENT_READ, timeout, selector_class).run()


def connect(
    address: tuple[str, int], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> socket.socket:
    """Return a non-blocking TCP socket connected to this IPv4 address.

    Starts to connect, then waits as wait_readable does, but for the socket to be writable:
    the attempt is over then, and SO_ERROR says how it went. Leaves nothing open when it raises:
    what connecting raises (ConnectionRefusedError, ...), TimeoutError when timeout seconds are over.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(address)
        if not Wait([sock], EVENT_WRITE, timeout, selector_class).run():
            raise TimeoutError(f"{address} has not answered within {timeout} seconds")
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
    except BaseException:
        sock.close()
        raise
    return sock


class OutBuffer:
    """Octets on their way out, for a non-blocking socket that takes them when it likes."""

    def __init__(self, sock: socket.socket) -> None:
        """Nothing is queued, and nothing is done to sock, which is non-blocking already."""
        self._sock = sock
        self._unsent = bytearray()

    def __len__(self) -> int:
        """Return how many octets are not sent yet."""
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy of data behind what is not sent yet. Sends nothing."""
        self._unsent += data

    def flush(self) -> bool:
        """Send what the socket takes now; return True when nothing is left.

        Goes on until nothing is left or the socket takes no more (BlockingIOError), and
        never waits. Every other error of the socket goes on to the caller.
        """
        while self._unsent:
            try:
                sent = self._sock.send(self._unsent)
            except BlockingIOError:
                return False
            del self._unsent[:sent]
        return True


class Waker:
    """Something to register for reading in a selector, so that any thread can end its wait."""

    def __init__(self) -> None:
        """Nobody has woken it: it is not readable."""
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable from the first wake() to the next drain()."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Make it readable, from any thread. Never blocks, never fails: not when full, not after close()."""
        try:
            self._sender.send(b"!")
        except OSError:
            pass

    def drain(self) -> None:
        """Take all wake-ups there are, so that it is not readable until the next. Never blocks."""
        try:
            self._receiver.recv(4096)
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Close all that it has opened."""
        self._receiver.close()
        self._sender.close()
