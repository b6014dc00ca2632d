"""Recursion for the rest of the time, bytes and an offset, a flag under a lock that saves wake-ups."""

import contextlib
import os
import selectors
import socket
import threading
import time


def ready_before(selector, deadline):
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    ready = selector.select(left)
    if ready or left == 0:
        return [key.fileobj for key, _ in ready]
    return ready_before(selector, deadline)


def wait_for(event, sockets, timeout, selector_class):
    deadline = None if timeout is None else time.monotonic() + timeout
    with contextlib.closing(selector_class()) as selector:
        for sock in sockets:
            selector.register(sock, event)
        return sorted(ready_before(selector, deadline), key=sockets.index)


def wait_readable(sockets, timeout, selector_class=selectors.DefaultSelector):
    return wait_for(selectors.EVENT_READ, list(sockets), timeout, selector_class)


def connect(address, timeout, selector_class=selectors.DefaultSelector):
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        if wait_for(selectors.EVENT_WRITE, [sock], timeout, selector_class) != [sock]:
            raise TimeoutError
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number != 0:
            raise OSError(number, os.strerror(number))
        stack.pop_all()
        return sock


class OutBuffer:
    def __init__(self, sock):
        self.sock, self.data, self.sent = sock, b"", 0

    def __len__(self):
        return len(self.data) - self.sent

    def write(self, data):
        self.data, self.sent = self.data[self.sent :] + bytes(data), 0

    def flush(self):
        if not len(self):
            return True
        try:
            self.sent += self.sock.send(self.data[self.sent : self.sent + 65_536])
        except BlockingIOError:
            return False
        return self.flush()


class Waker:
    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.lock = threading.Lock()
        self.awake = self.closed = False

    def fileno(self):
        return self.ours.fileno()

    def wake(self):
        with self.lock:
            if not self.awake and not self.closed:
                self.awake = True
                self.theirs.send(b"!")

    def drain(self):
        with self.lock:
            if self.awake:
                self.awake = False
                self.ours.recv(1)

    def close(self):
        with self.lock:
            self.closed = True
            self.ours.close()
            self.theirs.close()
