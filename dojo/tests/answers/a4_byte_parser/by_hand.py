"""The same parsers with no helpers: every wait is a bare yield, every search begins at the front."""


def read_exactly(buffer, count):
    while True:
        if len(buffer) >= count:
            word = b"".join([buffer[:count]])
            buffer[:] = buffer[count:]
            return word
        chunk = yield "more"
        if chunk == b"":
            raise EOFError
        buffer.extend(chunk)


def read_until(buffer, separator, limit):
    while separator not in buffer:
        # As soon as it can be known: not even the beginning of a separator stands at the limit.
        behind = bytes(buffer[limit:])
        if len(buffer) > limit and not separator.startswith(behind):
            raise ValueError("too long")
        chunk = yield
        if not chunk:
            raise EOFError("gone")
        buffer.extend(chunk)
    line, _, rest = bytes(buffer).partition(separator)
    if len(line) > limit:
        raise TooLongError("too long")
    buffer[:] = rest
    return line


class TooLongError(ValueError):
    pass


def feed(parser, chunks):
    source = iter(chunks)
    chunk = None
    while chunk != b"":
        try:
            parser.send(chunk)
        except StopIteration as end:
            return end.value
        chunk = next(source, b"")
    try:
        parser.send(b"")
    except StopIteration as end:
        return end.value
    raise EOFError
