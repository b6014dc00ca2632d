"""Multiplexing: one wait for many sockets."""

import socket
from collections.abc import Callable, Sequence
from selectors import BaseSelector, DefaultSelector

SelectorClass = Callable[[], BaseSelector]


def wait_readable(
    sockets: Sequence[socket.socket], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> list[socket.socket]:
    """Wait until some of the sockets are readable; return those, in the order given.

    Waits in a selector made by selector_class, which it closes whatever happens.
    Returns [] when timeout seconds are over; 0 looks without waiting, None waits for ever.
    A select() that comes back early with nothing is not the end: it waits the rest of the time.
    """
    raise NotImplementedError


def connect(
    address: tuple[str, int], timeout: float | None, selector_class: SelectorClass = DefaultSelector
) -> socket.socket:
    """Return a non-blocking TCP socket connected to this IPv4 address.

    Starts to connect, then waits as wait_readable does, but for the socket to be writable:
    the attempt is over then, and SO_ERROR says how it went. Leaves nothing open when it raises:
    what connecting raises (ConnectionRefusedError, ...), TimeoutError when timeout seconds are over.
    """
    raise NotImplementedError


class OutBuffer:
    """Octets on their way out, for a non-blocking socket that takes them when it likes."""

    def __init__(self, sock: socket.socket) -> None:
        """Nothing is queued, and nothing is done to sock, which is non-blocking already."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return how many octets are not sent yet."""
        raise NotImplementedError

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue a copy of data behind what is not sent yet. Sends nothing."""
        raise NotImplementedError

    def flush(self) -> bool:
        """Send what the socket takes now; return True when nothing is left.

        Goes on until nothing is left or the socket takes no more (BlockingIOError), and
        never waits. Every other error of the socket goes on to the caller.
        """
        raise NotImplementedError


class Waker:
    """Something to register for reading in a selector, so that any thread can end its wait."""

    def __init__(self) -> None:
        """Nobody has woken it: it is not readable."""
        raise NotImplementedError

    def fileno(self) -> int:
        """Return the descriptor that is readable from the first wake() to the next drain()."""
        raise NotImplementedError

    def wake(self) -> None:
        """Make it readable, from any thread. Never blocks, never fails: not when full, not after close()."""
        raise NotImplementedError

    def drain(self) -> None:
        """Take all wake-ups there are, so that it is not readable until the next. Never blocks."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all that it has opened."""
        raise NotImplementedError
