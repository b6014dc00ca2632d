"""A streams server: asyncio's own streams, and a shutdown that leaves nothing behind."""

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from katas.a4_byte_parser import Parser, receive_more
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]

PIECE = 65_536  # octets: what one read asks for, and what is written at a time
IDLE_SECONDS = 60.0  # how long a client may keep us waiting
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # and for how long


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Write data in pieces of at most PIECE octets; drain writer after each, before the next.

    Raises TimeoutError where draining takes longer than idle seconds for one piece (math.inf: no
    limit), and what drain raises where the client is gone: a ConnectionError.
    """
    raise NotImplementedError


async def read_within(reader: asyncio.StreamReader, parser: Parser[T], idle: float) -> T:
    """Start parser, send it what reader.read gives, and return what it returns.

    Reads only when the parser waits for octets; b"", the end of the stream, is sent to it too. Raises
    TimeoutError where it has not returned idle seconds after the call, however many octets have
    come by then (math.inf: no limit), and what parser and reader raise.
    """
    raise NotImplementedError


async def handle(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, app: App, idle: float = IDLE_SECONDS
) -> None:
    """Answer the requests of one client with app, in their order; then close, whatever happens.

    app returns a Response, or an awaitable of one: then that is awaited, for as long as it takes.
    A client has idle seconds to send the whole of its next request, and again to take each piece of
    an answer: else the connection ends. Which answer is the last, and how the connection is closed
    behind it, is told in the Rules. When handle is over, the connection is closed. A client
    who is gone ends it quietly; it raises what is no Exception: a CancelledError, Ctrl-C in app.
    """
    raise NotImplementedError


class StreamsServer:
    """Serve app to all clients of listener, each in a task of its own; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App, idle: float = IDLE_SECONDS) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to accept clients, and return; they are served while the loop runs."""
        raise NotImplementedError

    async def aclose(self, grace: float) -> None:
        """Stop, and return when nothing is left: no listener, no connection, no task.

        Nobody is let in any more. A connection with no request in flight is closed at once. One is in
        flight from its first octet to the last of its answer, or, where that is the connection's last,
        to the close: those have, all together, grace seconds to come to their end, and their answers
        say close; then they are cut off: cancelled, the app's awaitable too, and closed. Cancelled
        itself, aclose cuts off at once. Without start(), and a second time, it is well too.
        """
        raise NotImplementedError
