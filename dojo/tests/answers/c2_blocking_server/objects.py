"""A blocking server: one client at a time, then a thread for each."""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeAlias

from katas.a4_byte_parser import feed
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

App: TypeAlias = Callable[[Request], Response]

RECV_SIZE = 65_536  # octets: what one recv asks for
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # the timeout of the socket while that goes on


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of data, however little of it the socket takes at a time.

    Uses send, and not sendall, which is what you are writing. Raises what send raises.
    """
    rest = memoryview(data)
    while rest:
        taken = sock.send(rest)
        rest = rest[taken:]


class _Chunks(Iterator[bytes]):
    """What comes out of a socket, until the client has said goodbye."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._ended = False

    def __next__(self) -> bytes:
        if self._ended:
            raise StopIteration
        chunk = self._sock.recv(RECV_SIZE)
        if not chunk:
            self._ended = True
            raise StopIteration
        return chunk


class _Connection:
    """ "open" while requests may come, then "lingering", then "closed"."""

    def __init__(self, sock: socket.socket, app: App) -> None:
        self._sock = sock
        self._app = app
        self._buffer = bytearray()
        self._chunks = _Chunks(sock)
        self._state = "open"

    def run(self) -> None:
        steps = {"open": self._answer_one, "lingering": self._linger}
        try:
            while self._state != "closed":
                steps[self._state]()
        except OSError:
            pass
        finally:
            self._sock.close()

    def _answer_one(self) -> None:
        try:
            request = feed(read_request(self._buffer), self._chunks)
        except BadRequest as bad:
            self._refuse(bad.status)
        except EOFError:
            self._state = "lingering"
        else:
            if request is None:
                self._state = "lingering"
            else:
                self._answer(request)

    def _answer(self, request: Request) -> None:
        try:
            octets = write_response(self._app(request), request.method, request.keep_alive)
        except Exception:
            self._refuse(500)
            return
        send_all(self._sock, octets)
        if not request.keep_alive:
            self._state = "lingering"

    def _refuse(self, status: int) -> None:
        send_all(self._sock, write_response(Response(status), keep_alive=False))
        self._state = "lingering"

    def _linger(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)
        self._sock.settimeout(LINGER_SECONDS)
        dropped = 0
        while dropped < LINGER_OCTETS:
            octets = self._sock.recv(RECV_SIZE)
            if not octets:
                break
            dropped += len(octets)
        self._state = "closed"


def serve_connection(sock: socket.socket, app: App) -> None:
    """Answer the requests of one client with app, in their order; then close sock, whatever happens.

    The connection ends after the answer to a request without keep_alive, at the end of the stream
    (part of a request gets no answer), and after two answers that have no body: the status of a
    BadRequest, and 500 where app raises any Exception or write_response refuses what it returned.
    A connection that breaks, before or in an answer, ends quietly. Octets go out with send_all.

    The close has stages: shutdown(SHUT_WR); then read and drop what still comes, until b"" or
    LINGER_OCTETS are dropped or sock, set to time out after LINGER_SECONDS, does so; then close.
    """
    _Connection(sock, app).run()


class _Clients(Iterator[socket.socket]):
    """The sockets of the clients, as they come, until the listener is closed."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def __next__(self) -> socket.socket:
        while True:
            try:
                sock, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except OSError:
                raise StopIteration from None
            return sock


def serve(listener: socket.socket, app: App) -> None:
    """Serve one client after the other, each to its end, until the listener is closed.

    All of it in the calling thread. Returns when accept raises OSError; ConnectionAbortedError
    is not the end, only a client who left the queue. Nor can any other client end it.
    """
    for sock in _Clients(listener):
        serve_connection(sock, app)


def serve_in_threads(listener: socket.socket, app: App) -> None:
    """Serve every client in a daemon thread of its own, until the listener is closed.

    Nobody waits for another client, however long that one is silent. It ends like serve.
    """
    for sock in _Clients(listener):
        threading.Thread(target=serve_connection, args=(sock, app), daemon=True).start()
