"""A selectors server: one thread, callbacks, thousands of clients."""

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import TypeAlias

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

CHUNK = 65_536  # octets: what one recv asks for
HIGH_WATER = 65_536  # octets: with more than this unsent, the client must first take some
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most

App: TypeAlias = Callable[[Request], Response]
Watchable: TypeAlias = socket.socket | Waker  # what has fileno() and close()
Callback: TypeAlias = Callable[[int], object]  # is called with the events that are ready
OnConnection: TypeAlias = Callable[[socket.socket], object]


class Reactor:
    """Wait for many sockets at once, in selector or a DefaultSelector, and call back the ready ones."""

    def __init__(self, selector: BaseSelector | None = None) -> None:
        self.selector = selector or DefaultSelector()
        self.watched: dict[Watchable, object] = {}

    def add(self, sock: Watchable, events: int, callback: Callback) -> None:
        """Call callback(ready) in every round in which sock is ready for some of events."""
        self.watched[sock] = callback
        self.selector.register(sock, events, callback)

    def change(self, sock: Watchable, events: int) -> None:
        """Wait for these events of sock from now on, with the same callback."""
        self.selector.modify(sock, events, self.watched[sock])

    def remove(self, sock: Watchable) -> None:
        """Forget sock, before it is closed: it is not called again, not even later in this round."""
        del self.watched[sock]
        self.selector.unregister(sock)

    def run_once(self, timeout: float | None = None) -> None:
        """Do one round: one select() with this timeout, then one call for each socket that is ready."""
        for key, ready in self.selector.select(timeout):
            if self.watched.get(key.fileobj) is key.data:
                key.data(ready)

    def close(self) -> None:
        """Remove and close all that was added and not removed; then close the selector."""
        with ExitStack() as stack:
            stack.callback(self.selector.close)
            for sock in self.watched:
                stack.callback(sock.close)
                stack.callback(self.selector.unregister, sock)
            self.watched.clear()


class Acceptor:
    """Accept whoever comes to listener, and call on_connection(sock) for each.

    Makes listener non-blocking and adds it to reactor. An event takes in all who wait, up to
    BlockingIOError. ConnectionAbortedError is one who left the queue: go on with the next. Any
    other OSError (no descriptors left) ends this event, and no more. None of them is raised.
    """

    def __init__(self, reactor: Reactor, listener: socket.socket, on_connection: OnConnection) -> None:
        def clients() -> Iterator[socket.socket]:
            while True:
                try:
                    yield listener.accept()[0]
                except ConnectionAbortedError:
                    continue
                except OSError:  # BlockingIOError: that was all of them
                    return

        def welcome(_: int) -> None:
            for client in clients():
                on_connection(client)

        listener.setblocking(False)
        reactor.add(listener, EVENT_READ, welcome)


def converse(sock: socket.socket, app: App) -> Generator[int, None, None]:
    """Tell the life of a connection from top to bottom: yield the events that it waits for."""
    buffer, out, scratch = bytearray(), OutBuffer(sock), memoryview(bytearray(CHUNK))

    def receive() -> Generator[int, None, memoryview]:
        while True:
            yield EVENT_READ | (EVENT_WRITE if len(out) else 0)
            out.flush()
            with suppress(BlockingIOError):
                return scratch[: sock.recv_into(scratch)]

    def drained(mark: int) -> Generator[int, None, None]:
        while not out.flush() and len(out) > mark:
            yield EVENT_WRITE

    def next_request() -> Generator[int, None, Request | None]:
        parser = read_request(buffer)
        try:
            next(parser)
            while True:
                parser.send(bytes((yield from receive())))
        except StopIteration as finished:
            return finished.value

    keep_alive = True
    while keep_alive:
        yield from drained(HIGH_WATER)
        try:
            request = yield from next_request()
        except BadRequest as fault:
            keep_alive = False
            out.write(write_response(Response(fault.status), keep_alive=False))
        except EOFError:
            break
        else:
            if request is None:
                break
            keep_alive = request.keep_alive
            try:
                answer = write_response(app(request), request.method, keep_alive)
            except Exception:
                keep_alive = False
                answer = write_response(Response(500), request.method, keep_alive)
            out.write(answer)
    yield from drained(0)
    sock.shutdown(socket.SHUT_WR)
    dropped = 0
    while dropped < LINGER_OCTETS and (chunk := (yield from receive())):
        dropped += len(chunk)


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
        life = converse(sock, app)
        waits_for = next(life)

        def wake(_: int) -> None:
            nonlocal waits_for
            try:
                before, waits_for = waits_for, next(life)
                if waits_for != before:
                    reactor.change(sock, waits_for)
            except Exception:  # StopIteration: well; any other: badly
                reactor.remove(sock)
                sock.close()

        reactor.add(sock, waits_for, wake)


class SelectorsServer:
    """Serve app to all clients of listener, in one thread; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App) -> None:
        self.port = listener.getsockname()[1]
        self.reactor, self.waker, self.stopping = Reactor(), Waker(), False
        self.reactor.add(self.waker, EVENT_READ, lambda _: self.waker.drain())
        Acceptor(self.reactor, listener, lambda sock: Connection(self.reactor, sock, app))

    def run(self) -> None:
        """Serve until stop(); then, or when an exception ends it, close listener and all connections."""
        with closing(self.reactor):
            while not self.stopping:
                self.reactor.run_once()

    def stop(self) -> None:
        """Make run() return. From any thread, any number of times, before run() and after it too."""
        self.stopping = True
        self.waker.wake()
