"""A selectors server of functions: what a connection does next is its callback; the mark is at 0."""

import selectors
import socket
import threading
from selectors import EVENT_READ, EVENT_WRITE

from katas.c1_http_messages import BadRequest, Response, read_request, write_response
from katas.c3_multiplexing import OutBuffer, Waker

HIGH_WATER = 65_536
LINGER_OCTETS = 4_194_304


class Reactor(dict):
    """A dict of sockets, each with a callback."""

    def __init__(self, selector=None):
        self.selector = selector if selector is not None else selectors.DefaultSelector()

    def add(self, sock, events, callback):
        self[sock] = callback
        self.selector.register(sock, events)

    def change(self, sock, events):
        self.selector.unregister(sock)
        self.selector.register(sock, events)

    def remove(self, sock):
        self.selector.unregister(sock)
        self.pop(sock)

    def run_once(self, timeout=None):
        for (sock, *_), events in self.selector.select(timeout):
            self.get(sock, id)(events)

    def close(self):
        with self.selector:
            while self:
                sock = next(iter(self))
                self.remove(sock)
                sock.close()


def Acceptor(reactor, listener, on_connection):  # noqa: N802
    listener.setblocking(False)

    def accept(events):
        try:
            while sock := take():
                if sock is not listener:
                    on_connection(sock)
        except OSError:
            return

    def take():
        try:
            return listener.accept()[0]
        except ConnectionAbortedError:
            return listener  # stands for nobody

    reactor.add(listener, EVENT_READ, accept)


def Connection(reactor, sock, app):  # noqa: N802
    sock.setblocking(False)
    out, octets, seen = OutBuffer(sock), bytearray(), []
    dropped = 0

    def guarded(step):
        def callback(events):
            try:
                step()
            except BlockingIOError:
                return
            except Exception:
                finish()

        return callback

    def become(step, events):
        reactor.remove(sock)
        reactor.add(sock, events, guarded(step))

    def finish():
        reactor.remove(sock)
        sock.close()

    def read():
        chunk = sock.recv(1 << 16)
        seen.append(chunk)
        octets.extend(chunk)
        answer()

    def answer():
        """Answer one request after the other, as far as they are whole and the client takes the answers."""
        while octets or not seen[-1]:
            trial = bytearray(octets)  # parsed from its beginning each time: slow, and right
            last, method = True, "GET"
            try:
                request = parse(trial)
            except Incomplete:
                break
            except EOFError:
                return bye()
            except BadRequest as fault:
                response = Response(fault.status)
            else:
                if request is None:
                    return bye()
                last, method = not request.keep_alive, request.method
                try:
                    response = app(request)
                    write_response(response, method)
                except Exception:
                    last, response = True, Response(500)
            octets[:] = trial
            out.write(write_response(response, method, not last))
            if last:
                return bye()
            if not out.flush():
                return become(write, EVENT_WRITE)

    def parse(trial):
        parser = read_request(trial)
        try:
            next(parser)
            if seen[-1]:
                raise Incomplete
            parser.send(b"")
        except StopIteration as finished:
            return finished.value
        raise EOFError

    def write():
        if out.flush():
            become(read, EVENT_READ)
            answer()

    def bye():
        if not out.flush():
            return become(bye, EVENT_WRITE)
        sock.shutdown(socket.SHUT_WR)
        become(drop, EVENT_READ)

    def drop():
        nonlocal dropped
        chunk = sock.recv(1 << 18)
        dropped += len(chunk)
        if not chunk or dropped >= LINGER_OCTETS:
            finish()

    reactor.add(sock, EVENT_READ, guarded(read))


class Incomplete(Exception):  # noqa: N818
    pass


class SelectorsServer:
    def __init__(self, listener, app):
        self.port = listener.getsockname()[1]
        self.stopped = threading.Event()
        self.waker, self.reactor = Waker(), Reactor()
        self.reactor.add(self.waker, EVENT_READ, self.woken)
        Acceptor(self.reactor, listener, lambda sock: Connection(self.reactor, sock, app))

    def woken(self, events):
        self.waker.drain()

    def run(self):
        try:
            while not self.stopped.is_set():
                self.reactor.run_once()
        finally:
            self.reactor.close()

    def stop(self):
        self.stopped.set()
        self.waker.wake()
