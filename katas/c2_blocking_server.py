"""A blocking server: one client at a time, then a thread for each."""

import socket
from collections.abc import Callable
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
    raise NotImplementedError


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
    raise NotImplementedError


def serve(listener: socket.socket, app: App) -> None:
    """Serve one client after the other, each to its end, until the listener is closed.

    All of it in the calling thread. Returns when accept raises OSError; ConnectionAbortedError
    is not the end, only a client who left the queue. Nor can any other client end it.
    """
    raise NotImplementedError


def serve_in_threads(listener: socket.socket, app: App) -> None:
    """Serve every client in a daemon thread of its own, until the listener is closed.

    Nobody waits for another client, however long that one is silent. It ends like serve.
    """
    raise NotImplementedError
