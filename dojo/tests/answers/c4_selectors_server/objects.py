"""A selectors server: one thread, callbacks, thousands of clients."""

import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from enum import Enum, auto
from typing import TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
CHUNK = 65_536  # octets: what one recv asks for
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready
OnConnection: TypeAlias = Callable[[socket.socket], object]


class Reactor:
    """Wait for many sockets at once, in selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        self._selector = DefaultSelector() if selector is None else selector
        self._callbacks: dict[Watchable, Callback] = {}

    def add(self, sock: Watchable, events: int, callback: Callback) -> None:
        """Call callback(ready) in every round in which sock is ready for some of events."""
        self._selector.register(sock, events, callback)
        self._callbacks[sock] = callback

    def change(self, sock: Watchable, events: int) -> None:
        """Wait for these events of sock from now on, with the same callback."""
        self._selector.modify(sock, events, self._callbacks[sock])

    def remove(self, sock: Watchable) -> None:
        """Forget sock, before it is closed: it is not called again, not even later in this round."""
        self._selector.unregister(sock)
        del self._callbacks[sock]

    def run_once(self, timeout: float | None = None) -> None:
        """Do one round: one select() with this timeout, then one call for each socket that is ready."""
        for key, ready in self._selector.select(timeout):
            if self._callbacks.get(key.fileobj) is key.data:
                key.data(ready)

    def close(self) -> None:
        """Remove and close all that was added and not removed; then close the selector."""
        for sock in list(self._callbacks):
            self.remove(sock)
            sock.close()
        self._selector.close()


class Acceptor:
    """Accept whoever comes to listener, and call on_connection(sock) for each.

    Makes listener non-blocking and adds it to reactor. An event takes in all who wait, up to
    BlockingIOError. ConnectionAbortedError is one who left the queue: go on with the next. Any
    other OSError (no descriptors left) ends this event, and no more. None of them is raised.
    """

    def __init__(self, reactor: Reactor, listener: socket.socket, on_connection: OnConnection) -> None:
        self._listener, self._on_connection = listener, on_connection
        listener.setblocking(False)
        reactor.add(listener, EVENT_READ, self._accept)

    def _accept(self, ready: int) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            self._on_connection(sock)


class Stage(Enum):
    READING = auto()  # and answering
    FULL = auto()  # the client must take some first
    LAST_ANSWER = auto()  # it is on its way
    LINGERING = auto()  # all is said: read and drop
    CLOSED = auto()


class Connection:
    """Answer the requests of one client with app, in their order, without ever waiting.

    Makes sock non-blocking and adds it to reactor. An answer is sent at once, as far as sock takes
    it; EVENT_WRITE is asked for while something is unsent, and only then. While more than HIGH_WATER
    octets are unsent, nothing is read and app is not called. Which answer is the last, and how
    the connection is closed behind it, is told in the Rules. Any Exception, a reset for one, closes
    this connection and stays in the callback; what is no Exception, as Ctrl-C in app, leaves it.
    """

    def __init__(self, reactor: Reactor, sock: socket.socket, app: App) -> None:
        self._reactor, self._sock, self._app = reactor, sock, app
        self._buffer = bytearray()
        self._out = OutBuffer(sock)
        self._dropped = 0
        self._stage = Stage.READING
        self._parser = read_request(self._buffer)
        next(self._parser)
        sock.setblocking(False)
        reactor.add(sock, EVENT_READ, self._on_ready)

    def _on_ready(self, ready: int) -> None:
        try:
            if ready & EVENT_WRITE:
                self._write()
            if ready & EVENT_READ:
                self._read()
            self._watch()
        except Exception:
            self._close()

    def _watch(self) -> None:
        if self._stage is not Stage.CLOSED:
            self._reactor.change(self._sock, self._events())

    def _events(self) -> int:
        if self._stage in (Stage.FULL, Stage.LAST_ANSWER):
            return EVENT_WRITE
        return EVENT_READ | (EVENT_WRITE if len(self._out) else 0)

    def _read(self) -> None:
        if self._stage not in (Stage.READING, Stage.LINGERING):
            return
        try:
            chunk = self._sock.recv(CHUNK)
        except BlockingIOError:
            return
        if self._stage is Stage.LINGERING:
            self._drop(chunk)
        else:
            self._advance(chunk)

    def _drop(self, chunk: bytes) -> None:
        self._dropped += len(chunk)
        if not chunk or self._dropped >= LINGER_OCTETS:
            self._close()

    def _advance(self, chunk: bytes | None) -> None:
        """Send chunk to the parser; answer what is whole; stop where octets or room are missing."""
        self._stage = Stage.READING
        while self._stage is Stage.READING:
            try:
                self._parser.send(chunk)
            except StopIteration as finished:
                self._answer(finished.value)
            except BadRequest as error:
                self._last_answer(Response(error.status))
            except EOFError:
                self._last()
            else:
                return
            self._parser = read_request(self._buffer)
            chunk = None

    def _answer(self, request: Request | None) -> None:
        if request is None:
            self._last()
            return
        try:
            octets = write_response(self._app(request), request.method, request.keep_alive)
        except Exception:
            self._last_answer(Response(500))
            return
        self._out.write(octets)
        if not request.keep_alive:
            self._last()
            return
        self._out.flush()
        if len(self._out) > HIGH_WATER:
            self._stage = Stage.FULL

    def _last_answer(self, response: Response) -> None:
        self._out.write(write_response(response, keep_alive=False))
        self._last()

    def _last(self) -> None:
        self._stage = Stage.LAST_ANSWER
        self._write()

    def _write(self) -> None:
        empty = self._out.flush()
        if self._stage is Stage.LAST_ANSWER and empty:
            self._sock.shutdown(socket.SHUT_WR)
            self._stage = Stage.LINGERING
        elif self._stage is Stage.FULL and len(self._out) <= HIGH_WATER:
            self._advance(None)

    def _close(self) -> None:
        self._stage = Stage.CLOSED
        self._reactor.remove(self._sock)
        self._sock.close()


class SelectorsServer:
    """Serve app to all clients of listener, in one thread; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        self._reactor, self._listener, self._app = Reactor(), listener, app
        self._stopped = False
        self._waker = Waker()
        self.port: int = listener.getsockname()[1]
        self._reactor.add(self._waker, EVENT_READ, self._on_wake)
        Acceptor(self._reactor, listener, self._on_connection)

    def _on_wake(self, ready: int) -> None:
        self._waker.drain()

    def _on_connection(self, sock: socket.socket) -> None:
        Connection(self._reactor, sock, self._app)

    def run(self) -> None:
        """Serve until stop(); then, or when an exception ends it, close listener and all connections."""
        try:
            while not self._stopped:
                self._reactor.run_once()
        finally:
            self._reactor.close()

    def stop(self) -> None:
        """Make run() return. From any thread, any number of times, before run() and after it too."""
        self._stopped = True
        self._waker.wake()
