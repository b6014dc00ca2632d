"""Numbers instead of sockets registered, one deadline object, a queue of chunks, asking before drinking."""

import contextlib
import errno
import select
import selectors
import socket
import time
from collections import deque


class Deadline:
    def __init__(self, timeout):
        self.end = None if timeout is None else time.perf_counter() + timeout

    def left(self):
        return 1.0 if self.end is None else max(0.0, min(1.0, self.end - time.perf_counter()))


def until_ready(selector, timeout):
    deadline = Deadline(timeout)
    ready = selector.select(0)
    while not ready and deadline.left():
        ready = selector.select(deadline.left())
    return ready


def wait_readable(sockets, timeout, selector_class=selectors.DefaultSelector):
    selector = selector_class()
    try:
        for place, sock in enumerate(sockets):
            selector.register(sock.fileno(), selectors.EVENT_READ, place)
        return [sockets[place] for place in sorted(key.data for key, _ in until_ready(selector, timeout))]
    finally:
        selector.close()


def connect(address, timeout, selector_class=selectors.DefaultSelector):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(0)
    error = sock.connect_ex(address)
    if error in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        with selector_class() as selector:
            selector.register(sock.fileno(), selectors.EVENT_WRITE | selectors.EVENT_READ)
            ready = until_ready(selector, timeout)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ready else errno.ETIMEDOUT
    if error:
        sock.close()
        raise OSError(error, "no connection")
    return sock


class OutBuffer:
    def __init__(self, sock):
        self.sock = sock
        self.chunks = deque()

    def __len__(self):
        return sum(map(len, self.chunks))

    def write(self, data):
        if data:
            self.chunks.append(memoryview(bytes(data)))

    def flush(self):
        try:
            while self.chunks:
                self.chunks[0] = self.chunks[0][self.sock.send(self.chunks[0]) :]
                if not self.chunks[0]:
                    self.chunks.popleft()
        except BlockingIOError:
            return False
        return True


class Waker:
    def __init__(self):
        self.inside, self.outside = socket.socketpair()
        self.outside.settimeout(0)
        self.fileno = self.inside.fileno

    def wake(self):
        with contextlib.suppress(OSError):
            self.outside.send(b"wake up")

    def drain(self):
        while select.select([self.inside], [], [], 0)[0]:  # asks first, and so need not be non-blocking
            self.inside.recv(100)

    def close(self):
        self.inside.close()
        self.outside.close()
