"""One connection to an upstream that follows a script.

A script is a list of pieces: octets are sent as they are, a number is so many seconds
of silence (virtual ones, where the loop's time is), HOLD waits for all the other calls.
Behind the last piece the stream ends; where that is KEEP, it waits for the next request.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeAlias

import anyio

HOLD = "hold"  # until nothing more can arrive; then those held are answered one at a time, the last one first
KEEP = "keep"  # the connection is kept: another request may come on it
Piece: TypeAlias = bytes | float | str


class Call:
    """One connection to an Upstream: it reads a request, then follows its script, then ends the stream."""

    def __init__(self, sock: socket.socket, script_for: Callable[[Call], Iterable[Piece]]) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the loopback is quick only without Nagle
        self.sock = sock
        self.request = b""  # the last one, or what has come of it
        self.kept = False  # has it answered, and does it wait for another request?
        self.answers = 0  # how many requests it has begun to answer
        self.closed = False  # has the client closed its side?
        self.held = False
        self.silent_until = float("-inf")
        self._unread = b""
        self._script_for = script_for
        self._script: Iterator[Piece] | None = None
        self.ended = False

    @property
    def path(self) -> str:
        return self.request.split(b" ")[1].decode()

    @property
    def in_flight(self) -> bool:
        return self._script is not None and not self.ended and not self.kept

    def move(self) -> bool:
        """Do what can be done now; say whether that was anything."""
        return self._receive() or self._follow_script()

    def _receive(self) -> bool:
        if self.closed:
            return False
        try:
            data = self.sock.recv(65_536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a reset is a way of closing
        self.closed = not data
        self._unread += data
        self._read()
        return True

    def _read(self) -> None:
        """Take what has come for a request, but not before the last one is done with.

        A client may have read the whole answer, and asked again, before the script has come to its KEEP.
        """
        if self.in_flight or not self._unread:
            return
        if self.kept:
            self.kept, self._script, self.request = False, None, b""
        self.request, self._unread = self.request + self._unread, b""
        if self._script is None and _is_whole(self.request):
            self._script = iter(self._script_for(self))

    def _follow_script(self) -> bool:
        if not self.in_flight or self.held or anyio.current_time() < self.silent_until:
            return False
        assert self._script is not None
        piece = next(self._script, None)
        with suppress(OSError):  # of a client that is gone already
            if piece == KEEP:
                self.kept = True
                self._read()
            elif piece is None:
                self.ended = True
                self.sock.shutdown(socket.SHUT_WR)
            elif isinstance(piece, bytes):
                self.sock.sendall(piece)
        if piece == HOLD:
            self.held = True
        elif isinstance(piece, (int, float)):
            self.silent_until = anyio.current_time() + piece
        return True


def _is_whole(request: bytes) -> bool:
    """Is this a head, and as much of a body as it speaks of?"""
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\ncontent-length: *([0-9]+)", head)
    return bool(end) and len(body) >= int(length[1] if length else 0)
