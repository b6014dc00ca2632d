"""A streams server: asyncio's own streams, and a shutdown that leaves nothing behind."""

import asyncio
import inspect
import math
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from katas.a4_byte_parser import Parser
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]

PIECE = 65_536  # octets: what one read asks for, and what is written at a time
IDLE_SECONDS = 60.0  # how long a client may keep us waiting
LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
LINGER_SECONDS = 2.0  # and for how long


class Client:
    """What the server has to know of a connection, and what the connection has to know of the server."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.idle = True  # no octet of a next request has come
        self.closing = False  # the server is to end: the next answer is the last


def limit(seconds: float) -> asyncio.Timeout:
    if seconds == math.inf:
        return asyncio.timeout(None)
    return asyncio.timeout(seconds)


async def send(writer: asyncio.StreamWriter, data: bytes, idle: float) -> None:
    """Write data in pieces of at most PIECE octets; drain writer after each, before the next.

    Raises TimeoutError where draining takes longer than idle seconds for one piece (math.inf: no
    limit), and what drain raises where the client is gone: a ConnectionError.
    """
    for start in range(0, len(data), PIECE):
        writer.write(data[start : start + PIECE])
        async with limit(idle):
            await writer.drain()


async def read_within(reader: asyncio.StreamReader, parser: Parser[T], idle: float) -> T:
    """Start parser, send it what reader.read gives, and return what it returns.

    Reads only when the parser waits for octets; b"", the end of the stream, is sent to it too. Raises
    TimeoutError where it has not returned idle seconds after the call, however many octets have
    come by then (math.inf: no limit), and what parser and reader raise.
    """
    async with limit(idle):
        try:
            next(parser)
            while True:
                parser.send(await reader.read(PIECE))
        except StopIteration as stop:
            result: T = stop.value
            return result


def wait_for_request(buffer: bytearray, client: Client) -> Parser[bool]:
    """Return True when an octet of a request has come; False where the stream ends before."""
    while True:
        while buffer.startswith(b"\r\n"):  # an empty line in front is no part of a request
            del buffer[:2]
        if buffer and buffer != b"\r":
            client.idle = False
            return True
        client.idle = True
        chunk = yield
        if not chunk:
            client.idle = False
            return False
        buffer += chunk


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
    await serve(reader, writer, app, idle, Client(writer))


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, app: App, idle: float, client: Client
) -> None:
    """Do what handle does, for a client of whom a server may know."""
    try:
        writer.transport.set_write_buffer_limits(0)  # from now on drain means: all of it has left
        await answer_all(reader, writer, app, idle, client)
        await linger(reader, writer)
    except OSError:
        pass  # the client is gone, or too slow: a TimeoutError is an OSError, too
    finally:
        writer.transport.abort()  # nothing is in its buffer, unless it is to be dropped
        await until_closed(writer)


async def answer_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, app: App, idle: float, client: Client
) -> None:
    """Answer requests, up to the last answer."""
    buffer = bytearray()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    while True:
        began = loop.time()
        if client.closing:
            patience = 0.0  # what has come already is answered, and nothing is waited for
        else:
            patience = idle
        if not await read_within(reader, wait_for_request(buffer, client), patience):
            return
        method = "GET"
        last = True
        try:
            request = await read_within(reader, read_request(buffer), began + idle - loop.time())
        except BadRequest as error:
            data = write_response(Response(error.status), method, False)
        except EOFError:
            return
        else:
            if request is None:
                return
            method = request.method
            try:
                answer = app(request)
                if inspect.isawaitable(answer):
                    answer = await answer
                keep_alive = request.keep_alive and not client.closing
                data = write_response(answer, method, keep_alive)
                last = not keep_alive
            except Exception:
                data = write_response(Response(500), method, False)
            if task.cancelling() > cancelled_before:
                raise asyncio.CancelledError  # app has caught it, but it was meant for all of us
        await send(writer, data, idle)
        if last:
            return


async def linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say that no more will come, then drop what the client still sends, for a while."""
    writer.write_eof()
    dropped = 0
    async with limit(LINGER_SECONDS):
        while dropped < LINGER_OCTETS:
            data = await reader.read(PIECE)
            if not data:
                return
            dropped += len(data)


async def until_closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the socket is closed, also if we are cancelled meanwhile; then let that go on."""
    cancelled = None
    closed = asyncio.ensure_future(writer.wait_closed())
    while not closed.done():
        try:
            await asyncio.wait([closed])
        except asyncio.CancelledError as error:
            cancelled = error
    if not closed.cancelled():
        closed.exception()  # how the connection was lost does not matter any more
    if cancelled is not None:
        raise cancelled


class StreamsServer:
    """Serve app to all clients of listener, each in a task of its own; `port` is the listener's."""

    def __init__(self, listener: socket.socket, app: App, idle: float = IDLE_SECONDS) -> None:
        self.listener = listener
        self.app = app
        self.idle = idle
        self.port: int = listener.getsockname()[1]
        self.server: asyncio.Server | None = None
        self.clients: dict[asyncio.Task[None], Client] = {}
        self.closing = False

    async def start(self) -> None:
        """Begin to accept clients, and return; they are served while the loop runs."""
        # in two calls: so aclose knows of the server also if we are cancelled in the second
        self.server = await asyncio.start_server(self.welcome, sock=self.listener, start_serving=False)
        await self.server.start_serving()

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closing:
            writer.transport.abort()
            return
        client = Client(writer)
        task = asyncio.create_task(serve(reader, writer, self.app, self.idle, client))
        self.clients[task] = client
        task.add_done_callback(self.clients.pop)

    async def aclose(self, grace: float) -> None:
        """Stop, and return when nothing is left: no listener, no connection, no task.

        Nobody is let in any more. A connection with no request in flight is closed at once. One is in
        flight from its first octet to the last of its answer, or, where that is the connection's last,
        to the close: those have, all together, grace seconds to come to their end, and their answers
        say close; then they are cut off: cancelled, the app's awaitable too, and closed. Cancelled
        itself, aclose cuts off at once. Without start(), and a second time, it is well too.
        """
        self.closing = True
        if self.server is not None:
            self.server.close()
        self.listener.close()
        for client in self.clients.values():
            client.closing = True
        cancelled = None
        try:
            for task, client in list(self.clients.items()):
                if client.idle:
                    self.cut_off(task, client)
            if self.clients and grace > 0:
                await asyncio.wait(list(self.clients), timeout=None if grace == math.inf else grace)
        except asyncio.CancelledError as error:
            cancelled = error
        for task, client in list(self.clients.items()):
            self.cut_off(task, client)
        # asyncio may have accepted somebody whom welcome has not seen yet: that takes it up to
        # three rounds of the loop, and the end of a transport one more
        rounds = 0
        while self.clients or rounds < 5:
            rounds += 1
            try:
                if self.clients:
                    await asyncio.wait(list(self.clients))
                else:
                    await asyncio.sleep(0)
            except asyncio.CancelledError as error:
                cancelled = error
                for task, client in list(self.clients.items()):
                    self.cut_off(task, client)
        if cancelled is not None:
            raise cancelled

    def cut_off(self, task: asyncio.Task[None], client: Client) -> None:
        task.cancel()
        client.writer.transport.abort()  # a task that has not begun never gets to its `finally`
