"""Real sockets with a will of their own: they take little, follow a script, and complain in sentences."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

if TYPE_CHECKING:
    from typing_extensions import Buffer  # not needed, and maybe not there, when it runs

ENOUGH = 10_000  # sends of one socket: more than any test needs
GOODBYES = 3  # b"" once is the end; a close that reads until b"" may see it again


def complain(sentence: str) -> NoReturn:
    """Fail the test with this sentence; no `except Exception` on the way can swallow it."""
    __tracebackhide__ = True
    pytest.fail(sentence)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return two sockets connected to each other; a wait of 5 seconds on either is an error."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    theirs.settimeout(5)
    return ours, theirs


def wait_for_input(sock: socket.socket, count: int) -> None:
    """Wait until count octets are there to be received, and leave them there."""
    while len(sock.recv(count, socket.MSG_PEEK)) < count:
        pass


class Watched(socket.socket):
    """A socket that takes over another one (detaches it) and complains about being spun on."""

    def __init__(self, real: socket.socket) -> None:
        timeout = real.gettimeout()
        super().__init__(real.family, real.type, real.proto, fileno=real.detach())
        self.settimeout(timeout)
        self.goodbyes = 0

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        chunk = self._receive(bufsize, flags)
        if not chunk and bufsize and not flags & socket.MSG_PEEK:
            self.goodbyes += 1
            if self.goodbyes > GOODBYES:
                complain(
                    f"recv was called again after it had returned b'' {GOODBYES} times: "
                    "b'' is the client's goodbye, nothing comes after it"
                )
        return chunk

    def recv_into(self, buffer: Buffer, nbytes: int = 0, flags: int = 0, /) -> int:
        view = memoryview(buffer).cast("B")
        chunk = self.recv(nbytes or len(view), flags)
        view[: len(chunk)] = chunk
        return len(chunk)

    def _receive(self, bufsize: int, flags: int) -> bytes:
        return super().recv(bufsize, flags)


class Sipping(Watched):
    """A socket of which one recv gives at most `at_most` octets (with MSG_PEEK, all that it is asked for)."""

    def __init__(self, real: socket.socket, at_most: int) -> None:
        super().__init__(real)
        self._at_most = at_most

    def _receive(self, bufsize: int, flags: int) -> bytes:
        return super()._receive(bufsize if flags & socket.MSG_PEEK else min(bufsize, self._at_most), flags)


class Shy(Watched):
    """A socket of which one send takes at most `at_most` octets, and the next `refusals` sends none.

    A send that takes none raises BlockingIOError. `refusals` may be set again at any time.
    `taken` is all that was taken so far, `sends` counts the calls that took something.
    """

    enough = ENOUGH

    def __init__(self, real: socket.socket, at_most: int | None = None, refusals: int = 0) -> None:
        super().__init__(real)
        self.at_most, self.refusals = at_most, refusals
        self.taken = bytearray()
        self.sends = 0

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        if self.refusals > 0:
            self.refusals -= 1
            raise BlockingIOError(errno.EWOULDBLOCK, "this socket takes nothing now")
        self.sends += 1
        if self.sends > self.enough:
            complain(
                f"send was called {self.enough} times: what it took must not be offered again, "
                "and where it takes nothing, wait"
            )
        count = self._transmit(bytes(memoryview(data).cast("B")[: self.at_most]), flags)
        self.taken += memoryview(data).cast("B")[:count]
        return count

    def sendmsg(self, buffers: Iterable[Buffer], *rest: Any) -> int:
        return self.send(b"".join(memoryview(buffer).cast("B") for buffer in buffers))

    def sendall(self, data: Buffer, flags: int = 0, /) -> None:
        complain("sendall was called: what send leaves over is yours to see to here")

    def _transmit(self, data: bytes, flags: int) -> int:
        return super().send(data, flags)


def shy(sock: socket.socket, at_most: int | None = None, refusals: int = 0) -> Shy:
    """Return a Shy socket in place of sock, which it takes over."""
    return Shy(sock, at_most, refusals)


End = Literal["goodbye", "waits", "silence", "reset", "endless"]


class Scripted(Shy):
    """A client in a script: recv returns one chunk after the other, and nothing can ever wait.

    After the chunks comes b"" ("goodbye"), or b"" once the sending side of the socket was shut
    ("waits"), a time-out ("silence"), ConnectionResetError ("reset"), or octets up to
    `endless_after` of them ("endless"). What is sent is in `taken`; after `breaks_after` octets
    a send raises BrokenPipeError. `unread` is how many octets of the script a close leaves.
    """

    def __init__(
        self,
        *chunks: bytes,
        then: End = "goodbye",
        at_most: int | None = None,
        breaks_after: int | None = None,
        endless_after: int = 1 << 22,
    ) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(ours, at_most)
        self._chunks = [chunk for chunk in chunks if chunk]
        self._then, self._breaks_after, self._patience = then, breaks_after, endless_after
        self._shut = False
        self.unread = 0

    def _receive(self, bufsize: int, flags: int) -> bytes:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, "this socket is closed")
        if self._chunks:
            chunk = self._chunks[0][:bufsize]
            if not flags & socket.MSG_PEEK:
                rest = self._chunks.pop(0)[bufsize:]
                self._chunks[:0] = [rest] if rest else []
            return chunk
        if self._then == "waits" and not self._shut:
            complain(
                "recv waits for a client that waits for the end of the answer: "
                "shutdown(SHUT_WR) is how it learns that nothing more will come"
            )
        if self._then == "silence":
            if self.gettimeout() is None:
                complain(
                    "recv waits for a client that neither sends nor closes, and no timeout is set: for ever"
                )
            raise TimeoutError("timed out")
        if self._then == "reset":
            raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
        if self._then == "endless":
            self._patience -= bufsize
            if self._patience < 0:
                complain("recv goes on and on for a client that never stops sending: where is the bound?")
            return bytes(bufsize)
        return b""

    def _transmit(self, data: bytes, flags: int) -> int:
        if self.fileno() < 0:
            raise OSError(errno.EBADF, "this socket is closed")
        left = len(data) if self._breaks_after is None else self._breaks_after - len(self.taken)
        if self._shut or left <= 0 < len(data):
            raise BrokenPipeError(errno.EPIPE, "broken pipe")
        return min(len(data), left)

    def shutdown(self, how: int) -> None:
        super().shutdown(how)
        self._shut = self._shut or how != socket.SHUT_RD

    def close(self) -> None:
        if self.fileno() >= 0:
            self.unread = sum(map(len, self._chunks))
        self._theirs.close()
        super().close()
