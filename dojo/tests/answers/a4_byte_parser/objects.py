"""A parser that waits for bytes: generators without any I/O."""

from collections.abc import Generator, Iterable
from typing import TypeAlias, TypeVar

T = TypeVar("T")

# A parser yields when it wants more bytes and is sent the next chunk, b"" at the
# end of the stream; it returns what it has read.
Parser: TypeAlias = Generator[None, bytes, T]


def receive_more(buffer: bytearray) -> Parser[None]:
    """Wait for one more chunk and append it to buffer. (Given.)

    Raises EOFError where the stream has ended.
    """
    chunk = yield
    if not chunk:
        raise EOFError(f"the stream ended with {len(buffer)} bytes in the buffer, too few to go on")
    buffer += chunk


class _BufferParser(Generator[None, bytes, bytes]):
    """A state machine over a buffer: "created", then "waiting" between two chunks, then "ended"."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._state = "created"

    def _attempt(self) -> bytes | None:
        """Return the result, or None where more bytes are needed."""
        raise NotImplementedError

    def send(self, value: bytes | None) -> None:
        if self._state == "ended":
            raise StopIteration
        if self._state == "waiting":
            if not value:
                self._state = "ended"
                raise EOFError(f"the stream ended with {len(self._buffer)} bytes in the buffer")
            self._buffer += value
        elif value is not None:
            raise TypeError("can't send a chunk to a parser that has not begun")
        try:
            result = self._attempt()
        except BaseException:
            self._state = "ended"
            raise
        if result is None:
            self._state = "waiting"
            return
        self._state = "ended"
        raise StopIteration(result)

    def throw(self, typ, val=None, tb=None):
        self._state = "ended"
        return super().throw(typ, val, tb)


class _ReadExactly(_BufferParser):
    def __init__(self, buffer: bytearray, count: int) -> None:
        super().__init__(buffer)
        self._count = count

    def _attempt(self) -> bytes | None:
        if len(self._buffer) < self._count:
            return None
        result = bytes(self._buffer[: self._count])
        del self._buffer[: self._count]
        return result


class _ReadUntil(_BufferParser):
    def __init__(self, buffer: bytearray, separator: bytes, limit: int) -> None:
        super().__init__(buffer)
        self._separator = separator
        self._limit = limit

    def _attempt(self) -> bytes | None:
        at = self._buffer.find(self._separator)
        if at == -1 and len(self._buffer) < self._limit + len(self._separator):
            return None
        if not 0 <= at <= self._limit:
            raise ValueError(f"more than {self._limit} bytes in front of {self._separator!r}")
        result = bytes(self._buffer[:at])
        del self._buffer[: at + len(self._separator)]
        return result


class _Feeder:
    """Drives a parser: every step is a send of which the outcome is either "waits" or "finished"."""

    def __init__(self, parser: Parser[T]) -> None:
        self._parser = parser
        self.finished = False
        self.result: T | None = None

    def step(self, chunk: bytes | None) -> None:
        try:
            self._parser.send(chunk)
        except StopIteration as end:
            self.finished, self.result = True, end.value


def read_exactly(buffer: bytearray, count: int) -> Parser[bytes]:
    """Take the first count bytes out of buffer and return them.

    Waits for more bytes only while there are fewer than count.
    Raises EOFError where the stream ends before that.
    """
    return _ReadExactly(buffer, count)


def read_until(buffer: bytearray, separator: bytes, limit: int) -> Parser[bytes]:
    """Return the bytes before the first separator, and take both out of buffer.

    Waits for more bytes only while there is no separator in buffer.
    Raises ValueError where more than limit bytes come before the separator, at the
    latest when limit + len(separator) bytes hold none; EOFError where the stream
    ends without one. Where it raises, buffer keeps all that has come.
    """
    return _ReadUntil(buffer, separator, limit)


def feed(parser: Parser[T], chunks: Iterable[bytes]) -> T:
    """Start parser, send it one chunk after the other, and return what it returns.

    Asks for a chunk only when the parser waits for one. Chunks that come to
    an end are the end of the stream: the parser is then sent b"", once.
    Raises what the parser raises, and EOFError where it wants still more.
    """
    feeder = _Feeder(parser)
    feeder.step(None)
    source = iter(chunks)
    while not feeder.finished:
        try:
            chunk = next(source)
        except StopIteration:
            break
        feeder.step(chunk)
    if not feeder.finished:
        feeder.step(b"")
    if not feeder.finished:
        raise EOFError("the stream ended and the parser wants still more")
    return feeder.result
