"""Another make: a parser class' worth of state in one loop, closing by hand, a task and a limiter for each url."""

from urllib.parse import urlsplit

import anyio

from katas.c1_http_messages import MAX_BODY, MAX_HEAD, Response, body_length, parse_headers, read_chunked

TIMEOUT = 10.0


def build_request(method, url, headers=None, body=b""):
    if any(not "!" <= character <= "~" for character in url) or not url.lower().startswith("http://"):
        raise ValueError("not a URL for this client")
    split = urlsplit(url)
    if not split.hostname or "@" in split.netloc:
        raise ValueError("whose host is that?")
    host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    sent = [("Host", host if (split.port or 80) == 80 else f"{host}:{split.port}")]
    sent.append(("User-Agent", "by hand"))
    for name, value in (headers or {}).items():
        sent = [field for field in sent if field[0].lower() != name.lower()]
        if name.lower() not in ("content-length", "transfer-encoding"):
            sent.append((name, value))
    if body or method in {"POST", "PUT", "PATCH"}:
        sent.append(("content-length", str(len(body))))
    for token in [method] + [name for name, _ in sent]:
        if not token or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in token) or not token.isascii():
            raise ValueError("not a token")
    if any(set(value) & set("\r\n\0") for _, value in sent):
        raise ValueError("not a value")
    target = url.partition("#")[0].partition("//")[2].partition("?")
    path = split.path or "/"
    lines = [f"{method} {path}{target[1]}{target[2]} HTTP/1.1"] + [f"{name}: {value}" for name, value in sent]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def read_response(buffer, method):
    while True:
        while b"\r\n\r\n" not in buffer:
            if len(buffer) > MAX_HEAD:
                raise ValueError("too long a head")
            chunk = yield
            if not chunk:
                raise EOFError("in the head")
            buffer.extend(chunk)
        at = buffer.index(b"\r\n\r\n")
        line, *rest = bytes(buffer[:at]).split(b"\r\n", 1)
        del buffer[: at + 4]
        version, _, after = line.partition(b" ")
        code = after.split(b" ")[0]
        if version not in (b"HTTP/1.0", b"HTTP/1.1") or len(code) != 3 or not code.isdigit():
            raise ValueError("not a status line")
        if not code.startswith(b"1"):
            break
    headers = parse_headers(rest[0] if rest else b"")
    status = int(code)
    if method == "HEAD" or status in {204, 304}:
        return Response(status=status, headers=headers)
    if body_length(headers) is None:
        return Response(status, headers, (yield from read_chunked(buffer)))
    due = body_length(headers) if "content-length" in headers else MAX_BODY + 1
    if due > MAX_BODY and "content-length" in headers:
        raise ValueError("too long a body")
    while len(buffer) < due:
        chunk = yield
        if not chunk and "content-length" in headers:
            raise EOFError("in the body")
        if not chunk:
            return Response(status, headers, bytes(buffer))
        buffer.extend(chunk)
    if due > MAX_BODY:
        raise ValueError("too long a body")
    body = bytes(buffer[:due])
    del buffer[:due]
    return Response(status, headers, body)


async def fetch(stream, request):
    parser = read_response(bytearray(), request.split()[0].decode())
    chunk = None
    await stream.send(request)
    while True:
        try:
            parser.send(chunk)
        except StopIteration as stop:
            return stop.value
        try:
            chunk = await stream.receive(1_000)
        except anyio.EndOfStream:
            chunk = b""


async def get(url, timeout):
    request = build_request("GET", url, {"connection": "close"})
    stream = None
    with anyio.move_on_after(timeout):
        try:
            stream = await anyio.connect_tcp(urlsplit(url).hostname, urlsplit(url).port or 80)
            return await fetch(stream, request)
        finally:
            if stream is not None:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()
    raise TimeoutError(f"{url} took more than {timeout} seconds")


async def get_all(urls, limit):
    if limit <= 0:
        raise ValueError("a limit is at least 1")
    limiter = anyio.CapacityLimiter(limit)
    responses = [None] * len(urls)
    failures = []

    async with anyio.create_task_group() as group:

        async def one(place):
            async with limiter:
                try:
                    responses[place] = await get(urls[place], TIMEOUT)
                except Exception as error:
                    failures.append(error)
                    group.cancel_scope.cancel()

        for place in range(len(urls)):
            group.start_soon(one, place)
    if failures:
        raise failures[0]
    return responses
