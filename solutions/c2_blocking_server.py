"""A blocking server: one client at a time, then a thread for each."""

import logging
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

_log = logging.getLogger(__name__)


def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of data, however little of it the socket takes at a time.

    Uses send, and not sendall, which is what you are writing. Raises what send raises.
    """
    rest = memoryview(data)  # slicing bytes would copy the rest each time
    while rest:
        rest = rest[sock.send(rest) :]


def serve_connection(sock: socket.socket, app: App) -> None:
    """Answer the requests of one client with app, in their order; then close sock, whatever happens.

    The connection ends after the answer to a request without keep_alive, and at the end of the
    stream (part of a request gets no answer). A BadRequest is answered with its status, and any
    Exception of app, or of write_response at what app returned, with 500; neither answer has a
    body, and after it the connection ends. One that breaks, before or in an answer, ends quietly.
    Octets go out with send_all.

    The close has stages: shutdown(SHUT_WR); then read and drop what still comes, until b"" or
    LINGER_OCTETS are dropped or sock, set to time out after LINGER_SECONDS, does so; then close.
    """
    buffer = bytearray()  # between two requests, it holds the beginning of the next
    try:
        while _answer_next(sock, app, buffer):
            pass
        _read_out(sock)
    except OSError:
        pass  # the client is gone, or was silent for too long: there is nobody to tell
    finally:
        sock.close()


def serve(listener: socket.socket, app: App) -> None:
    """Serve one client after the other, each to its end, until the listener is closed.

    All of it in the calling thread. Returns when accept raises OSError; ConnectionAbortedError
    is not the end, only a client who left the queue. Nor can any other client end it.
    """
    for sock in _clients(listener):
        serve_connection(sock, app)


def serve_in_threads(listener: socket.socket, app: App) -> None:
    """Serve every client in a daemon thread of its own, until the listener is closed.

    Nobody waits for another client, however long that one is silent. It ends like serve.
    """
    for sock in _clients(listener):
        # A daemon: a client who never leaves cannot keep the program from its end.
        threading.Thread(target=serve_connection, args=(sock, app), daemon=True).start()


def _answer_next(sock: socket.socket, app: App, buffer: bytearray) -> bool:
    """Answer the next request; return whether another one may follow."""
    chunks = iter(lambda: sock.recv(RECV_SIZE), b"")  # b"" is the client's goodbye
    try:
        request = feed(read_request(buffer), chunks)
    except BadRequest as fault:
        # Where does the next request begin? Nobody can tell any more. And no body:
        # the request may have been a HEAD.
        send_all(sock, write_response(Response(fault.status), keep_alive=False))
        return False
    except EOFError:
        return False
    if request is None:
        return False

    keep_alive = request.keep_alive
    try:
        answer = write_response(app(request), request.method, keep_alive)
    except Exception:
        # Only Exception: Ctrl-C is not the app's, it ends the server.
        _log.exception("the app failed at %s %s", request.method, request.target)
        keep_alive = False
        answer = write_response(Response(500), request.method, keep_alive)
    send_all(sock, answer)
    return keep_alive


def _read_out(sock: socket.socket) -> None:
    """Say that no more will be sent, then read and drop what is still under way.

    Closing while input is unread makes TCP send a reset, and a reset takes along what the
    client has not read yet: the answer (RFC 9112 section 9.6). The client has to read that
    first, then close; that is the end waited for here, though not for ever.
    """
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(LINGER_SECONDS)
    dropped = 0
    while dropped < LINGER_OCTETS and (chunk := sock.recv(RECV_SIZE)):
        dropped += len(chunk)


def _clients(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield one connection after the other until the listener is closed."""
    while True:
        try:
            sock, _ = listener.accept()
        except ConnectionAbortedError:
            continue  # this one gave up in the queue; the next may be waiting
        except OSError:
            return
        yield sock
