"""A streams server: asyncio's own streams, and a shutdown that leaves nothing behind."""

import asyncio
import inspect
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias, TypeVar

from katas.a4_byte_parser import Parser, receive_more
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]

PIECE = 65_536  # octets: what one read asks for, and what is written at a time
IDLE_SECONDS = 60.0  # how long a client may keep us waiting
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # and for how long

_log = logging.getLogger(__name__)


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Write data in pieces of at most PIECE octets; drain writer after each, before the next.

    Raises TimeoutError where draining takes longer than idle seconds for one piece (math.inf: no
    limit), and what drain raises where the client is gone: a ConnectionError.
    """
    for start in range(0, len(data), PIECE):
        writer.write(data[start : start + PIECE])
        # A deadline for each piece: who takes a large answer slowly, but takes it, gets all of it.
        async with asyncio.timeout(idle):
            await writer.drain()


async def read_within(reader: asyncio.StreamReader, parser: Parser[T], idle: float) -> T:
    """Start parser, send it what reader.read gives, and return what it returns.

    Reads only when the parser waits for octets; b"", the end of the stream, is sent to it too. Raises
    TimeoutError where it has not returned idle seconds after the call, however many octets have
    come by then (math.inf: no limit), and what parser and reader raise.
    """
    try:
        next(parser)
        # One deadline for all: an octet now and then does not move it.
        async with asyncio.timeout(idle):
            while True:
                parser.send(await reader.read(PIECE))
    except StopIteration as finished:
        result: T = finished.value
        return result


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
    await _Connection(reader, writer, app, idle).live()


class _Connection:
    """The life of one connection, and what the server has to know of it when it closes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, app: App, idle: float
    ) -> None:
        self.in_flight = False  # from the first octet of a request to the last of its answer
        self.closing = False  # is the next answer to be the last?
        self.writer = writer
        self._reader, self._app, self._idle = reader, app, idle
        self._buffer = bytearray()

    async def live(self) -> None:
        # drain() waits only where more is unsent than this: by itself, 64 KiB. With 0, all that
        # was drained has been sent, and nothing is left to wait for at the end.
        self.writer.transport.set_write_buffer_limits(0)
        try:
            while await self._answer_next():
                pass
            await self._read_out()
        except OSError:
            pass  # TimeoutError is one too: the client is gone, or keeps us waiting for too long
        finally:
            # Not close(): with something unsent, that waits until the client takes it, maybe for ever.
            self.writer.transport.abort()
            with suppress(OSError):
                await self.writer.wait_closed()  # it is closed in the loop's next round, not before

    async def _answer_next(self) -> bool:
        """Answer the next request; return whether another one may follow."""
        try:
            request = await read_within(self._reader, self._next_request(), self._idle)
        except BadRequest as fault:
            await send(self.writer, write_response(Response(fault.status), keep_alive=False), self._idle)
            return False
        except EOFError:
            return False
        if request is None:
            return False

        try:
            response = self._app(request)
            if inspect.isawaitable(response):
                response = await response
            keep_alive = request.keep_alive and not self.closing
            answer = write_response(response, request.method, keep_alive)
        except Exception:  # a CancelledError is none: who cancels us does not want a 500
            _log.exception("the app failed at %s %s", request.method, request.target)
            keep_alive = False
            answer = write_response(Response(500), request.method, keep_alive)
        await send(self.writer, answer, self._idle)
        return keep_alive and (not self.closing or bool(self._buffer))  # pipelined: in flight by now

    def _next_request(self) -> Parser[Request | None]:
        """The parser of c1, and a note of where the request begins."""
        self.in_flight = False
        if not self._buffer:
            yield from receive_more(self._buffer)  # EOFError: the client has said goodbye
        self.in_flight = True
        return (yield from read_request(self._buffer))

    async def _read_out(self) -> None:
        """Say that no more will be sent; drop what still comes, or a reset takes the answer along."""
        self.writer.write_eof()
        dropped = 0
        async with asyncio.timeout(LINGER_SECONDS):
            while dropped < LINGER_OCTETS and (chunk := await self._reader.read(PIECE)):
                dropped += len(chunk)


class StreamsServer:
    """Serve app to all clients of listener, each in a task of its own; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App, idle: float = IDLE_SECONDS) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener, self._app, self._idle = listener, app, idle
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    async def start(self) -> None:
        """Begin to accept clients, and return; they are served while the loop runs."""
        self._server = await asyncio.start_server(self._welcome, sock=self._listener)

    async def aclose(self, grace: float) -> None:
        """Stop, and return when nothing is left: no listener, no connection, no task.

        Nobody is let in any more. A connection with no request in flight is closed at once. One is in
        flight from its first octet to the last of its answer, or, where that is the connection's last,
        to the close: those have, all together, grace seconds to come to their end, and their answers
        say close; then they are cut off: cancelled, the app's awaitable too, and closed. Cancelled
        itself, aclose cuts off at once. Without start(), and a second time, it is well too.
        """
        try:
            (self._server or self._listener).close()
            await asyncio.sleep(0)  # who was just being let in gets a task now, and is one of these:
            for task, connection in self._connections.items():
                connection.closing = True
                if not connection.in_flight:
                    task.cancel()
            if self._connections:
                await asyncio.wait(list(self._connections), timeout=grace)
        finally:
            # Not Server.wait_closed(): it waits for clients, and ends none (before 3.12, not even that).
            tasks = list(self._connections)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # what was aborted at last is closed in the loop's next round

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(reader, writer, self._app, self._idle)
        task = asyncio.create_task(connection.live())
        self._connections[task] = connection  # the loop does not hold on to its tasks: we do
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        # A task that is cancelled before it begins never begins: its `finally` has closed nothing.
        self._connections.pop(task).writer.transport.abort()
