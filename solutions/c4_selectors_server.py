"""A selectors server: one thread, callbacks, thousands of clients."""

import logging
import socket
from collections.abc import Callable, Generator
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import Any, TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
LINGER_OCTETS = 1_048_576  # how much is read and dropped before a close, at most

_log = logging.getLogger(__name__)

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready


class Reactor:
    """Wait for many sockets at once, with selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        self._selector = DefaultSelector() if selector is None else selector
        self._callbacks: dict[Any, Callback] = {}

    def add(self, sock: Watchable, events: int, callback: Callback) -> None:
        """From now on call callback(ready) in each round in which sock is ready for some of events."""
        self._selector.register(sock, events, callback)
        self._callbacks[sock] = callback

    def change(self, sock: Watchable, events: int) -> None:
        """Wait for these events of sock from now on; the callback stays."""
        self._selector.modify(sock, events, self._callbacks[sock])

    def remove(self, sock: Watchable) -> None:
        """Forget sock, which is still open: it is called no more, not even later in this round."""
        self._selector.unregister(sock)
        del self._callbacks[sock]

    def run_once(self, timeout: float | None = None) -> None:
        """One round: ask the selector once, with this timeout; call each ready socket's callback once."""
        for key, ready in self._selector.select(timeout):
            # A callback earlier in this round may have removed this socket, and another
            # may have got its number since: what was reported is true of the old one only.
            callback: Callback = key.data
            if self._callbacks.get(key.fileobj) is callback:
                callback(ready)

    def close(self) -> None:
        """Remove and close every socket that is still added, then close the selector."""
        for sock in list(self._callbacks):
            self.remove(sock)
            sock.close()
        self._selector.close()


class Acceptor:
    """Take in every connection that listener gets, and hand it to on_connection(sock).

    Makes listener non-blocking and adds it to reactor. Takes all that wait, at every event. One
    that was aborted while it waited (ConnectionAbortedError) is passed over; any other OSError
    ends the event, until the listener is reported again. None of them is raised.
    """

    def __init__(
        self, reactor: Reactor, listener: socket.socket, on_connection: Callable[[socket.socket], object]
    ) -> None:
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
    """Answer the requests that come in on sock with app, in their order, and never wait.

    Makes sock non-blocking and adds it to reactor. Sends at once what sock takes, and asks for
    EVENT_WRITE only while something is unsent. While more than HIGH_WATER octets are unsent,
    it neither reads nor calls app. The last answer said, it ends its sending side, drops what
    still comes, and closes at b"" or after LINGER_OCTETS. Its callback raises nothing:
    whatever goes wrong there closes this one connection.
    """

    def __init__(self, reactor: Reactor, sock: socket.socket, app: App) -> None:
        sock.setblocking(False)
        self._reactor, self._sock, self._out = reactor, sock, OutBuffer(sock)
        self._life = self._live(app)
        self._waits_for = next(self._life) or EVENT_READ
        reactor.add(sock, self._waits_for, self._on_ready)

    def _on_ready(self, ready: int) -> None:
        try:
            data = self._sock.recv(65_536) if ready & EVENT_READ else b""
            if ready & self._waits_for:
                self._waits_for = self._life.send(data) or EVENT_READ
            unsent = 0 if self._out.flush() else EVENT_WRITE
            self._reactor.change(self._sock, self._waits_for | unsent)
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
    """Serve app to all clients of listener, in one thread, on `port`."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        self.port: int = listener.getsockname()[1]
        self._stopped = False
        self._reactor, self._waker = Reactor(), Waker()
        self._reactor.add(self._waker, EVENT_READ, lambda ready: self._waker.drain())
        Acceptor(self._reactor, listener, lambda sock: Connection(self._reactor, sock, app))

    def run(self) -> None:
        """Serve until stop(). However that ends, close all sockets, listener and connections too."""
        try:
            while not self._stopped:
                self._reactor.run_once()
        finally:
            self._reactor.close()

    def stop(self) -> None:
        """Make run() return: from any thread, at any time, before it and after it as well."""
        self._stopped = True
        self._waker.wake()
