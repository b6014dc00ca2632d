"""What must not block: a socket that is full now and then, and a wait that is an error."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dojo.kit.sockets import Shy, complain

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Mouthfuls(Shy):
    """A socket of which one send after the other takes these many octets; 0 is BlockingIOError.

    When the mouthfuls are used up, a send takes all that it is offered.
    """

    def __init__(self, real: socket.socket, mouthfuls: Iterable[int]) -> None:
        super().__init__(real)
        self._mouthfuls = list(mouthfuls)

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        self.at_most = self._mouthfuls.pop(0) if self._mouthfuls else None
        self.refusals = 1 if self.at_most == 0 else 0
        return super().send(data, flags)


@contextmanager
def waiting_is_an_error(cause: str, seconds: float = 0.2) -> Iterator[None]:
    """Make every socket that is created in here, and left blocking, fail instead of waiting for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    except TimeoutError:
        complain(cause)
    finally:
        socket.setdefaulttimeout(before)


def wakes_to_fill(descriptor: int) -> int:
    """Return how many octets, sent one by one, are more than anybody stores behind this descriptor."""
    if sys.platform != "win32" and stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return 20_000
    return 100_000  # a pipe stores 65,536, a TCP connection about twice as many
