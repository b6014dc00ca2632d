"""A selectors server of generators that ask for events, and a reactor that knows one number at a time."""

import contextlib
import selectors
import socket
from selectors import EVENT_READ, EVENT_WRITE

from katas.c1_http_messages import BadRequest, Response, read_request, write_response
from katas.c3_multiplexing import Waker

HIGH_WATER = 65_536
LINGER_OCTETS = 4_194_304


class Reactor:
    def __init__(self, selector=None):
        self.selector = selector or selectors.SelectSelector()
        self.round = []

    def add(self, sock, events, callback):
        self.selector.register(sock, events, callback)

    def change(self, sock, events):
        callback = self.selector.unregister(sock).data
        self.selector.register(sock, events, callback)

    def remove(self, sock):
        self.selector.unregister(sock)
        self.round = [(key, ready) for key, ready in self.round if key.fileobj is not sock]

    def run_once(self, timeout=None):
        self.round = self.selector.select(timeout)
        while self.round:
            key, ready = self.round.pop()
            key.data(ready)

    def close(self):
        for key in list(self.selector.get_map().values()):
            self.remove(key.fileobj)
            key.fileobj.close()
        self.selector.close()


class Task:
    """Runs a generator that yields the events which it wants of sock, and closes sock at its end."""

    def __init__(self, reactor, sock, generator):
        sock.setblocking(False)
        self.reactor, self.sock, self.generator = reactor, sock, generator
        reactor.add(sock, next(generator), self.step)

    def step(self, ready):
        try:
            self.reactor.change(self.sock, self.generator.send(ready))
        except Exception:
            with contextlib.suppress(KeyError):
                self.reactor.remove(self.sock)
            self.sock.close()


class Acceptor(Task):
    def __init__(self, reactor, listener, on_connection):
        super().__init__(reactor, listener, self.accept(listener, on_connection))

    def accept(self, listener, on_connection):
        yield EVENT_READ
        while True:
            try:
                while True:
                    try:
                        sock = listener.accept()[0]
                    except ConnectionAbortedError:
                        continue
                    on_connection(sock)
            except OSError:
                yield EVENT_READ


class Connection(Task):
    def __init__(self, reactor, sock, app):
        self.app, self.rest = app, b""
        super().__init__(reactor, sock, self.live(sock))

    def live(self, sock):
        buffer, ended = bytearray(), False
        while not ended:
            parser = read_request(buffer)
            try:
                next(parser)
                while True:
                    parser.send((yield from self.receive(sock)))
            except StopIteration as finished:
                request = finished.value
                if request is None:
                    break
                ended = not request.keep_alive
                answer = self.ask(request)
                ended = ended or answer is None
                self.rest += answer or write_response(Response(500), request.method, False)
            except BadRequest as fault:
                ended = True
                self.rest += write_response(Response(fault.status), keep_alive=False)
            except EOFError:
                ended = True
            self.flush(sock)
            while len(self.rest) > HIGH_WATER or (ended and self.rest):
                yield EVENT_WRITE
                self.flush(sock)
        while self.rest:
            yield EVENT_WRITE
            self.flush(sock)
        sock.shutdown(socket.SHUT_WR)
        left = LINGER_OCTETS
        while left > 0 and (chunk := (yield from self.receive(sock))):
            left -= len(chunk)

    def ask(self, request):
        with contextlib.suppress(Exception):
            return write_response(self.app(request), request.method, request.keep_alive)

    def receive(self, sock):
        while True:
            ready = yield EVENT_READ | (EVENT_WRITE if self.rest else 0)
            if ready & EVENT_WRITE:
                self.flush(sock)
            if ready & EVENT_READ:
                with contextlib.suppress(BlockingIOError):
                    return sock.recv(12_345)

    def flush(self, sock):
        with contextlib.suppress(BlockingIOError):
            self.rest = self.rest[sock.send(self.rest) :] if self.rest else b""


class SelectorsServer:
    def __init__(self, listener, app):
        self.port = listener.getsockname()[1]
        self.reactor, self.waker, self.over = Reactor(selectors.DefaultSelector()), Waker(), []
        self.reactor.add(self.waker, EVENT_READ, lambda ready: self.waker.drain())
        Acceptor(self.reactor, listener, lambda sock: Connection(self.reactor, sock, app))

    def run(self):
        with contextlib.closing(self.reactor):
            while not self.over:
                self.reactor.run_once(None)

    def stop(self):
        self.over.append(True)
        self.waker.wake()
