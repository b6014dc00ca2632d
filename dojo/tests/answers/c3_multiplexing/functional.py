"""Multiplexing: one wait for many sockets."""

import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from time import monotonic

SelectorClass = Callable[[], BaseSelector]
IOV_MAX = os.sysconf("SC_IOV_MAX")


def wait_for(
    sockets: Sequence[socket.socket], event: int, timeout: float | None, selector_class: SelectorClass
) -> list[socket.socket]:
    """Wait until the event has come for some of the sockets; the rest is told in wait_readable."""
    end = None if timeout is None else monotonic() + timeout
    with selector_class() as selector:
        for sock in sockets:
            selector.register(sock, event)
        while True:
            ready = {key.fileobj for key, _ in selector.select(timeout)}
            timeout = None if end is None else end - monotonic()
            if ready or (timeout is not None and timeout <= 0):
                return [sock for sock in sockets if sock in ready]


def wait_readable(
    sockets: Sequence[socket.socket], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> list[socket.socket]:
    """Wait until some of the sockets are readable; return those, in the order given.

    Waits in a selector made by selector_class, which it closes whatever happens.
    Returns [] when timeout seconds are over; 0 looks without waiting, None waits for ever.
    A select() that comes back early with nothing is not the end: it waits the rest of the time.
    """
    return wait_for(sockets, EVENT_READ, timeout, selector_class)


def connect(
    address: tuple[str, int], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> socket.socket:
    """Return a non-blocking TCP socket connected to this IPv4 address.

    Starts to connect, then waits as wait_readable does, but for the socket to be writable:
    the attempt is over then, and SO_ERROR says how it went. Leaves nothing open when it raises:
    what connecting raises (ConnectionRefusedError, ...), TimeoutError when timeout seconds are over.
    """

    def check(code: int, *harmless: int) -> None:
        if code and code not in harmless:
            raise OSError(code, os.strerror(code))

    with ExitStack() as undo:
        sock = undo.enter_context(socket.socket())
        sock.setblocking(False)
        check(sock.connect_ex(address), errno.EINPROGRESS)
        if not wait_for([sock], EVENT_WRITE, timeout, selector_class):
            raise TimeoutError(f"{address} has not answered in {timeout} s")
        check(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        undo.pop_all()
        return sock


class OutBuffer:
    """Octets on their way out, for a non-blocking socket that takes them when it likes."""

    def __init__(self, sock: socket.socket) -> None:
        """Nothing is queued, and nothing is done to sock, which is non-blocking already."""
        self.sock = sock
        self.pieces: deque[memoryview] = deque()

    def __len__(self) -> int:
        """Return how many octets are not sent yet."""
        return sum(map(len, self.pieces))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy of data behind what is not sent yet. Sends nothing."""
        if data:
            self.pieces.append(memoryview(bytes(data)))

    def flush(self) -> bool:
        """Send what the socket takes now; return True when nothing is left.

        Goes on until nothing is left or the socket takes no more (BlockingIOError), and
        never waits. Every other error of the socket goes on to the caller.
        """
        with suppress(BlockingIOError):
            while self.pieces:
                self.drop(self.sock.sendmsg(islice(self.pieces, IOV_MAX)))
        return not self.pieces

    def drop(self, sent: int) -> None:
        while sent:
            piece = self.pieces.popleft()
            if len(piece) > sent:
                self.pieces.appendleft(piece[sent:])
            sent -= min(sent, len(piece))


class Waker:
    """Something to register for reading in a selector, so that any thread can end its wait."""

    def __init__(self) -> None:
        """Nobody has woken it: it is not readable."""
        self.ear, self.mouth = ends = socket.socketpair()
        self.scratch = bytearray(4096)
        for end in ends:
            end.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable from the first wake() to the next drain()."""
        return self.ear.fileno()

    def wake(self) -> None:
        """Make it readable, from any thread. Never blocks, never fails: not when full, not after close()."""
        with suppress(OSError):  # full, or closed: in both cases there is nothing to do
            self.mouth.send(b"!")

    def drain(self) -> None:
        """Take all wake-ups there are, so that it is not readable until the next. Never blocks."""
        with suppress(BlockingIOError):
            while self.ear.recv_into(self.scratch):
                pass

    def close(self) -> None:
        """Close all that it has opened."""
        self.ear.close()
        self.mouth.close()
