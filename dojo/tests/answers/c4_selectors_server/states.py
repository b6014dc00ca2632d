"""A selectors server with a table of states, and registrations by number: another make."""

import contextlib
import queue
import selectors
import socket
from selectors import EVENT_READ, EVENT_WRITE

from katas.c1_http_messages import BadRequest, Response, read_request, write_response
from katas.c3_multiplexing import Waker

HIGH_WATER = 65_536
LINGER_OCTETS = 4_194_304


class Registration:
    def __init__(self, sock, callback):
        self.sock, self.callback, self.alive = sock, callback, True


class Reactor:
    def __init__(self, selector=None):
        self.selector = selector or selectors.DefaultSelector()

    def add(self, sock, events, callback):
        self.selector.register(sock.fileno(), events, Registration(sock, callback))

    def change(self, sock, events):
        key = self.selector.get_key(sock.fileno())
        if key.events != events:
            self.selector.modify(sock.fileno(), events, key.data)

    def remove(self, sock):
        self.selector.unregister(sock.fileno()).data.alive = False

    def run_once(self, timeout=None):
        due = queue.SimpleQueue()
        for key, ready in self.selector.select(timeout):
            due.put((key.data, ready))
        while not due.empty():
            registration, ready = due.get()
            if registration.alive:
                registration.callback(ready)

    def close(self):
        left = [key.data.sock for key in self.selector.get_map().values()]
        self.selector.close()
        for sock in left:
            sock.close()


class Acceptor:
    def __init__(self, reactor, listener, on_connection):
        listener.settimeout(0)

        def accept_all(ready):
            with contextlib.suppress(OSError):
                while True:
                    with contextlib.suppress(ConnectionAbortedError):
                        on_connection(listener.accept()[0])

        reactor.add(listener, EVENT_READ, accept_all)


class Connection:
    def __init__(self, reactor, sock, app):
        sock.settimeout(0)
        self.reactor, self.sock, self.app = reactor, sock, app
        self.chunk = bytearray(4_096)
        self.buffer, self.out, self.pieces = bytearray(), bytearray(), []
        self.parser = None
        self.state = self.reading
        self.left = LINGER_OCTETS
        reactor.add(sock, EVENT_READ, self)

    def __call__(self, ready):
        try:
            if ready & EVENT_READ:
                try:
                    count = self.sock.recv_into(self.chunk)
                except BlockingIOError:
                    return
                self.state(bytes(self.chunk[:count]))
            self.push()
            while self.state == self.full and len(self.out) <= HIGH_WATER:
                self.state = self.reading
                self.parse(None)
                self.push()
            if self.state == self.ending and not self.out:
                self.sock.shutdown(socket.SHUT_WR)
                self.state = self.lingering
            if self.state is None:
                return self.finish()
            reads = self.state in (self.lingering, self.reading) and len(self.out) <= HIGH_WATER
            self.reactor.change(self.sock, EVENT_READ * reads | EVENT_WRITE * bool(self.out))
        except Exception:
            self.finish()

    def finish(self):
        self.reactor.remove(self.sock)
        self.sock.close()

    def push(self):
        with contextlib.suppress(BlockingIOError):
            while self.out:
                with memoryview(self.out) as view:
                    sent = self.sock.sendmsg([view[:10_000]]) if hasattr(socket.socket, "sendmsg") else None
                if sent is None:
                    sent = self.sock.send(bytes(self.out[:10_000]))
                del self.out[:sent]

    def reading(self, data):
        self.parse(data)

    def full(self, data):
        raise AssertionError("full: nothing is read")

    def ending(self, data):
        raise AssertionError("ending: nothing is read")

    def lingering(self, data):
        self.left -= len(data)
        if not data or self.left <= 0:
            self.state = None

    def parse(self, data):
        while True:
            if self.parser is None:
                self.parser = read_request(self.buffer)
                try:
                    next(self.parser)
                except StopIteration as finished:
                    request = finished.value
                    self.parser = None
                    if not self.answer(request):
                        return
                    continue
                except BadRequest as fault:
                    return self.last(Response(fault.status))
            if data is None:
                return
            try:
                self.parser.send(data)
                return
            except StopIteration as finished:
                self.parser, data = None, None
                if not self.answer(finished.value):
                    return
            except BadRequest as fault:
                return self.last(Response(fault.status))
            except EOFError:
                self.state = self.ending
                return

    def answer(self, request):
        """Answer one request; return whether there may be another now."""
        if request is None:
            self.state = self.ending
            return False
        try:
            self.out += write_response(self.app(request), request.method, request.keep_alive)
        except Exception:
            self.last(Response(500), request.method)
            return False
        if not request.keep_alive:
            self.state = self.ending
        elif len(self.out) > HIGH_WATER:
            self.state = self.full
        return self.state == self.reading

    def last(self, response, method="GET"):
        self.out += write_response(response, method, False)
        self.state = self.ending


class SelectorsServer:
    def __init__(self, listener, app):
        self.listener, self.app = listener, app
        self.waker = Waker()
        self.reactor = Reactor()
        self.reactor.add(self.waker, EVENT_READ, lambda ready: self.waker.drain())
        Acceptor(self.reactor, listener, self.take_in)
        self.going = True

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def take_in(self, sock):
        Connection(self.reactor, sock, self.app)

    def run(self):
        with contextlib.closing(self.reactor):
            while self.going:
                self.reactor.run_once(30)

    def stop(self):
        self.going = False
        self.waker.wake()
