"""The same bytes, delivered in every way that a network can deliver them."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True, repr=False)
class Raised:
    """What a run gives that raised: the same as whatever else is of this kind, and says what error said."""

    kind: type[Exception]
    error: Exception | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return self.kind.__name__ if self.error is None else repr(self.error)


def every_cut(data: bytes, run: Callable[[list[bytes]], T], seed: int = 0, given: str = "") -> T:
    """Call run with every cut of data and return what it gives; complain where a cut makes a difference.

    An exception of run comes through as it is for the whole data; for a cut, it is a difference.
    What else one has to know for the complaint to make sense is given.
    """
    whole = run([data] if data else [])
    before = f"{given}: " if given else ""
    for chunks in cuts(data, seed):
        try:
            outcome = run(chunks)
        except Exception as error:
            raise AssertionError(
                f"{before}the bytes in one piece {_did(whole)}, but {shown(chunks)} they raised {error!r}: "
                "the network cuts where it likes, and no cut may make a difference"
            ) from error
        if outcome != whole:
            raise AssertionError(
                f"{before}the bytes in one piece {_did(whole)}, but {shown(chunks)} they {_did(outcome)}: "
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
        _check(next(parser))
        for chunk in chunks:
            _check(parser.send(chunk))
        for _ in range(3):
            _check(parser.send(b""))
    except StopIteration as finished:
        result: T = finished.value
        return result
    raise AssertionError(
        "the parser was sent b'' (the stream has ended) and went on waiting: nothing more will ever come"
    )


def enough(*chunks: bytes) -> Iterator[bytes]:
    """Yield chunks, and complain when one more is asked for: nobody has any more to send."""
    yield from chunks
    raise AssertionError(
        f"one more chunk was asked for after {b''.join(chunks)[-40:]!r}, although all that was needed "
        "had come: whoever feeds it would now wait for bytes that never come"
    )


def _did(outcome: object) -> str:
    return f"{'raised' if isinstance(outcome, Raised) else 'gave'} {outcome!r}"


def _check(yielded: object) -> None:
    """Complain of a parser that yields anything but None."""
    if yielded is not None:
        what = "a generator: is a `from` missing?" if isinstance(yielded, Generator) else repr(yielded)
        raise AssertionError(f"a parser yields None when it wants bytes; this one yielded {what}")
