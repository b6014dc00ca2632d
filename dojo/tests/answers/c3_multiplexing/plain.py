"""Multiplexing: one wait for many sockets."""

import os
import socket
import time
from collections.abc import Callable, Sequence
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
    return wait_for(EVENT_READ, sockets, timeout, selector_class)


def wait_for(
    event: int, sockets: Sequence[socket.socket], timeout: float | None, selector_class: SelectorClass
) -> list[socket.socket]:
    """Wait until one of the sockets has this event."""
    deadline = None
    if timeout is not None:
        deadline = time.monotonic() + timeout
    remaining = timeout
    ready: list[object] = []
    with selector_class() as selector:
        for sock in sockets:
            selector.register(sock, event)
        while True:
            for key, _events in selector.select(remaining):
                ready.append(key.fileobj)
            if ready:
                break
            if deadline is not None:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
    result = []
    for sock in sockets:
        if sock in ready:
            result.append(sock)
    return result


def connect(
    address: tuple[str, int], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> socket.socket:
    """Return a non-blocking TCP socket connected to this IPv4 address.

    Starts to connect, then waits as wait_readable does, but for the socket to be writable:
    the attempt is over then, and SO_ERROR says how it went. Leaves nothing open when it raises:
    what connecting raises (ConnectionRefusedError, ...), TimeoutError when timeout seconds are over.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        try:
            sock.connect(address)
        except BlockingIOError:
            pass
        if not wait_for(EVENT_WRITE, [sock], timeout, selector_class):
            raise TimeoutError("connecting took too long")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
    except BaseException:
        sock.close()
        raise
    return sock


class OutBuffer:
    """Octets on their way out, for a non-blocking socket that takes them when it likes."""

    def __init__(self, sock: socket.socket) -> None:
        """Nothing is queued, and nothing is done to sock, which is non-blocking already."""
        self.sock = sock
        self.unsent = b""

    def __len__(self) -> int:
        """Return how many octets are not sent yet."""
        return len(self.unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy of data behind what is not sent yet. Sends nothing."""
        self.unsent = self.unsent + data

    def flush(self) -> bool:
        """Send what the socket takes now; return True when nothing is left.

        Goes on until nothing is left or the socket takes no more (BlockingIOError), and
        never waits. Every other error of the socket goes on to the caller.
        """
        while self.unsent:
            try:
                n = self.sock.send(self.unsent)
            except BlockingIOError:
                return False
            self.unsent = self.unsent[n:]
        return True


class Waker:
    """Something to register for reading in a selector, so that any thread can end its wait."""

    def __init__(self) -> None:
        """Nobody has woken it: it is not readable."""
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable from the first wake() to the next drain()."""
        return self.reader.fileno()

    def wake(self) -> None:
        """Make it readable, from any thread. Never blocks, never fails: not when full, not after close()."""
        try:
            self.writer.send(b"x")
        except OSError:
            pass  # full, so it is readable already; or closed

    def drain(self) -> None:
        """Take all wake-ups there are, so that it is not readable until the next. Never blocks."""
        while True:
            try:
                self.reader.recv(4096)
            except BlockingIOError:
                break

    def close(self) -> None:
        """Close all that it has opened."""
        self.reader.close()
        self.writer.close()
