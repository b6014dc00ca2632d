"""Socket I/O for coroutines: the scheduler sleeps in a selector."""

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import Waker
from katas.d1_coroutine_scheduler import Scheduler, Task, Trap, sleep, suspend

LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
ACCEPT_REST = 1.0  # seconds before the next accept, after one that failed for want of something
_log = logging.getLogger(__name__)

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]


async def wait_readable(sock: socket.socket) -> None:
    """Suspend until sock is readable: there are octets, an end, an error or a client to be had.

    The others have their turn even where it is readable already. Raises RuntimeError where another task waits
    to read from it, OSError (EBADF) where it is closed, or where AsyncSocket.close() closes it meanwhile.
    """
    raise NotImplementedError


async def wait_writable(sock: socket.socket) -> None:
    """Suspend until sock is writable: it takes octets, or has an error to tell. Else like wait_readable."""
    raise NotImplementedError


class AsyncSocket:
    """A socket whose methods let other tasks run while they wait. `sock` is the socket itself."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over sock, and make it non-blocking."""
        raise NotImplementedError

    async def recv(self, max_bytes: int) -> bytes:
        """Wait until it is readable, return at most max_bytes of what has come; b"" at the end of the stream.

        It waits first, also where something is there: nobody can keep the others from running by sending on.
        """
        raise NotImplementedError

    async def send_all(self, data: bytes) -> None:
        """Send all of data; wait only while the socket takes no more."""
        raise NotImplementedError

    async def accept(self) -> "AsyncSocket":
        """Return the next connection; wait only while there is none. Raises what accept raises."""
        raise NotImplementedError

    async def connect(self, address: tuple[str, int]) -> None:
        """Connect to this IPv4 address. Raises what connecting raises, ConnectionRefusedError for one."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it, once or again; whoever waits for it gets OSError (EBADF)."""
        raise NotImplementedError


async def serve(listener: socket.socket, app: App) -> None:
    """Serve app to all clients of listener, each in a task of its own, until listener is closed.

    An app may also return an awaitable of its Response. The connections keep the Rules. After an answer,
    a client whose next request is here already lets the others go first. When accept raises, that is
    ConnectionAbortedError: go on with the next; or listener is closed: the end; or something else (no more
    descriptors): log it, sleep for ACCEPT_REST seconds, go on. However it ends, it closes all connections.
    """
    raise NotImplementedError


def call_soon_threadsafe(scheduler: Scheduler, callback: Callable[[], object]) -> None:
    """Have the scheduler call callback soon, in its own thread: also if it sleeps now. From any thread.

    Callbacks run in the order in which they came, each as a task that nobody joins: run tells of its failure.
    The scheduler looks for them as long as some task waits for a socket, or in wait_future; others are kept
    for the next that does.
    """
    raise NotImplementedError


async def wait_future(future: Future[T]) -> T:
    """Return the future's result or raise its exception: when a thread has set it, or at once if it has.

    The others run meanwhile; if there are none, it is no deadlock. Woken by an error, it leaves future alone.
    """
    raise NotImplementedError
