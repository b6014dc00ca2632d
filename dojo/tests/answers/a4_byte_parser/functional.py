"""A parser that waits for bytes: generators without any I/O."""

from collections.abc import Generator, Iterable
from itertools import chain
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


def read_exactly(buffer: bytearray, count: int) -> Parser[bytes]:
    """Take the first count bytes out of buffer and return them.

    Waits for more bytes only while there are fewer than count.
    Raises EOFError where the stream ends before that.
    """
    while len(buffer) < count:
        yield from receive_more(buffer)
    with memoryview(buffer) as view:
        taken = bytes(view[:count])
    del buffer[:count]
    return taken


def read_until(buffer: bytearray, separator: bytes, limit: int) -> Parser[bytes]:
    """Return the bytes before the first separator, and take both out of buffer.

    Waits for more bytes only while there is no separator in buffer.
    Raises ValueError where more than limit bytes come before the separator, at the
    latest when limit + len(separator) bytes hold none; EOFError where the stream
    ends without one. Where it raises, buffer keeps all that has come.
    """
    while separator not in buffer:
        if len(buffer) >= limit + len(separator):
            raise ValueError(f"{len(buffer)} bytes and no {separator!r}")
        yield from receive_more(buffer)
    line, _, rest = buffer.partition(separator)
    if len(line) > limit:
        raise ValueError(f"more than {limit} bytes before {separator!r}")
    buffer[:] = rest
    return bytes(line)


def feed(parser: Parser[T], chunks: Iterable[bytes]) -> T:
    """Start parser, send it one chunk after the other, and return what it returns.

    Asks for a chunk only when the parser waits for one. Chunks that come to
    an end are the end of the stream: the parser is then sent b"", once.
    Raises what the parser raises, and EOFError where it wants still more.
    """
    for chunk in chain([None], chunks, [b""]):
        try:
            parser.send(chunk)
        except StopIteration as finished:
            return finished.value
    raise EOFError("the parser wants more than the stream holds")
