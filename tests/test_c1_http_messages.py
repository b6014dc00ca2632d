"""HTTP/1.1 as octets: right is read, wrong is refused. Sections are of RFC 9112 where no other is named."""

import pytest

from dojo.kit import octets
from dojo.kit.lint import read_answer
from dojo.kit.octets import fed, short, status_of
from dojo.kit.split import deliver, enough, every_cut
from katas import c1_http_messages as c1
from katas.c1_http_messages import body_length, parse_headers, read_chunked, read_request, write_response

TOO_LONG = octets.too_long(c1.MAX_LINE, c1.MAX_HEAD, c1.MAX_BODY)
TOO_LONG_CHUNKED = octets.too_long_chunked(c1.MAX_LINE, c1.MAX_HEAD)
LONGEST = octets.longest(c1.MAX_LINE, c1.MAX_HEAD)


class TestParseHeaders:
    def test_each_line_is_a_name_and_a_value(self):
        assert parse_headers(b"host: kata\r\nX: a: b  c\r\ny:") == {"host": "kata", "x": "a: b  c", "y": ""}

    def test_no_lines_are_no_headers(self):
        assert parse_headers(b"") == {}

    def test_names_have_no_case(self):
        assert parse_headers(b"HOST: Kata") == {"host": "Kata"}, "kept in lower case (RFC 9110 section 5.1)"

    @pytest.mark.parametrize("line", [b"a:b", b"a: b", b"a: \t b \t"], ids=["none", "one", "many"])
    def test_spaces_around_a_value_do_not_count(self, line):
        assert parse_headers(line) == {"a": "b"}, "spaces and tabs around it are not part of a value"

    @pytest.mark.parametrize("octet", [b"\x85", b"\xa0", b"\xe9", b"\x0b", b"\x1c"], ids=repr)
    def test_other_octets_are_not_white_space(self, octet):
        fields = {"a": octet.decode("latin-1") + "x" + octet.decode("latin-1")}
        assert parse_headers(b"a: " + octet + b"x" + octet) == fields, "parse octets, not text (section 2.2)"

    def test_values_of_a_repeated_name_are_joined(self):
        assert parse_headers(b"Via: a\r\nHost: b\r\nvia: c") == {"via": "a, c", "host": "b"}

    @pytest.mark.parametrize(("line", "cause"), octets.NO_FIELDS.values(), ids=octets.NO_FIELDS)
    def test_line_that_is_not_a_field_is_400(self, line, cause):
        assert status_of(parse_headers, line) == 400, f"{line!r}: {cause}"

    def test_no_value_holds_a_line_feed(self):
        got, two = status_of(parse_headers, b"a: b\nc: d"), {"a": "b", "c": "d"}
        due = f"due was BadRequest(400) or {two}: a value with LF is two lines as soon as it is written"
        assert got in (400, two), rf"parse_headers(b'a: b\nc: d') gave {got}, {due}"


class TestBodyLength:
    def test_content_length_is_the_length(self):
        assert body_length({"host": "kata", "content-length": "70"}) == 70
        assert body_length({"host": "kata"}) == 0, "nothing announces a body (section 6.3)"

    @pytest.mark.parametrize("coding", ["chunked", "Chunked"])
    def test_chunked_body_has_no_length_in_front(self, coding):
        assert body_length({"transfer-encoding": coding}) is None, "a chunked body says itself where it ends"

    def test_transfer_encoding_overrides_content_length(self):
        both = {"content-length": "5", "transfer-encoding": "chunked"}
        assert body_length(both) is None, f"{both}: only the chunks count (section 6.3)"

    @pytest.mark.parametrize("length", octets.NO_LENGTHS, ids=short)
    def test_content_length_is_digits_or_400(self, length):
        cause = f"{length[:20]!r} is not 1 to 18 digits from 0 to 9 (section 6.3)"
        assert status_of(body_length, {"content-length": length}) == 400, cause

    @pytest.mark.parametrize("codings", ["gzip", "chunked, gzip", "xchunked", "chunked, chunked"])
    def test_codings_that_do_not_end_in_chunked_are_400(self, codings):
        cause = f"nobody can tell where a body coded {codings!r} ends (section 6.3)"
        assert status_of(body_length, {"transfer-encoding": codings}) == 400, cause

    def test_unknown_coding_in_front_of_chunked_is_501(self):
        assert status_of(body_length, {"transfer-encoding": "gzip, chunked"}) == 501


class TestReadChunked:
    def test_chunks_with_sizes_in_hex_are_put_together(self):
        raw = b"B\r\nhello world\r\n0a\r\n, 0\r\n\r\nhi!\r\n0\r\n\r\n"
        assert fed(read_chunked, raw) == b"hello world, 0\r\n\r\nhi!"

    def test_chunk_extensions_are_ignored(self):
        cause = "nobody has to know them, all have to skip them (section 7.1.1)"
        assert fed(read_chunked, b'2;x=y;z="3"\r\nhi\r\n0;last\r\n\r\n') == b"hi", cause

    def test_trailers_are_taken_out_and_dropped(self):
        buffer = bytearray(b"2\r\nhi\r\n0\r\nExpires: never\r\nX: y\r\n\r\nGET")
        assert deliver(read_chunked(buffer), enough()) == b"hi"
        assert buffer == b"GET", "the empty line behind the trailers is the end: then comes the next request"

    def test_every_cut_gives_the_same(self):
        raw = b"5;x=y\r\nhello\r\nC\r\n, \r\n\r\nworld!\r\n0\r\nA: b\r\n\r\n"
        assert fed(read_chunked, raw) == b"hello, \r\n\r\nworld!"
        every_cut(raw, lambda chunks: deliver(read_chunked(bytearray()), chunks))

    @pytest.mark.parametrize("size", octets.NO_SIZES, ids=short)
    def test_size_that_is_not_hex_digits_is_400(self, size):
        raw = size.encode("latin-1") + b"\r\na\r\n0\r\n\r\n"
        cause = f"{size!r} is not 1 to 15 hexadecimal digits (section 7.1)"
        assert status_of(fed, read_chunked, raw) == 400, cause

    def test_chunk_longer_than_its_size_is_400(self):
        assert status_of(fed, read_chunked, b"2\r\nhi!!0\r\n\r\n") == 400, "behind 2 octets, CRLF is due"

    @pytest.mark.parametrize(("raw", "due"), TOO_LONG_CHUNKED.values(), ids=TOO_LONG_CHUNKED)
    def test_what_is_too_long_has_its_status(self, raw, due):
        assert status_of(fed, read_chunked, raw) == due, (
            "MAX_LINE is for a size line, MAX_HEAD for all trailers"
        )

    @pytest.mark.parametrize("raw", [b"65\r\n", b"60\r\n" + b"a" * 96 + b"\r\n5\r\n"], ids=["one", "sum"])
    def test_body_over_the_limit_is_413_at_once(self, raw):
        assert status_of(fed, read_chunked, raw, 100) == 413, "101 octets are announced, and the limit is 100"

    @pytest.mark.parametrize("raw", octets.UNENDED.values(), ids=octets.UNENDED)
    def test_end_before_the_last_line_raises_eoferror(self, raw):
        with pytest.raises(EOFError):  # section 6.3: such a body is incomplete
            deliver(read_chunked(bytearray()), [raw])


class TestReadRequest:
    def test_head_is_taken_apart(self):
        due = c1.Request("GET", "/p?q=1", {"host": "kata", "x-id": "7"}, b"", keep_alive=True)
        assert fed(read_request, b"GET /p?q=1 HTTP/1.1\r\nHost: kata\r\nX-Id: 7\r\n\r\n") == due

    @pytest.mark.parametrize(("raw", "body", "cause"), octets.BODIES.values(), ids=octets.BODIES)
    def test_body_is_what_the_head_announces(self, raw, body, cause):
        assert fed(read_request, raw).body == body, cause

    @pytest.mark.parametrize("raw", [octets.POST, octets.CHUNKS], ids=["length", "chunked"])
    def test_every_cut_gives_the_same(self, raw):
        assert fed(read_request, raw).body == b"\r\n\r\n!"
        every_cut(raw, lambda chunks: deliver(read_request(bytearray()), chunks))

    def test_pipelined_requests_come_out_in_order(self):
        buffer = bytearray(octets.POST + b"GET /next HTTP/1.1\r\nHost: kata\r\n\r\n")
        targets = [deliver(read_request(buffer), enough()).target for _ in range(2)]
        assert targets == ["/p", "/next"], "what is behind a request is the next one (section 9.3.2)"

    @pytest.mark.parametrize("chunks", [[], [b"\r\n"]], ids=["nothing", "empty line"])
    def test_end_before_a_request_is_none(self, chunks):
        assert deliver(read_request(bytearray()), chunks) is None

    @pytest.mark.parametrize("raw", octets.CUT_OFF.values(), ids=octets.CUT_OFF)
    def test_end_inside_a_request_raises_eoferror(self, raw):
        with pytest.raises(EOFError):  # section 6.3: such a request is incomplete
            deliver(read_request(bytearray()), [raw])

    def test_empty_line_in_front_is_skipped(self):
        assert fed(read_request, b"\r\nGET /a HTTP/1.1\r\nHost: kata\r\n\r\n").target == "/a", "section 2.2"

    @pytest.mark.parametrize(("raw", "cause"), octets.NO_REQUESTS.values(), ids=octets.NO_REQUESTS)
    def test_what_is_not_a_request_is_400(self, raw, cause):
        assert status_of(fed, read_request, raw) == 400, cause

    def test_other_major_version_is_505(self):
        assert status_of(fed, read_request, b"GET / HTTP/2.0\r\nHost: kata\r\n\r\n") == 505

    @pytest.mark.parametrize("host", octets.HOSTS.values(), ids=octets.HOSTS)
    def test_valid_host_is_kept(self, host):
        assert fed(read_request, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).headers["host"] == host

    def test_http_1_0_may_go_without_a_host(self):
        assert fed(read_request, b"GET /a HTTP/1.0\r\n\r\n").target == "/a"

    @pytest.mark.parametrize(("raw", "target"), octets.ABSOLUTE.values(), ids=octets.ABSOLUTE)
    def test_absolute_form_gives_host_and_target(self, raw, target):
        assert fed(read_request, raw).target == target, "what is behind the authority (section 3.2.2)"
        assert fed(read_request, raw).headers["host"] == "a:8", "the target overrides Host (section 3.2.2)"

    def test_options_may_ask_about_the_whole_server(self):
        assert fed(read_request, b"OPTIONS * HTTP/1.1\r\nHost: kata\r\n\r\n").target == "*"

    @pytest.mark.parametrize(("raw", "kept"), octets.CONNECTIONS.values(), ids=octets.CONNECTIONS)
    def test_connection_is_kept_or_not(self, raw, kept):
        assert fed(read_request, raw).keep_alive == kept, "as version and Connection have it (section 9.3)"

    @pytest.mark.parametrize("raw", octets.DOUBTFUL.values(), ids=octets.DOUBTFUL)
    def test_doubtful_framing_is_the_last_request(self, raw):
        got = fed(read_request, raw)
        assert (got.body, got.keep_alive) == (b"hi", False), f"{raw!r}: answer, then close (section 6.1)"

    @pytest.mark.parametrize("raw", LONGEST.values(), ids=LONGEST)
    def test_longest_head_is_not_too_long(self, raw):
        assert fed(read_request, raw).method == "GET", "it has just as many octets as the limit allows"

    @pytest.mark.parametrize(("raw", "due"), TOO_LONG.values(), ids=TOO_LONG)
    def test_what_is_too_long_has_its_status(self, raw, due):
        assert status_of(fed, read_request, raw) == due, "section 3"
        pieces = enough(*(raw[at : at + 999] for at in range(0, len(raw), 999)))
        assert status_of(deliver, read_request(bytearray()), pieces) == due, "no cut may make a difference"


class TestWriteResponse:
    def test_status_headers_and_body_are_written(self):
        answer = read_answer(write_response(c1.Response(200, {"X-Id": "7"}, b"hi")))
        due = (200, "OK", "7", b"hi")
        assert (answer.status, answer.reason, answer.headers.get("x-id"), answer.body) == due

    def test_space_stays_where_there_is_no_reason(self):
        assert read_answer(write_response(c1.Response(299))).reason == ""

    def test_content_length_counts_octets(self):
        assert read_answer(write_response(c1.Response(200, {}, "é".encode()))).body == "é".encode()

    def test_date_is_sent_once(self):
        assert "date" in read_answer(write_response(c1.Response())).headers
        date = "Sun, 06 Nov 1994 08:49:37 GMT"
        answer = read_answer(write_response(c1.Response(200, {"DATE": date})))
        assert answer.headers.get("date") == date, "the app gave a Date, and names have no case"

    @pytest.mark.parametrize("keep_alive", [True, False])
    def test_connection_says_whether_it_closes(self, keep_alive):
        assert read_answer(write_response(c1.Response(), "GET", keep_alive)).closes == (not keep_alive)

    @pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "CONNECTION"])
    def test_framing_is_not_for_the_app_to_say(self, name):
        headers = read_answer(write_response(c1.Response(200, {name: "0"}, b"hi"))).headers
        framing = [headers.get(key) for key in ("content-length", "transfer-encoding", "connection")]
        assert framing == ["2", None, "keep-alive"], "you decide how it is sent (sections 6.1, 6.2)"

    def test_head_is_answered_without_the_body(self):
        answer = read_answer(write_response(c1.Response(200, {}, b"hi"), "HEAD"), "HEAD")
        cause = "an answer to HEAD has the length that GET would get (RFC 9110 section 9.3.2)"
        assert answer.headers.get("content-length") == "2", cause

    @pytest.mark.parametrize("status", [204, 304, 101])
    def test_some_answers_end_with_the_empty_line(self, status):
        head, _, rest = write_response(c1.Response(status, {}, b"hi")).lower().partition(b"\r\n\r\n")
        assert rest == b"", f"{status} ends at the first empty line (section 6.3)"
        assert b"content-length" not in head, f"{head!r} has a Content-Length (RFC 9110 section 8.6)"

    @pytest.mark.parametrize(("name", "value"), octets.NO_HEADERS, ids=ascii)
    def test_header_that_is_not_a_field_raises_valueerror(self, name, value):
        with pytest.raises(ValueError):  # noqa: PT011
            write_response(c1.Response(200, {name: value}))
