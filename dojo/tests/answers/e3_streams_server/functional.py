"""A streams server: asyncio's own streams, and a shutdown that leaves nothing behind."""

import asyncio
import inspect
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, TypeAlias, TypeVar

from katas.a4_byte_parser import Parser, receive_more
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
Resting: TypeAlias = Callable[
    [], AbstractContextManager[None]
]  # surrounds a wait in which a connection is idle

PIECE = 65_536  # octets: what one read asks for, and what is written at a time
IDLE_SECONDS = 60.0  # how long a client may keep us waiting
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # and for how long
TURNS = 4  # of the loop: after so many, asyncio has handed over whom it had accepted, and what it had read


def _limit(seconds: float) -> asyncio.Timeout:
    """Return a block that raises TimeoutError after so many seconds; math.inf: never."""
    return asyncio.timeout(None if seconds == math.inf else seconds)


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Write data in pieces of at most PIECE octets; drain writer after each, before the next.

    Raises TimeoutError where draining takes longer than idle seconds for one piece (math.inf: no
    limit), and what drain raises where the client is gone: a ConnectionError.
    """
    for start in range(0, len(data), PIECE):
        writer.write(data[start : start + PIECE])
        async with _limit(idle):
            await writer.drain()


async def read_within(reader: asyncio.StreamReader, parser: Parser[T], idle: float) -> T:
    """Start parser, send it what reader.read gives, and return what it returns.

    Reads only when the parser waits for octets; b"", the end of the stream, is sent to it too. Raises
    TimeoutError where it has not returned idle seconds after the call, however many octets have
    come by then (math.inf: no limit), and what parser and reader raise.
    """
    async with _limit(idle):
        try:
            next(parser)
            while True:
                parser.send(await reader.read(PIECE))
        except StopIteration as stop:
            return stop.value


async def _to_the_end(awaitable: Awaitable[Any]) -> None:
    """Wait until it is done, whatever its outcome, also when cancelled meanwhile; then be cancelled."""
    future = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError as error:
            cancelled = error
    if not future.cancelled():
        future.exception()  # looked at: nobody is to be told of it
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def _closed_behind(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Drop the connection behind the block, however it ended, and wait until the socket is closed."""
    try:
        yield
    finally:
        writer.transport.abort()  # nothing is in the buffer, or nothing in it is worth waiting for
        await _to_the_end(writer.wait_closed())


async def _linger(reader: asyncio.StreamReader) -> None:
    """Read and drop what the client still sends: octets unread at the close would reset the connection."""
    left = LINGER_OCTETS
    with suppress(TimeoutError):
        async with _limit(LINGER_SECONDS):
            while left > 0 and (dropped := await reader.read(min(PIECE, left))):
                left -= len(dropped)


async def _answer(app: App, request: Request, closing: Callable[[], bool]) -> tuple[bytes, bool]:
    """Return the octets of app's answer, or of a 500, and whether another request may follow it."""
    try:
        response = app(request)
        if inspect.isawaitable(response):
            response = await response
        keep_alive = request.keep_alive and not closing()
        return write_response(response, request.method, keep_alive), keep_alive
    except Exception:  # whatever app raises, and whatever write_response says to what it has returned
        return write_response(Response(500), request.method, keep_alive=False), False


async def _next_request(
    reader: asyncio.StreamReader,
    buffer: bytearray,
    idle: float,
    closing: Callable[[], bool],
    resting: Resting,
) -> Request | None:
    """Return the client's next request, or None where the stream ends before one begins.

    Between requests, up to the next one's first octet, the connection is `resting()`: closing does not wait
    for it then.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + idle
    if not buffer:
        try:
            with resting():
                await read_within(reader, receive_more(buffer), 0 if closing() else idle)
        except EOFError:
            return None
    return await read_within(reader, read_request(buffer), deadline - clock())


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    app: App,
    idle: float,
    closing: Callable[[], bool] = lambda: False,
    resting: Resting = nullcontext,
) -> None:
    """Do what handle does; closing says whether answers close by now, resting surrounds the wait for a request."""
    task = asyncio.current_task()
    assert task is not None
    cancelling, buffer, keep_alive = task.cancelling(), bytearray(), True
    async with _closed_behind(writer):
        writer.transport.set_write_buffer_limits(0)  # so that drain waits until all is on its way
        with suppress(OSError, EOFError):  # gone, or too slow (TimeoutError is an OSError), or half a request
            while keep_alive:
                try:
                    request = await _next_request(reader, buffer, idle, closing, resting)
                except BadRequest as bad:
                    octets, keep_alive = write_response(Response(bad.status), keep_alive=False), False
                except EOFError:
                    break
                else:
                    if request is None:
                        break
                    octets, keep_alive = await _answer(app, request, closing)
                    if task.cancelling() > cancelling:
                        raise asyncio.CancelledError  # app has kept it for itself
                await send(writer, octets, idle)
            writer.write_eof()
            await _linger(reader)


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
    await _converse(reader, writer, app, idle)


class StreamsServer:
    """Serve app to all clients of listener, each in a task of its own; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App, idle: float = IDLE_SECONDS) -> None:
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # one for each connection, from its first instant
        self._resting: set[asyncio.Task[None]] = set()  # those of them with no request in flight
        self._ending: asyncio.Task[None] | None = None  # what aclose waits for
        self._cut = False  # are the connections being cut off?
        self._converse = partial(
            _converse, app=app, idle=idle, closing=lambda: self._ending is not None, resting=self._rest
        )

    @contextmanager
    def _rest(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._resting.add(task)
        try:
            yield
        finally:
            self._resting.discard(task)

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin a connection's task; called by asyncio in the instant in which its streams are made."""
        if self._cut:
            writer.transport.abort()
            return

        def end(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            writer.transport.abort()  # of a task that was cancelled before it began: nobody else does it

        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(end)

    def _cut_off(self) -> None:
        if not self._cut:
            self._cut = True
            for task in self._tasks:
                task.cancel()

    async def _end(self) -> None:
        """Let nobody in, close who rests, wait for the others; _cut_off hastens it."""
        if self._server is not None:
            # Who has been accepted gets streams some turns later, and is lost if the listener is closed by then
            with suppress(NotImplementedError):  # Windows: a proactor has no readers
                asyncio.get_running_loop().remove_reader(self._listener)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            self._server.close()
        self._listener.close()
        for task in self._resting:
            task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.sleep(0)  # the turn in which an aborted connection is closed

    async def start(self) -> None:
        """Begin to accept clients, and return; they are served while the loop runs."""
        if self._ending is not None:
            raise RuntimeError("the server is closed")
        self._server = await asyncio.start_server(self._connect, sock=self._listener, start_serving=False)
        await self._server.start_serving()

    async def aclose(self, grace: float) -> None:
        """Stop, and return when nothing is left: no listener, no connection, no task.

        Nobody is let in any more. A connection with no request in flight is closed at once. One is in
        flight from its first octet to the last of its answer, or, where that is the connection's last,
        to the close: those have, all together, grace seconds to come to their end, and their answers
        say close; then they are cut off: cancelled, the app's awaitable too, and closed. Cancelled
        itself, aclose cuts off at once. Without start(), and a second time, it is well too.
        """
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        try:
            await asyncio.wait({self._ending}, timeout=None if grace == math.inf else grace)
        finally:
            self._cut_off()
            await _to_the_end(self._ending)
