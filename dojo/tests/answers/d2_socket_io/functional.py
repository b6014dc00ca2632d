"""Socket I/O for coroutines: the scheduler sleeps in a selector."""

import errno
import inspect
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from threading import RLock
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from katas.a4_byte_parser import Parser
from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import Waker
from katas.d1_coroutine_scheduler import Scheduler, Task, Trap, sleep, suspend

LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
ACCEPT_REST = 1.0  # seconds before the next accept, after one that failed for want of something
CHUNK = 65_536  # octets to ask a socket for
BATCH = 64  # so many clients are accepted before the others have a turn
_log = logging.getLogger(__name__)

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]


# --- what the scheduler's poller has to know: plain data, and functions around it ---


@dataclass(slots=True, eq=False)
class _Wait:
    """One wait of one task, and what it has in waits_for meanwhile; without a sock, a wait in wait_future."""

    task: Task[Any]
    sock: socket.socket | None = None
    fd: int = -1
    event: int = 0

    @property
    def key(self) -> object:
        return self if self.sock is None else (self.fd, self.event)


@dataclass(slots=True, eq=False)
class _Hub:
    """What belongs to one scheduler. Other threads touch inbox, settled and waker, and nothing else."""

    waits: dict[object, _Wait] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)  # descriptors to look at before the next select
    stale: bool = False  # the selector may watch a file whose descriptor is closed
    poller: Task[None] | None = None
    selector: DefaultSelector | None = None  # this and the waker are there while the poller is
    waker: Waker | None = None
    inbox: deque[Callable[[], object]] = field(default_factory=deque)
    settled: deque[_Wait] = field(default_factory=deque)


_hubs: WeakKeyDictionary[Scheduler, _Hub] = WeakKeyDictionary()
_lock = RLock()  # for _hubs; a signal handler may come in between


def _hub_of(scheduler: Scheduler) -> _Hub:
    with _lock:
        return _hubs.setdefault(scheduler, _Hub())


def _is_live(wait: _Wait) -> bool:
    return wait.task.waits_for is wait  # Scheduler.ready clears it, whoever calls that


def _live_waits(hub: _Hub, fd: int) -> list[_Wait]:
    found = (hub.waits.get((fd, event)) for event in (EVENT_READ, EVENT_WRITE))
    return [wait for wait in found if wait is not None and _is_live(wait)]


def _bad_descriptor() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


def _fileno(sock: socket.socket) -> int:
    if sock.fileno() < 0:
        raise _bad_descriptor()
    return sock.fileno()


def _unwatch(hub: _Hub, fd: int) -> None:
    """Take fd off the selector's list; for live waits it is put on again before the next select."""
    hub.changed.add(fd)
    if hub.selector is not None and (key := hub.selector.get_map().get(fd)) is not None:
        hub.selector.unregister(key.fileobj)
        # Closed by now: if a duplicate keeps the file open, epoll goes on watching it and cannot be told.
        hub.stale = hub.stale or key.fileobj.fileno() != fd


def _open_selector(hub: _Hub) -> None:
    hub.selector = DefaultSelector()
    hub.selector.register(hub.waker, EVENT_READ)
    hub.stale = False
    hub.changed.update(wait.fd for wait in hub.waits.values() if wait.sock is not None)


@contextmanager
def _opened(hub: _Hub) -> Iterator[None]:
    """Give hub a waker and a selector, and close both in the end."""
    with closing(Waker()) as hub.waker:
        try:
            _open_selector(hub)
            yield
        finally:
            hub.waker = None
            if hub.selector is not None:
                hub.selector.close()
            hub.selector = None


def _watch(scheduler: Scheduler, hub: _Hub) -> None:
    """Have the selector watch what live waits are for, and nothing else."""
    for fd in list(hub.changed):
        _unwatch(hub, fd)
    if hub.stale:
        hub.selector.close()
        _open_selector(hub)
    for waits in [_live_waits(hub, fd) for fd in hub.changed]:
        for wait in [wait for wait in waits if wait.sock.fileno() != wait.fd]:  # closed, but not by close()
            scheduler.ready(wait.task, error=_bad_descriptor())
        if live := list(filter(_is_live, waits)):
            try:
                hub.selector.register(live[0].sock, sum(wait.event for wait in live))
            except OSError as error:
                _fail(scheduler, live, error)
    hub.changed.clear()


def _fail(scheduler: Scheduler, waits: list[_Wait], error: OSError) -> None:
    for wait in filter(_is_live, waits):
        scheduler.ready(wait.task, error=OSError(*error.args))


async def _call_next(hub: _Hub) -> None:
    hub.inbox.popleft()()  # only now: what has not had its turn when the run is over is kept


def _take(scheduler: Scheduler, hub: _Hub) -> None:
    """Take what other threads have left: first the wake-up, then that of which it tells."""
    hub.waker.drain()
    while hub.settled:
        if _is_live(wait := hub.settled.popleft()):
            scheduler.ready(wait.task)
    for _ in range(len(hub.inbox)):  # these tasks have their turn before the poller's next
        scheduler.spawn(_call_next(hub))


async def _poll(scheduler: Scheduler, hub: _Hub) -> None:
    """Select once in each lap, and wake those whose socket is ready, as long as somebody waits."""
    try:
        with _opened(hub):
            if hub.inbox or hub.settled:  # they came when there was no waker
                hub.waker.wake()
            while hub.waits:
                _watch(scheduler, hub)
                for key, events in hub.selector.select(scheduler.gap()):
                    if key.fileobj is hub.waker:
                        _take(scheduler, hub)
                        continue
                    for wait in _live_waits(hub, key.fd):
                        if wait.event & events:
                            scheduler.ready(wait.task)
                    _unwatch(hub, key.fd)
                await sleep(0)
    except OSError as error:  # no descriptors left, for one
        _fail(scheduler, list(hub.waits.values()), error)


def _forget(hub: _Hub, wait: _Wait) -> None:
    if hub.waits.get(wait.key) is wait:
        del hub.waits[wait.key]
        if wait.sock is not None:
            _unwatch(hub, wait.fd)


async def _park(
    begin: Callable[[_Hub, Task[Any]], _Wait], then: Callable[[_Hub, _Wait], object] = lambda hub, wait: None
) -> None:
    """Suspend in the wait that begin makes, until somebody wakes the task; forget it however that ends."""
    with ExitStack() as stack:

        def trap(scheduler: Scheduler, task: Task[Any]) -> None:
            hub = _hub_of(scheduler)
            wait = begin(hub, task)
            stack.callback(_forget, hub, wait)
            hub.waits[wait.key] = task.waits_for = wait
            if hub.poller is None or inspect.getcoroutinestate(hub.poller.coroutine) == inspect.CORO_CLOSED:
                hub.poller = scheduler.spawn(_poll(scheduler, hub))
            then(hub, wait)

        await suspend(trap)


async def _wait_socket(event: int, sock: socket.socket) -> None:
    def begin(hub: _Hub, task: Task[Any]) -> _Wait:
        wait = _Wait(task, sock, _fileno(sock), event)
        other = hub.waits.get(wait.key)
        if other is not None and _is_live(other) and other.sock.fileno() == wait.fd:
            raise RuntimeError(f"{other.task} waits already for this event of {sock!r}")
        hub.changed.add(wait.fd)
        return wait

    await _park(begin)
    _fileno(sock)  # closed since it was ready?


async def wait_readable(sock: socket.socket) -> None:
    """Suspend until sock is readable: there are octets, an end, an error or a client to be had.

    The others have their turn even where it is readable already. Raises RuntimeError where another task waits
    to read from it, OSError (EBADF) where it is closed, or where AsyncSocket.close() closes it meanwhile.
    """
    await _wait_socket(EVENT_READ, sock)


async def wait_writable(sock: socket.socket) -> None:
    """Suspend until sock is writable: it takes octets, or has an error to tell. Else like wait_readable."""
    await _wait_socket(EVENT_WRITE, sock)


class AsyncSocket:
    """A socket whose methods let other tasks run while they wait. `sock` is the socket itself."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over sock, and make it non-blocking."""
        self.sock = sock
        sock.setblocking(False)

    async def recv(self, max_bytes: int) -> bytes:
        """Wait until it is readable, return at most max_bytes of what has come; b"" at the end of the stream.

        It waits first, also where something is there: nobody can keep the others from running by sending on.
        """
        while True:
            await wait_readable(self.sock)
            with suppress(BlockingIOError):
                return self.sock.recv(max_bytes)

    async def send_all(self, data: bytes) -> None:
        """Send all of data; wait only while the socket takes no more."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                await wait_writable(self.sock)

    async def accept(self) -> "AsyncSocket":
        """Return the next connection; wait only while there is none. Raises what accept raises."""
        while True:
            try:
                return AsyncSocket(self.sock.accept()[0])
            except BlockingIOError:
                await wait_readable(self.sock)

    async def connect(self, address: tuple[str, int]) -> None:
        """Connect to this IPv4 address. Raises what connecting raises, ConnectionRefusedError for one."""
        with suppress(BlockingIOError):
            return self.sock.connect(address)
        await wait_writable(self.sock)
        if number := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """Close it, once or again; whoever waits for it gets OSError (EBADF)."""
        if (fd := self.sock.fileno()) >= 0:
            with _lock:
                hubs = list(_hubs.items())
            for scheduler, hub in hubs:
                for wait in _live_waits(hub, fd):
                    _unwatch(hub, fd)
                    scheduler.ready(wait.task, error=_bad_descriptor())
        self.sock.close()


# --- the server: a coroutine for each story, and functions to share between them ---


async def _drive(parser: Parser[T], client: AsyncSocket) -> T:
    try:
        next(parser)
        while True:
            parser.send(await client.recv(CHUNK))
    except StopIteration as end:
        return end.value


async def _answer(app: App, request: Request) -> tuple[bytes, bool]:
    """Return the octets of the answer, and whether another may follow."""
    try:
        response = app(request)
        if inspect.isawaitable(response):
            response = await response
        return write_response(response, request.method, request.keep_alive), request.keep_alive
    except Exception:
        _log.exception("%s %s failed", request.method, request.target)
        return write_response(Response(500), request.method, keep_alive=False), False


async def _converse(client: AsyncSocket, app: App) -> None:
    """Answer request after request, until one answer is the last or no more requests come."""
    buffer, more = bytearray(), True
    while more:
        try:
            request = await _drive(read_request(buffer), client)
        except EOFError:
            return
        except BadRequest as bad:
            answer, more = write_response(Response(bad.status), keep_alive=False), False
        else:
            if request is None:
                return
            answer, more = await _answer(app, request)
        await client.send_all(answer)
        if more and buffer:
            await sleep(0)


async def _linger(client: AsyncSocket) -> None:
    client.sock.shutdown(socket.SHUT_WR)
    left = LINGER_OCTETS
    while left > 0 and (dropped := await client.recv(min(CHUNK, left))):
        left -= len(dropped)


async def _serve_client(client: AsyncSocket, app: App, clients: set[AsyncSocket]) -> None:
    try:
        await _converse(client, app)
        await _linger(client)
    except OSError:
        pass  # a reset: nobody is left to be told
    except Exception:
        _log.exception("a connection failed")
    finally:
        clients.discard(client)
        client.close()


@contextmanager
def _clients() -> Iterator[set[AsyncSocket]]:
    """Give a set of sockets; close those that are in it in the end."""
    with ExitStack() as stack:
        clients: set[AsyncSocket] = set()
        stack.callback(lambda: [client.close() for client in list(clients)])
        yield clients


async def serve(listener: socket.socket, app: App) -> None:
    """Serve app to all clients of listener, each in a task of its own, until listener is closed.

    An app may also return an awaitable of its Response. The connections keep the Rules. After an answer,
    a client whose next request is here already lets the others go first. When accept raises, that is
    ConnectionAbortedError: go on with the next; or listener is closed: the end; or something else (no more
    descriptors): log it, sleep for ACCEPT_REST seconds, go on. However it ends, it closes all connections.
    """
    spawn = await suspend(lambda scheduler, task: scheduler.ready(task, scheduler.spawn))
    accepted = count(1)
    with _clients() as clients:
        while listener.fileno() >= 0:
            try:
                client = await AsyncSocket(listener).accept()
            except ConnectionAbortedError:
                await sleep(0)
            except OSError:
                if listener.fileno() >= 0:
                    _log.exception("accept failed; the next in %s seconds", ACCEPT_REST)
                    await sleep(ACCEPT_REST)
            else:
                clients.add(client)
                spawn(_serve_client(client, app, clients))
                if next(accepted) % BATCH == 0:
                    await sleep(0)


def _wake(hub: _Hub) -> None:
    if (waker := hub.waker) is not None:
        waker.wake()


def call_soon_threadsafe(scheduler: Scheduler, callback: Callable[[], object]) -> None:
    """Have the scheduler call callback soon, in its own thread: also if it sleeps now. From any thread.

    Callbacks run in the order in which they came, each as a task that nobody joins: run tells of its failure.
    The scheduler looks for them as long as some task waits for a socket, or in wait_future; others are kept
    for the next that does.
    """
    hub = _hub_of(scheduler)
    hub.inbox.append(callback)
    _wake(hub)


async def wait_future(future: Future[T]) -> T:
    """Return the future's result or raise its exception: when a thread has set it, or at once if it has.

    The others run meanwhile; if there are none, it is no deadlock. Woken by an error, it leaves future alone.
    """

    def settle(hub: _Hub, wait: _Wait, _: Future[T]) -> None:
        if wait in hub.waits:
            hub.settled.append(wait)
            _wake(hub)

    def then(hub: _Hub, wait: _Wait) -> None:
        future.add_done_callback(partial(settle, hub, wait))

    while not future.done():
        await _park(lambda hub, task: _Wait(task), then)
    return future.result()
