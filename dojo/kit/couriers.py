"""Couriers: sockets with names, so that a failure can say who is meant; addresses to connect to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from dojo.kit.sockets import Watched, pair


class Courier(Watched):
    """One end of a pair of connected sockets; `away` is the other end, and is closed with it."""

    def __init__(self, name: str) -> None:
        here, self.away = pair()
        self.name = name
        super().__init__(here)

    def __repr__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        self.close()  # also where another socket took this one over; socket's own would do nothing then

    def close(self) -> None:
        self.away.close()
        super().close()


@contextmanager
def a_listener() -> Iterator[tuple[str, int]]:
    """Give the address of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


@contextmanager
def nobody() -> Iterator[tuple[str, int]]:
    """Give an address where nobody listens, and nobody else can begin to: it is bound, and no more."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()
