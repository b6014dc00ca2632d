"""A parser does not know where its bytes come from, nor how they were cut on the way."""

import pytest

from dojo.kit.sources import CountingSource
from dojo.kit.split import Raised, deliver, enough, every_cut
from katas.a4_byte_parser import feed, read_exactly, read_until


class TestReadExactly:
    def test_takes_what_is_there_without_waiting(self):
        buffer = bytearray(b"hello world")
        assert deliver(read_exactly(buffer, 5), enough()) == b"hello"

    def test_bytes_behind_it_stay_in_the_buffer(self):
        buffer = bytearray(b"hello world")
        deliver(read_exactly(buffer, 5), enough())
        assert buffer == b" world", "what is behind the first 5 bytes belongs to whoever reads next"

    def test_no_bytes_need_no_chunk(self):
        assert deliver(read_exactly(bytearray(), 0), enough()) == b""

    def test_waits_until_there_are_enough(self):
        chunks = enough(b"he", b"l", b"lo")
        assert deliver(read_exactly(bytearray(), 5), chunks) == b"hello"

    def test_chunk_that_brings_too_much_is_kept(self):
        buffer = bytearray(b"hel")
        deliver(read_exactly(buffer, 5), enough(b"lo wor"))
        assert buffer == b" wor", "the chunk brought more than was asked for: the rest is for the next read"

    def test_every_cut_gives_the_same(self):
        def two_words():
            buffer = bytearray()
            return [(yield from read_exactly(buffer, 5)), (yield from read_exactly(buffer, 6))]

        words = every_cut(b"hello world", lambda chunks: deliver(two_words(), chunks))
        assert words == [b"hello", b" world"]

    def test_bytes_are_yours_to_keep(self):
        word = deliver(read_exactly(bytearray(b"hello"), 5), enough())
        assert isinstance(word, bytes), f"bytes are due, which nobody can change, not a {type(word).__name__}"

    def test_end_of_stream_raises_eoferror(self):
        with pytest.raises(EOFError):
            deliver(read_exactly(bytearray(b"he"), 5), [b"l"])


def lines(count, limit=20):
    """A parser made of others: it reads some lines from one buffer."""
    buffer = bytearray()
    found = []
    for _ in range(count):
        found.append((yield from read_until(buffer, b"\r\n", limit)))
    return found


def verdict(parser, chunks):
    """What a parser returns, or what it raises."""
    try:
        return deliver(parser, chunks)
    except ValueError as error:
        return Raised(ValueError, error)
    except EOFError as error:
        return Raised(EOFError, error)


def limit_4(data, count=1):
    """What comes of count lines in every cut of data, where each may have 4 bytes."""
    return every_cut(data, lambda chunks: verdict(lines(count, limit=4), chunks), given="with a limit of 4")


class TestReadUntil:
    def test_returns_the_bytes_before_the_separator(self):
        assert deliver(read_until(bytearray(b"one\r\ntwo"), b"\r\n", 20), enough()) == b"one"

    def test_separator_is_taken_out_too(self):
        buffer = bytearray(b"one\r\ntwo")
        deliver(read_until(buffer, b"\r\n", 20), enough())
        assert buffer == b"two", "b'one' was read and its separator with it: b'two' is for whoever reads next"

    def test_nothing_before_the_separator_is_nothing(self):
        assert deliver(read_until(bytearray(b"\r\ntwo"), b"\r\n", 20), enough()) == b""

    def test_waits_for_the_separator_and_no_longer(self):
        assert deliver(read_until(bytearray(), b"\r\n", 20), enough(b"on", b"e\r\n")) == b"one"

    def test_separator_may_come_in_two_parts(self):
        chunks = enough(b"one\r", b"\ntwo")
        cause = "b'\\r' came with one chunk, b'\\n' with the next: look again at the end of what was there"
        assert verdict(read_until(bytearray(), b"\r\n", 20), chunks) == b"one", cause

    def test_half_a_separator_is_part_of_the_line(self):
        buffer = bytearray(b"o\rn\ne\r\r\n")
        assert deliver(read_until(buffer, b"\r\n", 20), enough()) == b"o\rn\ne\r"

    def test_every_cut_of_lines_gives_the_same(self):
        read = every_cut(b"one\r\n\r\ntwo\r\r\n", lambda chunks: deliver(lines(3), chunks))
        assert read == [b"one", b"", b"two\r"]

    def test_every_cut_of_a_long_separator_is_found(self):
        def head(chunks):
            return deliver(read_until(bytearray(), b"\r\n\r\n", 20), chunks)

        assert every_cut(b"a\r\nb\r\n\r\n", head) == b"a\r\nb"

    def test_as_many_bytes_as_the_limit_are_allowed(self):
        cause = "4 bytes before the separator are not more than the limit of 4"
        assert limit_4(b"four\r\n") == [b"four"], cause

    def test_bytes_behind_the_separator_do_not_count(self):
        cause = "the limit of 4 is for the bytes before the separator"
        assert limit_4(b"one\r\ntwo\r\n", count=2) == [b"one", b"two"], cause

    def test_more_bytes_than_the_limit_raise_in_every_cut(self):
        cause = "7 bytes came before the separator, and the limit was 4"
        assert limit_4(b"seventy\r\n") == Raised(ValueError), cause

    def test_too_many_bytes_raise_without_waiting_for_more(self):
        chunks = CountingSource([b"ty", b"-four", b"\r\n"])
        cause = "with a limit of 4, 6 bytes without b'\\r\\n' are a ValueError: no later chunk can help"
        assert verdict(read_until(bytearray(b"four"), b"\r\n", 4), chunks) == Raised(ValueError), cause
        assert chunks.asked == 1, cause

    def test_end_of_stream_raises_eoferror(self):
        with pytest.raises(EOFError):
            deliver(read_until(bytearray(b"on"), b"\r\n", 20), [b"e\r"])

    @pytest.mark.parametrize(
        ("limit", "chunk", "kept"),
        [(20, b"ty", b"seventy"), (2, b"ty", b"seven"), (5, b"ty\r\n", b"seventy\r\n")],
        ids=["end", "limit", "late"],
    )
    def test_buffer_keeps_all_where_it_raises(self, limit, chunk, kept):
        buffer = bytearray(b"seven")
        raised = verdict(read_until(buffer, b"\r\n", limit), [chunk])
        assert buffer == kept, f"{raised!r} came of it, and an error takes nothing out of the buffer"


def collect(count):
    """A parser that returns the first chunks it is sent."""
    chunks = []
    while len(chunks) < count:
        chunks.append((yield))
    return chunks


def until_the_end():
    """A parser that takes the end of the stream for a good end."""
    heard = b""
    while chunk := (yield):
        heard += chunk
    return heard


def insatiable():
    """A parser that never has enough, not even at the end of the stream."""
    ends = 0
    while ends < 2:
        ends += (yield) == b""
    raise AssertionError("b'' was sent twice: once is the end of the stream, and nothing comes after it")


def refuse():
    yield
    raise ValueError("not what I expected")


class TestFeed:
    def test_returns_what_the_parser_returned(self):
        cause = "what a generator returns is the value of its StopIteration"
        assert feed(collect(2), [b"a", b"b"]) == [b"a", b"b"], cause

    def test_parser_that_needs_nothing_asks_for_no_chunk(self):
        assert feed(collect(0), enough()) == []

    def test_no_chunk_too_many_is_asked_for(self):
        assert feed(collect(2), enough(b"a", b"b")) == [b"a", b"b"]

    def test_chunk_is_asked_for_when_the_parser_waits(self):
        chunks = CountingSource([b"a", b"b", b"c"])
        asked = []

        def look_before_each_chunk():
            for _ in range(2):
                asked.append(chunks.asked)
                yield

        feed(look_before_each_chunk(), chunks)
        assert asked == [0, 1], "before the parser waits for a chunk, feed has no use for one"

    def test_end_of_chunks_is_sent_as_no_bytes(self):
        cause = "the StopIteration of the chunks is not the parser's: at their end, the parser is sent b''"
        assert feed(until_the_end(), iter([b"a", b"b"])) == b"ab", cause

    def test_parser_that_wants_still_more_raises_eoferror(self):
        with pytest.raises(EOFError):
            feed(insatiable(), [b"a", b"b"])

    def test_error_of_the_parser_comes_through(self):
        with pytest.raises(ValueError, match="not what I expected"):
            feed(refuse(), [b"a", b"b"])

    def test_drives_the_parsers_of_this_kata(self):
        assert feed(lines(2), [b"one\r", b"\ntwo", b"\r\nthree"]) == [b"one", b"two"]
