"""A selectors server: one thread, callbacks, thousands of clients."""

import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready
OnConnection: TypeAlias = Callable[[socket.socket], object]


class Reactor:
    """Wait for many sockets at once, in selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        raise NotImplementedError

    def add(self, sock: Watchable, events: int, callback: Callback) -> None:
        """Call callback(ready) in every round in which sock is ready for some of events."""
        raise NotImplementedError

    def change(self, sock: Watchable, events: int) -> None:
        """Wait for these events of sock from now on, with the same callback."""
        raise NotImplementedError

    def remove(self, sock: Watchable) -> None:
        """Forget sock, before it is closed: it is not called again, not even later in this round."""
        raise NotImplementedError

    def run_once(self, timeout: float | None = None) -> None:
        """Do one round: one select() with this timeout, then one call for each socket that is ready."""
        raise NotImplementedError

    def close(self) -> None:
        """Remove and close all that was added and not removed; then close the selector."""
        raise NotImplementedError


class Acceptor:
    """Accept whoever comes to listener, and call on_connection(sock) for each.

    Makes listener non-blocking and adds it to reactor. An event takes in all who wait, up to BlockingIOError.
    ConnectionAbortedError is one who left the queue: go on with the next. Any other OSError of accept (no
    descriptors left) ends this event, and no more. None of them is raised; what on_connection raises is.
    """

    def __init__(self, reactor: Reactor, listener: socket.socket, on_connection: OnConnection) -> None:
        raise NotImplementedError


class Connection:
    """Answer the requests of one client with app, in their order, without ever waiting.

    Makes sock non-blocking and adds it to reactor. An answer is sent at once, as far as sock takes
    it; EVENT_WRITE is asked for while something is unsent, and only then. While more than HIGH_WATER
    octets are unsent, nothing is read and app is not called. Which answer is the last, and how
    the connection is closed behind it, is told in the Rules. Any Exception, a reset for one, closes
    this connection and stays in the callback; what is no Exception, as Ctrl-C in app, leaves it.
    """

    def __init__(self, reactor: Reactor, sock: socket.socket, app: App) -> None:
        raise NotImplementedError


class SelectorsServer:
    """Serve app to all clients of listener, in one thread; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Serve until stop(); then, or when an exception ends it, close listener and all connections."""
        raise NotImplementedError

    def stop(self) -> None:
        """Make run() return. From any thread, any number of times, before run() and after it too."""
        raise NotImplementedError
