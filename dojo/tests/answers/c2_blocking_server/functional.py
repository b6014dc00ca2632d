"""A blocking server: one client at a time, then a thread for each."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import accumulate
from threading import Thread
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
    with memoryview(data) as view:
        sent = 0
        while sent < len(view):
            sent += sock.send(view[sent:])


def answers(received: Iterator[bytes], app: App) -> Iterator[bytes]:
    """Yield the octets of one answer after the other, to the last one of the connection."""
    buffer = bytearray()
    keep_alive = True
    while keep_alive:
        try:
            request = feed(read_request(buffer), received)
        except EOFError:
            return
        except BadRequest as refused:
            yield write_response(Response(refused.status), keep_alive=False)
            return
        if request is None:
            return
        keep_alive = request.keep_alive
        try:
            answer = write_response(app(request), request.method, keep_alive)
        except Exception:
            keep_alive = False
            answer = write_response(Response(500), request.method, keep_alive)
        yield answer


def drop(sock: socket.socket) -> None:
    """Read and drop what still comes, to its end or to LINGER_OCTETS."""
    scratch = bytearray(RECV_SIZE)
    counts = iter(partial(sock.recv_into, scratch), 0)
    any(dropped >= LINGER_OCTETS for dropped in accumulate(counts))


def serve_connection(sock: socket.socket, app: App) -> None:
    """Answer the requests of one client with app, in their order; then close sock, whatever happens.

    The connection ends after the answer to a request without keep_alive, at the end of the stream
    (part of a request gets no answer), and after two answers that have no body: the status of a
    BadRequest, and 500 where app raises any Exception or write_response refuses what it returned.
    A connection that breaks, before or in an answer, ends quietly. Octets go out with send_all.

    The close has stages: shutdown(SHUT_WR); then read and drop what still comes, until b"" or
    LINGER_OCTETS are dropped or sock, set to time out after LINGER_SECONDS, does so; then close.
    """
    received = iter(partial(sock.recv, RECV_SIZE), b"")
    with closing(sock), suppress(OSError):
        for answer in answers(received, app):
            send_all(sock, answer)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_SECONDS)
        drop(sock)


def clients(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield the socket of one client after the other, until the listener is closed."""
    with suppress(OSError):
        while True:
            with suppress(ConnectionAbortedError):
                yield listener.accept()[0]


def serve(listener: socket.socket, app: App) -> None:
    """Serve one client after the other, each to its end, until the listener is closed.

    All of it in the calling thread. Returns when accept raises OSError; ConnectionAbortedError
    is not the end, only a client who left the queue. Nor can any other client end it.
    """
    for sock in clients(listener):
        serve_connection(sock, app)


def serve_in_threads(listener: socket.socket, app: App) -> None:
    """Serve every client in a daemon thread of its own, until the listener is closed.

    Nobody waits for another client, however long that one is silent. It ends like serve.
    """
    for sock in clients(listener):
        Thread(target=serve_connection, args=(sock, app), daemon=True).start()
