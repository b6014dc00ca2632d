"""The same bytes, delivered in every way that a network can deliver them."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def cuts(data: bytes, seed: int = 0) -> Iterator[list[bytes]]:
    """Yield data cut into chunks: whole, in every two parts, byte by byte, in a few random ways.

    No chunk is empty: b"" would be the end of the stream.
    """
    yield [data] if data else []
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(seed)
    for _ in range(3 if len(data) > 2 else 0):
        marks = [0, *sorted(dice.sample(range(1, len(data)), min(len(data) - 1, 5))), len(data)]
        yield [data[start:end] for start, end in pairwise(marks)]


def every_cut(data: bytes, run: Callable[[list[bytes]], T], seed: int = 0) -> T:
    """Call run with every cut of data and return what it gives; complain where a cut makes a difference.

    An exception of run comes through as it is for the whole data; for a cut, it is a difference.
    """
    whole = run([data] if data else [])
    for chunks in cuts(data, seed):
        try:
            outcome = run(chunks)
        except Exception as error:
            raise AssertionError(
                f"the bytes in one piece gave {whole!r}, but {shown(chunks)} they raised {error!r}: "
                "the network cuts where it likes, and no cut may make a difference"
            ) from error
        if outcome != whole:
            raise AssertionError(
                f"the bytes in one piece gave {whole!r}, but {shown(chunks)} they gave {outcome!r}: "
                "the network cuts where it likes, and no cut may make a difference"
            )
    return whole


def shown(chunks: list[bytes]) -> str:
    """Say in a few words how chunks are cut."""
    if len(chunks) == 2:
        return f"cut between {chunks[0][-16:]!r} and {chunks[1][:16]!r}"
    if all(len(chunk) == 1 for chunk in chunks):
        return "byte by byte"
    return f"in pieces of {', '.join(str(len(chunk)) for chunk in chunks)} bytes"


def deliver(parser: Generator[None, bytes, T], chunks: Iterable[bytes]) -> T:
    """Start parser, send it chunks, then b"" for the end of the stream; return what it returns.

    What the tests of parsers use instead of the learner's own feed.
    """
    if not hasattr(parser, "send"):
        raise AssertionError(f"a parser is a generator, and this call gave {parser!r}")
    try:
        next(parser)
        for chunk in chunks:
            parser.send(chunk)
        for _ in range(3):
            parser.send(b"")
    except StopIteration as finished:
        result: T = finished.value
        return result
    raise AssertionError(
        "the parser was sent b'' (the stream has ended) and went on waiting: nothing more will ever come"
    )


def enough(*chunks: bytes) -> Iterator[bytes]:
    """Yield chunks, and complain when one more is asked for: on a socket, that is waiting for ever."""
    yield from chunks
    raise AssertionError(
        f"one more chunk was asked for after {b''.join(chunks)[-40:]!r}, although all that was needed "
        "had come: a server would now stand in recv() and wait for ever"
    )
