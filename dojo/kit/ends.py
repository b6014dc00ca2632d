"""The two ends of a connection that a test holds in one hand, and a listener with a script."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from dojo.kit.sockets import Shy, complain

PATIENCE = 10  # answers of "nobody waits", while a test lasts


class Served(Shy):
    """The served end of a pair: Shy, and it complains when it is closed while a selector watches it.

    watches(number) tells whether a selector does. Where `recv_raises` is set, recv raises that; the
    next `false_alarms` calls raise BlockingIOError.
    After each send that takes something, the next `pauses` sends take nothing.
    """

    enough = 1_000

    def __init__(
        self, real: socket.socket, watches: Callable[[int], int], pauses: int = 0, **shyness: int
    ) -> None:
        super().__init__(real, **shyness)
        self._pauses = pauses
        self.recv_raises: Exception | None = None
        self.false_alarms = 0
        self._watches = watches

    def _receive(self, bufsize: int, flags: int) -> bytes:
        if self.recv_raises is not None:
            raise self.recv_raises
        if self.getblocking():
            complain("recv was called on a blocking socket: one silent client would stop the whole server")
        if self.false_alarms > 0:
            self.false_alarms -= 1
            raise BlockingIOError(errno.EWOULDBLOCK, "readiness is a hint: there is nothing after all")
        return super()._receive(bufsize, flags)

    def _transmit(self, data: bytes, flags: int) -> int:
        self.refusals = self._pauses
        return super()._transmit(data, flags)

    def close(self) -> None:
        watched = self._watches(self.fileno())
        super().close()
        if watched:
            complain(
                "the socket was closed while the selector still watched it: remove it first. "
                "The next connection may get its number"
            )


class Client(socket.socket):
    """The client's end of a pair. `served` is the other end, `heard` is what came, `ended` whether it ended.

    `reports` is a list for whoever wants to note what was reported of the served end.
    """

    def __init__(self, real: socket.socket, served: socket.socket) -> None:
        super().__init__(real.family, real.type, real.proto, fileno=real.detach())
        self.setblocking(False)
        self.served: Any = served
        self.heard = bytearray()
        self.ended = False
        self.reports: list[int] = []

    def say(self, octets: bytes) -> None:
        """Send octets, which are few enough to be taken at once."""
        try:
            sent = self.send(octets)
        except ConnectionError as error:
            raise AssertionError(
                f"the client could send no more ({error!r}): the socket was closed too early"
            ) from error
        assert sent == len(octets), f"the network took {sent} of {len(octets)} octets"

    def half_close(self) -> None:
        """End the sending side; answers can still come."""
        self.shutdown(socket.SHUT_WR)

    def listen_up(self) -> bool:
        """Take what has come; return whether there was something, an end for one."""
        before = len(self.heard)
        while not self.ended:
            try:
                chunk = self.recv(65_536)
            except BlockingIOError:
                return len(self.heard) > before
            except ConnectionError as error:
                raise AssertionError(
                    f"the client got a reset in place of the end, after {len(self.heard)} octets: "
                    "that is what closing means while input is unread"
                ) from error
            self.heard += chunk
            if not chunk:
                self.ended = True
                return True
        return False


class Arrivals(socket.socket):
    """A listener that is always readable, and whose accept follows a script; then nobody waits any more."""

    def __init__(self, *arrivals: socket.socket | OSError) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours.family, ours.type, ours.proto, fileno=ours.detach())
        self._theirs.send(b"!")  # never read
        self._arrivals = list(arrivals)
        self._in_vain = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self.getblocking():
            complain("accept was called on a blocking listener: it waits for somebody who may never come")
        if not self._arrivals:
            self._in_vain += 1
            if self._in_vain > PATIENCE:
                complain("accept was called over and over after BlockingIOError: nobody waits any more")
            raise BlockingIOError(errno.EWOULDBLOCK, "nobody waits any more: the end of this event")
        arrival = self._arrivals.pop(0)
        if isinstance(arrival, OSError):
            raise arrival
        return arrival, ("127.0.0.1", 49152)

    def close(self) -> None:
        self._theirs.close()
        super().close()
