"""A selectors server: one thread, callbacks, thousands of clients."""

import socket
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
RECV_SIZE = 65_536
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready
OnConnection: TypeAlias = Callable[[socket.socket], object]


class Reactor:
    """Wait for many sockets at once, in selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        if selector is None:
            selector = DefaultSelector()
        self.selector = selector
        self.callbacks = {}

    def add(self, sock: Watchable, events: int, callback: Callback) -> None:
        """Call callback(ready) in every round in which sock is ready for some of events."""
        self.selector.register(sock, events, callback)
        self.callbacks[sock] = callback

    def change(self, sock: Watchable, events: int) -> None:
        """Wait for these events of sock from now on, with the same callback."""
        self.selector.modify(sock, events, self.callbacks[sock])

    def remove(self, sock: Watchable) -> None:
        """Forget sock, before it is closed: it is not called again, not even later in this round."""
        self.selector.unregister(sock)
        del self.callbacks[sock]

    def run_once(self, timeout: float | None = None) -> None:
        """Do one round: one select() with this timeout, then one call for each socket that is ready."""
        for key, ready in self.selector.select(timeout):
            if key.fileobj in self.callbacks:
                self.callbacks[key.fileobj](ready)

    def close(self) -> None:
        """Remove and close all that was added and not removed; then close the selector."""
        for sock in list(self.callbacks):
            self.remove(sock)
            sock.close()
        self.selector.close()


class Acceptor:
    """Accept whoever comes to listener, and call on_connection(sock) for each.

    Makes listener non-blocking and adds it to reactor. An event takes in all who wait, up to
    BlockingIOError. ConnectionAbortedError is one who left the queue: go on with the next. Any
    other OSError (no descriptors left) ends this event, and no more. None of them is raised.
    """

    def __init__(self, reactor: Reactor, listener: socket.socket, on_connection: OnConnection) -> None:
        self.listener = listener
        self.on_connection = on_connection
        listener.setblocking(False)
        reactor.add(listener, EVENT_READ, self.on_event)

    def on_event(self, ready: int) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                return
            self.on_connection(sock)


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
        self.reactor = reactor
        self.sock = sock
        self.app = app
        self.buffer = bytearray()
        self.parser = read_request(self.buffer)
        next(self.parser)
        self.out = OutBuffer(sock)
        self.last = False  # the last answer is in self.out
        self.full = False  # too much is unsent to go on with the next request
        self.lingering = False  # all is sent, and what still comes is dropped
        self.dropped = 0
        reactor.add(sock, EVENT_READ, self.on_event)

    def on_event(self, ready: int) -> None:
        try:
            self.handle(ready)
        except BlockingIOError:
            pass
        except Exception:
            self.close()

    def close(self) -> None:
        self.reactor.remove(self.sock)
        self.sock.close()

    def handle(self, ready: int) -> None:
        if self.lingering:
            data = self.sock.recv(RECV_SIZE)
            self.dropped = self.dropped + len(data)
            if data == b"" or self.dropped >= LINGER_OCTETS:
                self.close()
            return
        if ready & EVENT_READ and not self.last and not self.full:
            self.parse(self.sock.recv(RECV_SIZE))
        self.out.flush()
        if self.full and len(self.out) <= HIGH_WATER:
            self.full = False
            self.parse(None)
        if self.last and len(self.out) == 0:
            self.sock.shutdown(socket.SHUT_WR)
            self.lingering = True
        events = EVENT_READ
        if self.full or (self.last and not self.lingering):
            events = EVENT_WRITE
        elif len(self.out) > 0:
            events = EVENT_READ | EVENT_WRITE
        self.reactor.change(self.sock, events)

    def parse(self, data: bytes | None) -> None:
        while True:
            try:
                if data is None:
                    next(self.parser)
                else:
                    self.parser.send(data)
                return
            except StopIteration as stop:
                request = stop.value
            except BadRequest as error:
                self.out.write(write_response(Response(error.status), keep_alive=False))
                self.last = True
                return
            except EOFError:
                self.last = True
                return
            if request is None:
                self.last = True
                return
            self.answer(request)
            if self.last:
                return
            self.parser = read_request(self.buffer)
            data = None
            self.out.flush()
            if len(self.out) > HIGH_WATER:
                self.full = True
                return

    def answer(self, request: Request) -> None:
        if not request.keep_alive:
            self.last = True
        try:
            response = self.app(request)
            octets = write_response(response, request.method, not self.last)
        except Exception:
            self.last = True
            octets = write_response(Response(500), request.method, False)
        self.out.write(octets)


class SelectorsServer:
    """Serve app to all clients of listener, in one thread; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        self.listener = listener
        self.app = app
        self.port = listener.getsockname()[1]
        self.stopped = False
        self.waker = Waker()
        self.reactor = Reactor()
        self.reactor.add(self.waker, EVENT_READ, self.on_wake)
        Acceptor(self.reactor, listener, self.on_connection)

    def on_wake(self, ready: int) -> None:
        self.waker.drain()

    def on_connection(self, sock: socket.socket) -> None:
        Connection(self.reactor, sock, self.app)

    def run(self) -> None:
        """Serve until stop(); then, or when an exception ends it, close listener and all connections."""
        try:
            while not self.stopped:
                self.reactor.run_once()
        finally:
            self.reactor.close()

    def stop(self) -> None:
        """Make run() return. From any thread, any number of times, before run() and after it too."""
        self.stopped = True
        self.waker.wake()
