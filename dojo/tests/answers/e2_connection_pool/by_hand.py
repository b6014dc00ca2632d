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
    """Slots by hand: a number, and a line of events; the kept ones in a dict by origin."""

    def __init__(self, limit):
        if limit < 1:
            raise ValueError(limit)
        self.limit, self.lent, self.closed = limit, 0, False
        self.line = []
        self.kept = {}

    def _free(self):
        """Hand the slot to the first who waits, or make it free."""
        if self.line:
            self.line.pop(0).set()
        else:
            self.lent -= 1

    async def _drop(self, origin):
        connection = self.kept[origin].pop()
        if not self.kept[origin]:
            del self.kept[origin]
        await anyio.aclose_forcefully(connection.stream)

    async def acquire(self, url):
        origin = origin_of(url)
        if self.closed:
            raise anyio.ClosedResourceError
        await anyio.lowlevel.checkpoint()
        if self.lent < self.limit:
            self.lent += 1
        else:
            turn = anyio.Event()
            self.line.append(turn)
            try:
                await turn.wait()
            except BaseException:
                if turn in self.line:
                    self.line.remove(turn)
                else:
                    self._free()
                raise
        connection = None
        try:
            if self.closed:
                raise anyio.ClosedResourceError
            while origin in self.kept:
                if self.kept[origin][-1].is_quiet():
                    connection = self.kept[origin].pop()
                    if not self.kept[origin]:
                        del self.kept[origin]
                    return connection
                await self._drop(origin)
            while self.lent + sum(map(len, self.kept.values())) > self.limit:
                await self._drop(next(iter(self.kept)))
            connection = Connection(origin, await anyio.connect_tcp(*origin))
            return connection
        finally:
            if connection is None:
                self._free()

    async def release(self, connection, reusable):
        with anyio.CancelScope(shield=True):
            if reusable and not self.closed:
                connection.kept = True
                self.kept.setdefault(connection.origin, []).append(connection)
            else:
                await connection.stream.aclose()
        self._free()
        await anyio.lowlevel.checkpoint()

    async def get(self, url, timeout):
        return await ask(self, "GET", url, timeout)

    async def aclose(self):
        self.closed = True
        kept = [connection for each in self.kept.values() for connection in each]
        self.kept.clear()
        async with anyio.create_task_group() as group:
            for connection in kept:
                with anyio.CancelScope(shield=True):
                    await connection.stream.aclose()


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
