"""Sockets without a network: clients, a listener, an attempt to connect that take as long as a test likes."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Any, Self

from dojo.kit.ends import Client, Served
from dojo.kit.sockets import complain


class Attempt(socket.socket):
    """A socket that is neither connected nor refused before end(); SO_ERROR then is this error."""

    def __init__(self, error: int) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours.family, ours.type, ours.proto, fileno=ours.detach())
        self._error = error

    def connect(self, address: Any) -> None:
        raise BlockingIOError(errno.EINPROGRESS, "it is on its way")

    def connect_ex(self, address: Any) -> int:
        return errno.EINPROGRESS

    def end(self) -> None:
        """Let the attempt come to its end: it becomes writable."""
        self._theirs.setblocking(False)
        with suppress(BlockingIOError):
            while self._theirs.recv(65_536):
                pass

    def getsockopt(self, level: int, option: int, *rest: Any) -> Any:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self._error
        return super().getsockopt(level, option, *rest)

    def close(self) -> None:
        self._theirs.close()
        super().close()


class Door(socket.socket):
    """A listener without a network: readable while somebody waits at it, or an error, or its end."""

    def __init__(self, *arrivals: socket.socket | OSError) -> None:
        ours, self._bell = socket.socketpair()
        super().__init__(ours.family, ours.type, ours.proto, fileno=ours.detach())
        self._waiting: list[socket.socket | OSError | None] = []
        for arrival in arrivals:
            self.arrive(arrival)

    def arrive(self, arrival: socket.socket | OSError) -> None:
        """Let a client arrive, or have accept raise an error."""
        self._waiting.append(arrival)
        self._bell.send(b"!")

    def shut(self) -> None:
        """Let the next accept find the listener closed."""
        self._waiting.append(None)
        self._bell.send(b"!")

    def accept(self) -> tuple[socket.socket, Any]:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, "the listener was closed")
        if self.getblocking():
            complain("accept was called on a blocking listener: it would stop all tasks")
        if not self._waiting:
            raise BlockingIOError(errno.EWOULDBLOCK, "nobody waits")
        self.recv(1)
        arrival = self._waiting.pop(0)
        if arrival is None:
            self.close()
            raise OSError(errno.EBADF, "the listener was closed")
        if isinstance(arrival, OSError):
            raise arrival
        return arrival, ("127.0.0.1", 49152)

    def close(self) -> None:
        self._bell.close()
        super().close()


class Sockets:
    """Makes sockets for a test, and closes them: for a `with`."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()

    def client(self, says: bytes = b"", **shyness: int) -> Client:
        """Return a new client that has said this; the socket to serve is its `served`, as Shy as told."""
        ours, theirs = socket.socketpair()
        client = Client(ours, Served(theirs, lambda number: 0, **shyness))
        self._sockets += [client, client.served]
        client.say(says)
        return client

    def heir(self, client: Client) -> Client:
        """Close the served end of client; return a new client whose served end has its number, if it can."""
        heir = self.client()
        number, late = client.served.fileno(), heir.served
        client.served.close()
        try:
            os.dup2(late.fileno(), number)
        except OSError:
            return heir  # Windows: it has a number of its own
        heir.served = socket.socket(late.family, late.type, late.proto, fileno=number)
        self._sockets.append(heir.served)
        late.close()
        return heir

    def fill(self, sock: socket.socket) -> None:
        """Make sock non-blocking, and send what it takes, until it takes no more."""
        sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                socket.socket.send(sock, bytes(65_536))

    def attempt(self, error: int = 0) -> Attempt:
        """Return a socket for which connecting takes its time."""
        attempt = Attempt(error)
        self.fill(attempt)
        self._sockets.append(attempt)
        return attempt

    def door(self, *arrivals: socket.socket | OSError) -> Door:
        """Return a listener at which these have arrived."""
        door = Door(*arrivals)
        self._sockets.append(door)
        return door
