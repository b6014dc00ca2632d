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
    while len(data) > 0:
        sent = sock.send(data)
        data = data[sent:]


def receive(sock: socket.socket) -> Iterator[bytes]:
    """Give what comes from sock, piece by piece, until the client says goodbye."""
    while True:
        data = sock.recv(RECV_SIZE)
        if data == b"":
            return
        yield data


def serve_connection(sock: socket.socket, app: App) -> None:
    """Answer the requests of one client with app, in their order; then close sock, whatever happens.

    The connection ends after the answer to a request without keep_alive, at the end of the stream
    (part of a request gets no answer), and after two answers that have no body: the status of a
    BadRequest, and 500 where app raises any Exception or write_response refuses what it returned.
    A connection that breaks, before or in an answer, ends quietly. Octets go out with send_all.

    The close has stages: shutdown(SHUT_WR); then read and drop what still comes, until b"" or
    LINGER_OCTETS are dropped or sock, set to time out after LINGER_SECONDS, does so; then close.
    """
    buffer = bytearray()
    try:
        while True:
            try:
                request = feed(read_request(buffer), receive(sock))
            except BadRequest as error:
                send_all(sock, write_response(Response(error.status), "GET", False))
                break
            except EOFError:
                break
            if request is None:
                break
            try:
                response = app(request)
                answer = write_response(response, request.method, request.keep_alive)
            except Exception:
                send_all(sock, write_response(Response(500), request.method, False))
                break
            send_all(sock, answer)
            if not request.keep_alive:
                break
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(LINGER_SECONDS)
        dropped = 0
        while dropped < LINGER_OCTETS:
            data = sock.recv(RECV_SIZE)
            if data == b"":
                break
            dropped = dropped + len(data)
    except OSError:
        pass
    finally:
        sock.close()


def serve(listener: socket.socket, app: App) -> None:
    """Serve one client after the other, each to its end, until the listener is closed.

    All of it in the calling thread. Returns when accept raises OSError; ConnectionAbortedError
    is not the end, only a client who left the queue. Nor can any other client end it.
    """
    while True:
        try:
            sock, address = listener.accept()
        except ConnectionAbortedError:
            continue
        except OSError:
            return
        serve_connection(sock, app)


def serve_in_threads(listener: socket.socket, app: App) -> None:
    """Serve every client in a daemon thread of its own, until the listener is closed.

    Nobody waits for another client, however long that one is silent. It ends like serve.
    """
    while True:
        try:
            sock, address = listener.accept()
        except ConnectionAbortedError:
            continue
        except OSError:
            return
        thread = threading.Thread(target=serve_connection, args=(sock, app), daemon=True)
        thread.start()
