"""A waiter that both functions inherit their wait from, a buffer that is a bytearray, recv_into."""

import selectors
import socket
import sys
import time
from contextlib import suppress


class Waiter:
    event = selectors.EVENT_READ

    def __init__(self, sockets, timeout, selector_class):
        self.start, self.timeout = time.monotonic(), timeout
        self.selector = selector_class()
        self.sockets = sockets

    def wait(self):
        try:
            for sock in self.sockets:
                self.selector.register(sock, self.event, data=sock)
            while True:
                spent = time.monotonic() - self.start
                left = None if self.timeout is None else self.timeout - spent
                found = {key.data for key, _ in self.selector.select(left)}
                if found or (left is not None and left <= 0):
                    return found
        finally:
            self.selector.close()


class ConnectWaiter(Waiter):
    event = selectors.EVENT_WRITE


def wait_readable(sockets, timeout, selector_class=selectors.DefaultSelector):
    found = Waiter(sockets, timeout, selector_class).wait()
    return list(filter(found.__contains__, sockets))


def connect(address, timeout, selector_class=selectors.DefaultSelector):
    sock = socket.socket(type=socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect_ex(address)
        if not ConnectWaiter([sock], timeout, selector_class).wait():
            raise TimeoutError(f"{timeout} seconds are over")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, f"{address} does not answer")
    finally:
        if sys.exc_info()[0]:
            sock.close()
    return sock


class OutBuffer(bytearray):
    def __init__(self, sock):
        super().__init__()
        self.send = sock.send

    write = bytearray.extend

    def flush(self):
        with suppress(BlockingIOError):
            while self:
                self[:] = self[self.send(bytes(self)) :]
        return not self


class Waker:
    def __init__(self):
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.far.setblocking(False)
        self.fileno = self.near.fileno

    def wake(self):
        with suppress(OSError):
            self.far.send(bytes(1))

    def drain(self):
        room = bytearray(1000)
        with suppress(BlockingIOError):
            while self.near.recv_into(room):
                continue

    def close(self):
        for sock in self.near, self.far:
            sock.close()
