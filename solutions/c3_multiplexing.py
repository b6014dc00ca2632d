"""Multiplexing: one wait for many sockets."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector

SelectorClass = Callable[[], BaseSelector]


def wait_readable(
    sockets: Sequence[socket.socket], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> list[socket.socket]:
    """Wait until some of the sockets are readable; return those, in the order given.

    Waits in a selector made by selector_class, which it closes whatever happens.
    Returns [] when timeout seconds are over; 0 looks without waiting, None waits for ever.
    A select() that comes back early with nothing is not the end: it waits the rest of the time.
    """
    ready = _wait(sockets, EVENT_READ, timeout, selector_class)
    return [sock for sock in sockets if sock in ready]


def connect(
    address: tuple[str, int], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> socket.socket:
    """Return a non-blocking TCP socket connected to this IPv4 address.

    Starts to connect, then waits as wait_readable does, but for the socket to be writable:
    the attempt is over then, and SO_ERROR says how it went. Leaves nothing open when it raises:
    what connecting raises (ConnectionRefusedError, ...), TimeoutError when timeout seconds are over.
    """
    sock = socket.socket()
    try:
        sock.setblocking(False)
        with suppress(BlockingIOError):  # "in progress", which is what we want
            sock.connect(address)
        if not _wait([sock], EVENT_WRITE, timeout, selector_class):
            raise TimeoutError(f"no connection to {address} within {timeout} seconds")
        # A refused socket is writable too: it is ready to tell of its error.
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, f"{os.strerror(error)}: {address}")  # of the subclass for that number
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
                return False  # "writable" was a hint; now it is full
            del self._unsent[:sent]  # cheap: a bytearray moves its start, not its content
        return True


class Waker:
    """Something to register for reading in a selector, so that any thread can end its wait."""

    def __init__(self) -> None:
        """Nobody has woken it: it is not readable."""
        # Not os.pipe(): on Windows a selector takes nothing but sockets.
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable from the first wake() to the next drain()."""
        return self._receiver.fileno()

    def wake(self) -> None:
        """Make it readable, from any thread. Never blocks, never fails: not when full, not after close()."""
        with suppress(OSError):  # full: it is readable for sure. Closed: nobody waits any more.
            self._sender.send(b"\0")

    def drain(self) -> None:
        """Take all wake-ups there are, so that it is not readable until the next. Never blocks."""
        with suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def close(self) -> None:
        """Close all that it has opened."""
        self._receiver.close()
        self._sender.close()


def _wait(
    sockets: Sequence[socket.socket], events: int, timeout: float | None, selector_class: SelectorClass
) -> set[object]:
    """Wait until some sockets are ready for events; return those, an empty set when time is over."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with selector_class() as selector:
        for sock in sockets:
            selector.register(sock, events)
        while True:
            ready: set[object] = {key.fileobj for key, _ in selector.select(timeout)}
            if ready:
                return ready
            # Nothing: the time is over, or select() came back early. The clock knows which.
            if deadline is not None and (timeout := deadline - time.monotonic()) <= 0:
                return set()
