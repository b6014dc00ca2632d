"""To know that what was sent over the loopback has arrived, without waiting by the clock."""

from __future__ import annotations

import socket
from types import TracebackType


class Fence:
    """A loopback connection to oneself.

    The loopback delivers in order: when an octet sent now has come through, so has
    everything that was sent before it. Three are sent, one after the other, for the
    three messages that make a connection. It takes microseconds.
    """

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._out = socket.create_connection(listener.getsockname(), timeout=5)
            self._in, _ = listener.accept()
        self._in.settimeout(5)
        self._out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def wait(self) -> None:
        for _ in range(3):
            self._out.send(b".")
            self._in.recv(1)

    def close(self) -> None:
        self._out.close()
        self._in.close()

    def __enter__(self) -> Fence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
