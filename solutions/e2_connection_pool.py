"""A connection pool: connect once, ask often."""

from dataclasses import dataclass
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


def read_reply(buffer: bytearray, method: str) -> Parser[tuple[Response, bool]]:
    """Return the response, as read_response does, and whether the connection may carry another request.

    It may not where Connection lists "close"; where the first octets say HTTP/1.0 and Connection does not
    list "keep-alive"; where the end of the stream ended the body; where octets are left in buffer; where
    Transfer-Encoding stands beside Content-Length, or in HTTP/1.0 (RFC 9112 sections 6.1, 6.3, 9.3).
    Items of the list have no case, and spaces or tabs around them. Raises what read_response raises.
    """
    while len(buffer) < len(b"HTTP/1.1"):
        yield from receive_more(buffer)
    old = buffer.startswith(b"HTTP/1.0")
    response = yield from read_response(buffer, method)
    headers = response.headers

    options = [option.strip(" \t").lower() for option in headers.get("connection", "").split(",")]
    persistent = "close" not in options and (not old or "keep-alive" in options)

    coded, counted = "transfer-encoding" in headers, "content-length" in headers
    bodiless = method == "HEAD" or response.status in (204, 304)
    ended = not (bodiless or coded or counted)
    # A proxy between us may have seen another end of this body, and its rest be our next response.
    doubtful = coded and (counted or old)
    return response, persistent and not ended and not doubtful and not buffer


async def exchange(stream: Stream, request: bytes) -> tuple[Response, bool]:
    """Send request, receive what read_reply makes of the answer, and not once more.

    Raises Unanswered where stream ends, or anyio.BrokenResourceError comes from its send() or receive(),
    before one octet has come. After that the end is b"" to read_reply, and what either raises goes on.
    """
    parser = read_reply(bytearray(), request.partition(b" ")[0].decode("ascii"))
    next(parser)
    try:
        await stream.send(request)
        chunk = await stream.receive(CHUNK)
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        chunk = b""
    if not chunk:
        raise Unanswered(f"no answer to {request[:40]!r}")
    while True:
        try:
            parser.send(chunk)
        except StopIteration as finished:
            reply: tuple[Response, bool] = finished.value
            return reply
        try:
            chunk = await stream.receive(CHUNK)
        except anyio.EndOfStream:
            chunk = b""


class Pool:
    """Lend connections, and keep those that come back and can be used again: limit of both together.

    A connection that is lent has a slot. Whatever fails or is cancelled in acquire, release and aclose:
    no slot is lost, and no connection stays open that is neither lent nor kept.
    """

    def __init__(self, limit: int) -> None:
        """Begin with limit free slots, and no connection. Raises ValueError for a limit below 1."""
        if limit < 1:
            raise ValueError(f"a limit of {limit} lets nothing through")
        self._slots = anyio.Semaphore(limit)  # first come, first served
        self._kept: list[Connection] = []  # in the order in which they came back
        self._closed = False

    async def acquire(self, url: str) -> Connection:
        """Wait for a slot, first come, first served; return a kept connection to url's origin, or a new one.

        A kept one that is no longer quiet is closed instead, and so is another origin's where there would
        be too many. Raises anyio.ClosedResourceError if the pool is closed when the slot is there, and
        what origin_of and connecting raise.
        """
        origin = origin_of(url)
        await self._slots.acquire()
        try:  # from here on there is a slot to lose, and every await may be cancelled
            if self._closed:
                raise anyio.ClosedResourceError
            while connection := self._take(origin):
                if connection.is_quiet():
                    return connection
                await connection.stream.aclose()
            if len(self._kept) > self._slots.value:  # a connection for each free slot, and that is all
                await self._kept.pop(0).stream.aclose()
            return Connection(origin, await anyio.connect_tcp(*origin))
        except BaseException:
            self._slots.release()
            raise

    async def release(self, connection: Connection, reusable: bool) -> None:
        """Free the slot of an acquired connection; set kept and keep it if it is reusable, else close it.

        A closed pool closes it in any case.
        """
        try:
            if reusable and not self._closed:
                connection.kept = True
                self._kept.append(connection)
            else:
                await connection.stream.aclose()
        finally:
            self._slots.release()

    async def get(self, url: str, timeout: float) -> Response:  # noqa: ASYNC109
        """Ask for url. (Given.)"""
        return await ask(self, "GET", url, timeout)

    async def aclose(self) -> None:
        """Close the kept connections, and the pool: nothing is lent any more. Twice does no harm."""
        self._closed = True
        # Cancelled, the loop would end behind its first await. It waits for nobody: let it finish.
        with anyio.CancelScope(shield=True):
            while self._kept:
                await self._kept.pop().stream.aclose()

    def _take(self, origin: tuple[str, int]) -> Connection | None:
        for connection in reversed(self._kept):  # the last one is the likeliest to be alive
            if connection.origin == origin:
                self._kept.remove(connection)
                return connection
        return None


async def ask(pool: Pool, method: str, url: str, timeout: float, body: bytes = b"") -> Response:  # noqa: ASYNC109
    """Return the response to a request, made on a connection of pool; keep that if exchange says so.

    An Unanswered request is repeated, once, on a new connection in the same slot, if the first one had been
    kept and the method is IDEMPOTENT. Raises TimeoutError where all, the wait for a slot too, has taken
    timeout seconds (math.inf: no limit), and what build_request, acquire and exchange raise. Whatever it
    raises, or if it is cancelled: the connection is closed, and its slot free.
    """
    request = build_request(method, url, body=body)
    with anyio.fail_after(timeout):
        connection = await pool.acquire(url)
        reusable = False  # before the last octet of the response is read
        try:
            try:
                response, reusable = await exchange(connection.stream, request)
            except Unanswered:
                if not connection.kept or method not in IDEMPOTENT:
                    raise
                await connection.stream.aclose()
                connection.stream = await anyio.connect_tcp(*connection.origin)
                response, reusable = await exchange(connection.stream, request)
        finally:
            await pool.release(connection, reusable)
    return response
