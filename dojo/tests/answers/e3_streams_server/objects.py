"""A streams server: asyncio's own streams, and a shutdown that leaves nothing behind."""

import asyncio
import contextlib
import inspect
import math
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from katas.a4_byte_parser import Parser, receive_more
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]

PIECE = 65_536  # octets: what one read asks for, and what is written at a time
IDLE_SECONDS = 60.0  # how long a client may keep us waiting
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # and for how long


def deadline(seconds: float) -> asyncio.Timeout:
    """Return asyncio's timeout, with none for math.inf."""
    return asyncio.timeout(None if math.isinf(seconds) else seconds)


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await coroutine to its end, whatever comes; a cancellation that came meanwhile is raised then."""
    task = asyncio.ensure_future(coroutine)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Write data in pieces of at most PIECE octets; drain writer after each, before the next.

    Raises TimeoutError where draining takes longer than idle seconds for one piece (math.inf: no
    limit), and what drain raises where the client is gone: a ConnectionError.
    """
    for start in range(0, len(data), PIECE):
        writer.write(data[start : start + PIECE])
        async with deadline(idle):
            await writer.drain()


async def read_within(reader: asyncio.StreamReader, parser: Parser[T], idle: float) -> T:
    """Start parser, send it what reader.read gives, and return what it returns.

    Reads only when the parser waits for octets; b"", the end of the stream, is sent to it too. Raises
    TimeoutError where it has not returned idle seconds after the call, however many octets have
    come by then (math.inf: no limit), and what parser and reader raise.
    """
    async with deadline(idle):
        try:
            next(parser)
            while True:
                parser.send(await reader.read(PIECE))
        except StopIteration as stop:
            return stop.value


class Closing:
    """Close a connection behind the block, and be there until it is closed."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()  # what was to be sent has been: see Conversation
        await to_the_end(self._closed())

    async def _closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Conversation:
    """The requests and answers of one client, from the first to the close."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, app: App, idle: float
    ) -> None:
        self._reader, self._writer, self._app, self._idle = reader, writer, app, idle
        self._buffer = bytearray()
        self._waiting = True  # for a request: none is being answered
        self._leaving = False  # the next answer is the last

    async def run(self) -> None:
        """Be the body of handle."""
        self._cancellations_before = self._cancellations()
        async with Closing(self._writer):
            with contextlib.suppress(EOFError, OSError):  # half a request, a client gone, or too slow
                # drain is to mean "the system has it": so at the end nothing is left in our memory
                self._writer.transport.set_write_buffer_limits(high=0)
                if await self._answer_all():
                    await self._say_goodbye()

    def leave(self) -> bool:
        """Make the next answer the last, and return if there is one to come."""
        self._leaving = True
        return not self._waiting or self._has_begun()

    def _has_begun(self) -> bool:
        """Tell whether an octet of the next request is here; where nobody asks, nobody need know."""
        return bool(self._buffer)

    async def _answer_all(self) -> bool:
        """Answer until the last answer is sent; return if the client may still be reading it."""
        keep_alive = True
        while keep_alive:
            if self._leaving and not self._has_begun():
                return False
            try:
                request = await self._next_request()
            except BadRequest as error:
                data, keep_alive = write_response(Response(error.status), keep_alive=False), False
            else:
                if request is None:
                    return True
                data, keep_alive = await self._answer(request)
                self._heed_cancellation()
            await send(self._writer, data, self._idle)
            self._waiting = True
        return True

    async def _next_request(self) -> Request | None:
        try:
            return await read_within(self._reader, read_request(self._buffer), self._idle)
        finally:
            self._waiting = False

    async def _answer(self, request: Request) -> tuple[bytes, bool]:
        """Return the octets of the answer, and whether another may follow it."""
        try:
            response = await self._ask(request)
            keep_alive = request.keep_alive and not self._leaving
            return write_response(response, request.method, keep_alive), keep_alive
        except Exception:
            return write_response(Response(500), request.method, keep_alive=False), False

    async def _ask(self, request: Request) -> Response:
        answer = self._app(request)
        return await answer if inspect.isawaitable(answer) else answer

    def _heed_cancellation(self) -> None:
        """Raise a cancellation from outside that the app has swallowed: it was not the app's to keep."""
        if self._cancellations() > self._cancellations_before:
            raise asyncio.CancelledError

    @staticmethod
    def _cancellations() -> int:
        task = asyncio.current_task()
        return task.cancelling() if task else 0

    async def _say_goodbye(self) -> None:
        """End our side, then drop what the client still sends: octets left unread would reset it."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = LINGER_OCTETS
        async with deadline(LINGER_SECONDS):
            while left > 0 and (chunk := await self._reader.read(min(PIECE, left))):
                left -= len(chunk)


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
    await Conversation(reader, writer, app, idle).run()


class CountingReader(asyncio.StreamReader):
    """A StreamReader that knows how many octets have come in, and how many were taken out."""

    came = taken = 0

    def feed_data(self, data: bytes) -> None:
        self.came += len(data)
        super().feed_data(data)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self.taken += len(data)
        return data


class GuestConversation(Conversation):
    """A Conversation that knows of the first octet of a request when it comes, not when it is read."""

    _reader: CountingReader
    _answered = 0  # octets of the requests before the next one

    def _has_begun(self) -> bool:
        return self._reader.came > self._answered

    async def _next_request(self) -> Request | None:
        request = await super()._next_request()
        self._answered = self._reader.taken - len(self._buffer)
        return request


class Guest(asyncio.StreamReaderProtocol):
    """One client of a server: the protocol of its connection, and the task that answers."""

    def __init__(self, server: "StreamsServer") -> None:
        self.counting_reader = CountingReader()  # asyncio's own reference is a weak one
        super().__init__(self.counting_reader, self._welcome)
        self.server = server
        self.gone = asyncio.get_running_loop().create_future()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guest_transport = writer.transport
        self.conversation = GuestConversation(reader, writer, self.server.app, self.server.idle)
        self.task = asyncio.create_task(self.conversation.run())
        self.task.add_done_callback(lambda _: writer.transport.abort())  # if it never began
        self.server.guests.add(self)
        if self.server.closing:
            self.cut_off()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.task.add_done_callback(self._leave)

    def _leave(self, _: object) -> None:
        self.server.guests.discard(self)
        self.gone.set_result(None)

    def see_off(self) -> None:
        """Let a request in flight come to its end, and nothing else."""
        if not self.conversation.leave():
            self.cut_off()

    def cut_off(self) -> None:
        """End it now, and whatever the app makes of its cancellation: nothing can be sent."""
        self.guest_transport.abort()
        self.task.cancel()


class Door:
    """Let clients in through a listener: as asyncio.Server does, but none of them gets lost at its close.

    A Server of 3.11 that is closed between an accept and the transport for it forgets the socket, open.
    """

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener, self._protocol = listener, protocol
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._arrivals: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        if self._loop is not None and self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        self._listener.close()

    async def settle(self) -> None:
        """Wait until all who were accepted have their protocols: a few rounds of the loop."""
        if self._arrivals:
            await asyncio.wait(self._arrivals)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:  # no file descriptor is left: perhaps there is one in a second
            self._loop.remove_reader(self._listener)
            self._pause = self._loop.call_later(1, self.open)
            return
        arrival = Arrival(connection, self._protocol)
        self._arrivals.add(arrival.task)
        arrival.task.add_done_callback(self._arrivals.discard)


class Arrival:
    """The way of one accepted socket to its protocol."""

    def __init__(self, connection: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        self._connection, self._protocol, self._begun = connection, protocol, False
        self.task = asyncio.create_task(self._connect())
        self.task.add_done_callback(self._check)

    async def _connect(self) -> None:
        self._begun = True
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(self._protocol, self._connection)

    def _check(self, _: object) -> None:
        if not self._begun:  # cancelled before
            self._connection.close()


class StreamsServer:
    """Serve app to all clients of listener, each in a task of its own; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App, idle: float = IDLE_SECONDS) -> None:
        self.app, self.idle = app, idle
        self.port: int = listener.getsockname()[1]
        self.guests: set[Guest] = set()
        self.closing = False
        self._door = Door(listener, lambda: Guest(self))

    async def start(self) -> None:
        """Begin to accept clients, and return; they are served while the loop runs."""
        self._door.open()

    async def aclose(self, grace: float) -> None:
        """Stop, and return when nothing is left: no listener, no connection, no task.

        Nobody is let in any more. A connection with no request in flight is closed at once. One is in
        flight from its first octet to the last of its answer, or, where that is the connection's last,
        to the close: those have, all together, grace seconds to come to their end, and their answers
        say close; then they are cut off: cancelled, the app's awaitable too, and closed. Cancelled
        itself, aclose cuts off at once. Without start(), and a second time, it is well too.
        """
        self.closing = True
        self._door.close()
        try:
            for guest in list(self.guests):
                guest.see_off()
            await self._wait_for_guests(grace)
        finally:
            await to_the_end(self._cut_off())

    async def _wait_for_guests(self, seconds: float = math.inf) -> None:
        if self.guests:
            await asyncio.wait(
                [guest.gone for guest in self.guests], timeout=None if math.isinf(seconds) else seconds
            )

    async def _cut_off(self) -> None:
        await self._door.settle()
        for guest in list(self.guests):
            guest.cut_off()
        await self._wait_for_guests()
