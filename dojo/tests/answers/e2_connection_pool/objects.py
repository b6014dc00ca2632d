"""A connection pool: connect once, ask often."""

from collections import deque
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketAttribute, SocketStream

from katas.a4_byte_parser import Parser, receive_more
from katas.c1_http_messages import Response
from katas.c3_multiplexing import wait_readable
from katas.e1_async_http_client import CHUNK, Stream, build_request, read_response

IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}  # done twice is done once (RFC 9110 9.2.2)


class Unanswered(EOFError):  # noqa: N818
    """The connection ended or broke before one octet of a response had come. (Given.)"""


@dataclass(eq=False)
class Connection:
    """What a pool lends. (Given.)"""

    origin: tuple[str, int]  # host and port
    stream: SocketStream
    kept: bool = False  # has it come back to the pool before?

    def is_quiet(self) -> bool:
        """Has nothing come on it that nobody has received, and not its end either? (Given.)"""
        return not wait_readable([self.stream.extra(SocketAttribute.raw_socket)], timeout=0)


def origin_of(url: str) -> tuple[str, int]:
    """Return the host and port of an http:// URL; ValueError for what build_request refuses. (Given.)"""
    build_request("GET", url)
    parts = urlsplit(url)
    return parts.hostname or "", 80 if parts.port is None else parts.port


@dataclass
class Witness:
    """What is to be known of a response, besides what read_response makes of it."""

    start: bytes  # its first octets, as many as the version has
    ended: bool = False  # has the end of the stream been seen?

    def see(self, chunk: bytes) -> None:
        self.ended = self.ended or not chunk
        self.start = (self.start + chunk)[: len(b"HTTP/1.0")]

    def finds_reusable(self, response: Response, left: bytearray) -> bool:
        headers = response.headers
        items = {item.strip(" \t").lower() for item in headers.get("connection", "").split(",")}
        old, coded = self.start == b"HTTP/1.0", "transfer-encoding" in headers
        if self.ended or left or "close" in items:
            return False
        if coded and (old or "content-length" in headers):
            return False
        return not old or "keep-alive" in items


def read_reply(buffer: bytearray, method: str) -> Parser[tuple[Response, bool]]:
    """Return the response, as read_response does, and whether the connection may carry another request.

    It may not where Connection lists "close"; where the first octets say HTTP/1.0 and Connection does not
    list "keep-alive"; where the end of the stream ended the body; where octets are left in buffer; where
    Transfer-Encoding stands beside Content-Length, or in HTTP/1.0 (RFC 9112 sections 6.1, 6.3, 9.3).
    Items of the list have no case, and spaces or tabs around them. Raises what read_response raises.
    """
    witness = Witness(bytes(buffer[:8]))
    parser = read_response(buffer, method)
    try:
        next(parser)
        while True:
            chunk = yield
            witness.see(chunk)
            parser.send(chunk)
    except StopIteration as stop:
        return stop.value, witness.finds_reusable(stop.value, buffer)


@dataclass
class Exchange:
    """A request on its way, and as much of its answer as has come."""

    stream: Stream
    request: bytes
    answered: bool = False  # has an octet come?

    @property
    def method(self) -> str:
        return self.request.partition(b" ")[0].decode("ascii")

    async def run(self) -> tuple[Response, bool]:
        try:
            await self.stream.send(self.request)
            parser = read_reply(bytearray(), self.method)
            next(parser)
            while True:
                parser.send(await self.receive())
        except StopIteration as stop:
            return stop.value
        except anyio.BrokenResourceError as error:
            if self.answered:
                raise
            raise Unanswered("the connection broke before an answer") from error

    async def receive(self) -> bytes:
        try:
            chunk = await self.stream.receive(CHUNK)
        except anyio.EndOfStream:
            chunk = b""
        if not chunk and not self.answered:
            raise Unanswered("the connection ended before an answer")
        self.answered = True
        return chunk


async def exchange(stream: Stream, request: bytes) -> tuple[Response, bool]:
    """Send request, receive what read_reply makes of the answer, and not once more.

    Raises Unanswered where stream ends, or anyio.BrokenResourceError comes from its send() or receive(),
    before one octet has come. After that the end is b"" to read_reply, and what either raises goes on.
    """
    return await Exchange(stream, request).run()


class Slots:
    """So many slots, and a line of those who wait for one: a slot that is given back goes to the first of them."""

    def __init__(self, count: int) -> None:
        self.free = count
        self.line: deque[anyio.Event] = deque()

    async def take(self) -> None:
        if self.free:
            self.free -= 1
            return
        turn = anyio.Event()
        self.line.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # cancelled in the very moment in which a slot came
                self.give_back()
            else:
                self.line.remove(turn)
            raise

    def give_back(self) -> None:
        if self.line:
            self.line.popleft().set()
        else:
            self.free += 1


async def close(connection: Connection) -> None:
    """Close connection, even if cancelled; that it could not say goodbye is nobody's concern."""
    with anyio.CancelScope(shield=True):
        try:
            await connection.stream.aclose()
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass


class Pool:
    """Lend connections, and keep those that come back and can be used again: limit of both together.

    A connection that is lent has a slot. Whatever fails or is cancelled in acquire, release and aclose:
    no slot is lost, and no connection stays open that is neither lent nor kept.
    """

    def __init__(self, limit: int) -> None:
        """Begin with limit free slots, and no connection. Raises ValueError for a limit below 1."""
        if limit < 1:
            raise ValueError(f"a limit of {limit} lends nothing")
        self.limit = limit
        self.slots = Slots(limit)
        self.busy = 0  # slots whose holders have, or are about to have, a connection
        self.kept: list[Connection] = []  # the one that came back last is the last
        self.closed = False

    async def acquire(self, url: str) -> Connection:
        """Wait for a slot, first come, first served; return a kept connection to url's origin, or a new one.

        A kept one that is no longer quiet is closed instead, and so is another origin's where there would
        be too many. Raises anyio.ClosedResourceError if the pool is closed when the slot is there, and
        what origin_of and connecting raise.
        """
        origin = origin_of(url)
        await self.slots.take()
        self.busy += 1
        try:
            if self.closed:
                raise anyio.ClosedResourceError
            return await self.reuse(origin) or await self.connect(origin)
        except BaseException:
            self.free_slot()
            raise

    async def reuse(self, origin: tuple[str, int]) -> Connection | None:
        """Return a kept connection to origin that is quiet, None if there is none; close those that are not."""
        while same := [connection for connection in self.kept if connection.origin == origin]:
            connection = same[-1]
            self.kept.remove(connection)
            quiet = False
            try:
                quiet = connection.is_quiet()
            finally:
                if not quiet:
                    await close(connection)
            if quiet:
                return connection
        return None

    async def connect(self, origin: tuple[str, int]) -> Connection:
        """Return a new connection to origin, after making room for it."""
        while self.busy + len(self.kept) > self.limit:
            await close(self.kept.pop(0))
        return Connection(origin, await anyio.connect_tcp(*origin))

    def free_slot(self) -> None:
        self.busy -= 1
        self.slots.give_back()

    async def release(self, connection: Connection, reusable: bool) -> None:
        """Free the slot of an acquired connection; set kept and keep it if it is reusable, else close it.

        A closed pool closes it in any case.
        """
        try:
            if reusable and not self.closed:
                connection.kept = True
                self.kept.append(connection)
            else:
                await close(connection)
        finally:
            self.free_slot()

    async def get(self, url: str, timeout: float) -> Response:  # noqa: ASYNC109
        """Ask for url. (Given.)"""
        return await ask(self, "GET", url, timeout)

    async def aclose(self) -> None:
        """Close the kept connections, and the pool: nothing is lent any more. Twice does no harm."""
        self.closed = True
        while self.kept:
            await close(self.kept.pop())


class Loan:
    """A context manager: a connection of a pool, which gets it back whatever happens."""

    def __init__(self, pool: Pool, url: str) -> None:
        self.pool, self.url = pool, url
        self.reusable = False

    async def __aenter__(self) -> "Loan":
        self.connection = await self.pool.acquire(self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.pool.release(self.connection, self.reusable)

    async def exchange(self, request: bytes) -> Response:
        response, self.reusable = await exchange(self.connection.stream, request)
        return response

    async def renew(self) -> None:
        """Put a new connection where the old one was, in its slot."""
        await close(self.connection)
        self.connection.stream = await anyio.connect_tcp(*self.connection.origin)
        self.connection.kept = False


async def ask(pool: Pool, method: str, url: str, timeout: float, body: bytes = b"") -> Response:  # noqa: ASYNC109
    """Return the response to a request, made on a connection of pool; keep that if exchange says so.

    An Unanswered request is repeated, once, on a new connection in the same slot, if the first one had been
    kept and the method is IDEMPOTENT. Raises TimeoutError where all, the wait for a slot too, has taken
    timeout seconds (math.inf: no limit), and what build_request, acquire and exchange raise. Whatever it
    raises, or if it is cancelled: the connection is closed, and its slot free.
    """
    request = build_request(method, url, body=body)
    with anyio.fail_after(timeout):
        async with Loan(pool, url) as loan:
            try:
                return await loan.exchange(request)
            except Unanswered:
                if not loan.connection.kept or method not in IDEMPOTENT:
                    raise
            await loan.renew()
            return await loan.exchange(request)
