"""A selectors server: one thread, callbacks, thousands of clients."""

import logging
import socket
from collections.abc import Callable, Generator
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import Any, TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
_log = logging.getLogger(__name__)

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready
OnConnection: TypeAlias = Callable[[socket.socket], object]


class Reactor:
    """Wait for many sockets at once, in selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        self._selector = DefaultSelector() if selector is None else selector
        self._callbacks: dict[Any, Callback] = {}

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
            # A callback earlier in this round may have removed this socket, and another
            # may have got its number since: what was reported is true of the old one only.
            callback: Callback = key.data
            if self._callbacks.get(key.fileobj) is callback:
                callback(ready)

    def close(self) -> None:
        """Remove and close all that was added and not removed; then close the selector."""
        for sock in list(self._callbacks):
            self.remove(sock)
            sock.close()
        self._selector.close()


class Acceptor:
    """Accept whoever comes to listener, and call on_connection(sock) for each.

    Makes listener non-blocking and adds it to reactor. An event takes in all who wait, up to BlockingIOError.
    ConnectionAbortedError is one who left the queue: go on with the next. Any other OSError of accept (no
    descriptors left) ends this event, and no more. None of them is raised; what on_connection raises is.
    """

    def __init__(self, reactor: Reactor, listener: socket.socket, on_connection: OnConnection) -> None:
        listener.setblocking(False)
        self._listener, self._on_connection = listener, on_connection
        reactor.add(listener, EVENT_READ, self._accept)

    def _accept(self, ready: int) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return  # BlockingIOError: all are in. No descriptors left: some may be in the next round.
            self._on_connection(sock)


class Connection:
    """Answer the requests of one client with app, in their order, without ever waiting.

    Makes sock non-blocking and adds it to reactor. An answer is sent at once, as far as sock takes
    it; EVENT_WRITE is asked for while something is unsent, and only then. While more than HIGH_WATER
    octets are unsent, nothing is read and app is not called. Which answer is the last, and how
    the connection is closed behind it, is told in the Rules. Any Exception, a reset for one, closes
    this connection and stays in the callback; what is no Exception, as Ctrl-C in app, leaves it.
    """

    def __init__(self, reactor: Reactor, sock: socket.socket, app: App) -> None:
        sock.setblocking(False)
        self._reactor, self._sock, self._out = reactor, sock, OutBuffer(sock)
        self._life = self._live(app)
        self._waits_for = self._events = next(self._life) or EVENT_READ
        reactor.add(sock, self._events, self._on_ready)

    def _on_ready(self, ready: int) -> None:
        try:
            data = self._sock.recv(65_536) if ready & EVENT_READ else b""
            if ready & self._waits_for:
                self._waits_for = self._life.send(data) or EVENT_READ
            events = self._waits_for | (0 if self._out.flush() else EVENT_WRITE)
            if events != self._events:
                self._reactor.change(self._sock, events)
                self._events = events
        except BlockingIOError:
            pass  # readiness is a hint: there was nothing after all
        except Exception as error:
            if not isinstance(error, (StopIteration, OSError)):  # the end, or the client is gone
                _log.exception("a connection failed")
            self._reactor.remove(self._sock)  # first: once it is closed, the next may get its number
            self._sock.close()

    def _live(self, app: App) -> Generator[int | None, bytes, None]:
        """A connection's life from beginning to end; it pauses with the event that it waits for."""
        buffer = bytearray()
        keep_alive = True
        try:
            # The parser yields None, for "more octets": that is EVENT_READ.
            while keep_alive and (request := (yield from read_request(buffer))):
                keep_alive = request.keep_alive
                try:
                    answer = write_response(app(request), request.method, keep_alive)
                except Exception:
                    _log.exception("the app failed at %s %s", request.method, request.target)
                    keep_alive = False
                    answer = write_response(Response(500), request.method, keep_alive)
                self._out.write(answer)
                while len(self._out) > HIGH_WATER and not self._out.flush():
                    yield EVENT_WRITE
        except EOFError:
            pass  # there is no answer to half a request
        except BadRequest as fault:
            self._out.write(write_response(Response(fault.status), keep_alive=False))

        while not self._out.flush():
            yield EVENT_WRITE
        # Closing while input is unread makes TCP send a reset, and a reset takes the answer along.
        self._sock.shutdown(socket.SHUT_WR)
        dropped = 0
        while dropped < LINGER_OCTETS and (data := (yield EVENT_READ)):
            dropped += len(data)


class SelectorsServer:
    """Serve app to all clients of listener, in one thread; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        self.port: int = listener.getsockname()[1]
        self._stopped = False
        self._reactor, self._waker = Reactor(), Waker()
        self._reactor.add(self._waker, EVENT_READ, lambda ready: self._waker.drain())
        Acceptor(self._reactor, listener, lambda sock: Connection(self._reactor, sock, app))

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
