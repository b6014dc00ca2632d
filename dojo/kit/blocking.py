"""What must not block: sockets full now and then, a wait that is an error, threads that take long."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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


@contextmanager
def threads_take_long(patience: float = 5.0) -> Iterator[None]:
    """Let what a ThreadPoolExecutor is given in here begin when the block is over.

    Whoever blocks until it is done, by its future's result(), is a complaint in the end.
    """
    gate, blocked = threading.Event(), False
    submit, result = ThreadPoolExecutor.submit, Future.result

    def held(pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        def work() -> Any:
            gate.wait(patience)
            return function(*args, **kwargs)

        return submit(pool, work)

    def watched(future: Future[Any], timeout: float | None = None) -> Any:
        nonlocal blocked
        if not (gate.is_set() or future.done()):
            blocked = True
            gate.set()  # else nothing would go on
        return result(future, timeout)

    ThreadPoolExecutor.submit, Future.result = held, watched  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ThreadPoolExecutor.submit, Future.result = submit, result  # type: ignore[method-assign]
        gate.set()
    if blocked:
        complain(
            "a thread was at work, and the thread of the event loop blocked until it was done (result()): "
            "nobody else is served meanwhile"
        )


def wakes_to_fill(descriptor: int) -> int:
    """Return how many octets, sent one by one, are more than anybody stores behind this descriptor."""
    if sys.platform != "win32" and stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return 20_000
    return 100_000  # a pipe stores 65,536, a TCP connection about twice as many
