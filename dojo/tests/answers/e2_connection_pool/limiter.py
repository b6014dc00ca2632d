"""A connection pool: connect once, ask often."""

from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
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


def read_reply(buffer, method):
    parser = read_response(buffer, method)
    first = b""
    ended = False
    try:
        next(parser)
        while True:
            chunk = yield
            ended = not chunk
            first = (first + chunk)[:8]
            parser.send(chunk)
    except StopIteration as finished:
        response = finished.value
    fields = response.headers
    options = {word.strip(" \t").lower() for word in fields.get("connection", "").split(",")}
    if ended or buffer or "close" in options:
        return response, False
    if "transfer-encoding" in fields and ("content-length" in fields or first == b"HTTP/1.0"):
        return response, False
    return response, first != b"HTTP/1.0" or "keep-alive" in options


async def exchange(stream, request):
    parser = read_reply(bytearray(), request[: request.index(b" ")].decode())
    next(parser)
    begun = False

    async def receive():
        try:
            return await stream.receive(CHUNK)
        except anyio.EndOfStream:
            return b""

    try:
        await stream.send(request)
        while True:
            chunk = await receive()
            if not chunk and not begun:
                raise Unanswered
            begun = True
            try:
                parser.send(chunk)
            except StopIteration as finished:
                return finished.value
    except anyio.BrokenResourceError as error:
        if begun:
            raise
        raise Unanswered from error


class Pool:
    """Slots are tokens of a CapacityLimiter; whoever acquires borrows in the name of a new object."""

    def __init__(self, limit):
        if limit < 1:
            raise ValueError(limit)
        self.limiter = anyio.CapacityLimiter(limit)
        self.borrowers = {}
        self.kept = []
        self.open = True

    async def acquire(self, url):
        origin, borrower = origin_of(url), object()
        await self.limiter.acquire_on_behalf_of(borrower)
        connection = None
        try:
            connection = await self._connection(origin)
        finally:
            if connection is None:
                self.limiter.release_on_behalf_of(borrower)
        self.borrowers[connection] = borrower
        return connection

    async def _connection(self, origin):
        if not self.open:
            raise anyio.ClosedResourceError
        for connection in [one for one in self.kept if one.origin == origin and not one.is_quiet()]:
            if connection in self.kept:
                self.kept.remove(connection)
                await connection.stream.aclose()
        for connection in self.kept:
            if connection.origin == origin and connection.is_quiet():
                self.kept.remove(connection)
                return connection
        while len(self.kept) > self.limiter.available_tokens:
            await self.kept.pop(0).stream.aclose()
        return Connection(origin, await anyio.connect_tcp(*origin))

    async def release(self, connection, reusable):
        borrower = self.borrowers.pop(connection)
        if reusable and self.open:
            connection.kept = True
            self.kept.append(connection)
        else:
            try:
                await connection.stream.aclose()
            finally:
                self.limiter.release_on_behalf_of(borrower)
            return
        self.limiter.release_on_behalf_of(borrower)

    async def get(self, url, timeout):
        return await ask(self, "GET", url, timeout)

    async def aclose(self):
        self.open = False
        try:
            while self.kept:
                await self.kept.pop().stream.aclose()
        finally:
            for connection in self.kept:
                with anyio.CancelScope(shield=True):
                    await connection.stream.aclose()
            self.kept.clear()


async def ask(pool, method, url, timeout, body=b""):
    octets = build_request(method, url, body=body)
    with anyio.fail_after(timeout):
        connection = await pool.acquire(url)
        try:
            for last in False, True:
                try:
                    response, reusable = await exchange(connection.stream, octets)
                    break
                except Unanswered:
                    if last or not connection.kept or method in ("POST", "PATCH"):
                        raise
                await connection.stream.aclose()
                connection.stream = await anyio.connect_tcp(*connection.origin)
        except BaseException:
            await pool.release(connection, False)
            raise
        await pool.release(connection, reusable)
        return response
