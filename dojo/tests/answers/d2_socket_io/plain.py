"""Socket I/O for coroutines: the scheduler sleeps in a selector."""

import errno
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from inspect import isawaitable
from selectors import EVENT_READ, EVENT_WRITE, BaseSelector, DefaultSelector
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from katas.c1_http_messages import BadRequest, Request, Response, read_request, write_response
from katas.c3_multiplexing import Waker
from katas.d1_coroutine_scheduler import Scheduler, Task, Trap, sleep, suspend

LINGER_OCTETS = 4_194_304  # how much is read and dropped before a close, at most
ACCEPT_REST = 1.0  # seconds before the next accept, after one that failed for want of something
_log = logging.getLogger(__name__)

T = TypeVar("T")
App: TypeAlias = Callable[[Request], Response | Awaitable[Response]]


class _Wait:
    """One wait of one task: for an event of a socket, or for a future. It stands in the task's waits_for."""

    def __init__(self, scheduler: Scheduler, task: Task[Any], sock: socket.socket | None = None) -> None:
        self.scheduler = scheduler
        self.task = task
        self.sock = sock

    def __repr__(self) -> str:
        return f"<wait for {self.sock or 'a future'}>"

    def is_on(self) -> bool:
        """Is the task still parked here? Whoever wakes it, Scheduler.ready clears waits_for."""
        return self.task.waits_for is self


class _Io:
    """What belongs to one scheduler. The selector and its waker are there while the poller is."""

    def __init__(self) -> None:
        self.waits: dict[tuple[int, int], _Wait] = {}  # (descriptor, event): who waits for it
        self.futures = 0  # how many tasks are in wait_future
        self.callbacks: deque[Callable[[], object]] = deque()
        self.selector: BaseSelector | None = None
        self.waker: Waker | None = None
        self.poller: object = None  # a mark that the poller of this selector has as well
        self.poller_began = False

    def open(self, scheduler: Scheduler) -> None:
        """Open a selector and spawn a poller, where there are none."""
        if self.selector is not None:
            return
        waker = Waker()
        try:
            selector = DefaultSelector()
            try:
                selector.register(waker, EVENT_READ)
            except BaseException:
                selector.close()
                raise
        except BaseException:
            waker.close()
            raise
        self.selector = selector
        self.waker = waker
        self.poller = object()
        self.poller_began = False
        scheduler.spawn(_poll(scheduler, self, self.poller))
        if self.callbacks:  # from before there was a waker
            waker.wake()

    def close(self) -> None:
        selector, waker = self.selector, self.waker
        self.selector = self.waker = self.poller = None
        if selector is not None:
            selector.close()
        if waker is not None:
            waker.close()

    def close_if_idle(self) -> None:
        """Close for a poller that may never begin; one that has begun closes when it has its turn, or ends."""
        if not self.waits and not self.futures and not self.poller_began:
            self.close()

    def watch(self, fd: int) -> None:
        """Have the selector watch fd for what the waits say, and for nothing else."""
        if self.selector is None:
            return
        events = 0
        if (fd, EVENT_READ) in self.waits:
            events |= EVENT_READ
        if (fd, EVENT_WRITE) in self.waits:
            events |= EVENT_WRITE
        if fd in self.selector.get_map():
            self.selector.unregister(fd)
        if events:
            self.selector.register(fd, events)

    def drop(self, fd: int, event: int) -> None:
        """Forget a wait that somebody else has ended. The number may be another socket's by now."""
        del self.waits[fd, event]
        if self.selector is None:
            return
        try:
            self.selector.modify(fd, (EVENT_READ | EVENT_WRITE) ^ event)
        except (OSError, KeyError):
            # The socket was closed. Where a duplicate of it is open, epoll still watches it, under a number
            # that cannot be unregistered any more. Only a new selector is rid of it.
            self.renew()
        else:
            self.watch(fd)

    def renew(self) -> None:
        assert self.selector is not None and self.waker is not None
        self.selector.close()
        self.selector = DefaultSelector()
        self.selector.register(self.waker, EVENT_READ)
        for fd, _ in self.waits:
            try:
                self.watch(fd)
            except OSError:
                pass  # closed under its waiter, by sock.close()


_all_io: WeakKeyDictionary[Scheduler, _Io] = WeakKeyDictionary()
_all_io_lock = threading.RLock()


def _io_of(scheduler: Scheduler) -> _Io:
    with _all_io_lock:
        io = _all_io.get(scheduler)
        if io is None:
            io = _all_io[scheduler] = _Io()
        return io


def _closed() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


async def _poll(scheduler: Scheduler, io: _Io, mark: object) -> None:
    """Be the one who sleeps: one select a lap, as long as somebody waits."""
    if io.poller is not mark:
        return  # its selector is closed already
    io.poller_began = True
    try:
        while io.waits or io.futures:
            assert io.selector is not None and io.waker is not None
            for key, ready in io.selector.select(scheduler.gap()):
                if key.fileobj is io.waker:
                    io.waker.drain()
                    continue
                for event in (EVENT_READ, EVENT_WRITE):
                    wait = io.waits.get((key.fd, event))
                    if ready & event and wait is not None and wait.is_on():
                        del io.waits[key.fd, event]
                        io.watch(key.fd)
                        scheduler.ready(wait.task)
            for _ in range(len(io.callbacks)):
                scheduler.spawn(_call_next(io))
            await sleep(0)  # behind those callbacks: none of them is left at the next turn
    finally:
        if io.poller is mark:
            io.close()


async def _call_next(io: _Io) -> None:
    """Call the first callback. It is taken only here: what has no turn before the end of a run is kept."""
    io.callbacks.popleft()()


async def _wait(sock: socket.socket, event: int) -> None:
    place: tuple[int, int] = (-1, event)
    io: _Io | None = None
    wait: _Wait | None = None

    def trap(scheduler: Scheduler, task: Task[Any]) -> None:
        nonlocal io, wait, place
        fd = sock.fileno()
        if fd < 0:
            raise _closed()
        io = _io_of(scheduler)
        for other in (EVENT_READ, EVENT_WRITE):  # who has left, or waits for a closed one of this number
            there = io.waits.get((fd, other))
            if there is not None and not there.is_on():
                io.drop(fd, other)
            elif there is not None and there.sock is not sock and there.sock.fileno() != fd:
                io.drop(fd, other)
                scheduler.ready(there.task, error=_closed())
        if (fd, event) in io.waits:
            raise RuntimeError(f"another task waits for the same event of {sock!r}")
        place = (fd, event)
        wait = _Wait(scheduler, task, sock)
        io.open(scheduler)
        io.waits[place] = wait
        try:
            io.watch(fd)
        except BaseException:
            del io.waits[place]
            raise
        task.waits_for = wait

    try:
        await suspend(trap)
    finally:
        if io is not None:
            if wait is not None and io.waits.get(place) is wait:
                io.drop(*place)
            io.close_if_idle()


async def wait_readable(sock: socket.socket) -> None:
    """Suspend until sock is readable: there are octets, an end, an error or a client to be had.

    The others have their turn even where it is readable already. Raises RuntimeError where another task waits
    to read from it, OSError (EBADF) where it is closed, or where AsyncSocket.close() closes it meanwhile.
    """
    await _wait(sock, EVENT_READ)


async def wait_writable(sock: socket.socket) -> None:
    """Suspend until sock is writable: it takes octets, or has an error to tell. Else like wait_readable."""
    await _wait(sock, EVENT_WRITE)


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
            try:
                return self.sock.recv(max_bytes)
            except BlockingIOError:
                pass

    async def send_all(self, data: bytes) -> None:
        """Send all of data; wait only while the socket takes no more."""
        sent = 0
        view = memoryview(data)
        while sent < len(view):
            try:
                sent += self.sock.send(view[sent:])
            except BlockingIOError:
                await wait_writable(self.sock)

    async def accept(self) -> "AsyncSocket":
        """Return the next connection; wait only while there is none. Raises what accept raises."""
        while True:
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                await wait_readable(self.sock)
            else:
                return AsyncSocket(sock)

    async def connect(self, address: tuple[str, int]) -> None:
        """Connect to this IPv4 address. Raises what connecting raises, ConnectionRefusedError for one."""
        try:
            self.sock.connect(address)
        except BlockingIOError:
            await wait_writable(self.sock)
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise OSError(number, os.strerror(number)) from None

    def close(self) -> None:
        """Close it, once or again; whoever waits for it gets OSError (EBADF)."""
        fd = self.sock.fileno()
        with _all_io_lock:
            all_io = list(_all_io.values())
        for io in all_io:
            if fd >= 0:
                found = [(fd, EVENT_READ), (fd, EVENT_WRITE)]
            else:  # sock.close() was there before: look through all
                found = [place for place, wait in list(io.waits.items()) if wait.sock is self.sock]
            for place in found:
                wait = io.waits.get(place)
                if wait is not None and (wait.is_on() or wait.sock is self.sock):
                    was_on = wait.is_on()
                    io.drop(*place)
                    if was_on:
                        wait.scheduler.ready(wait.task, error=_closed())
        self.sock.close()


async def _serve_client(client: AsyncSocket, app: App, clients: set[AsyncSocket]) -> None:
    """Serve one client from the first request to the close."""
    try:
        await _answer_all(client, app)
        client.sock.shutdown(socket.SHUT_WR)
        dropped = 0
        while dropped < LINGER_OCTETS:
            chunk = await client.recv(min(65_536, LINGER_OCTETS - dropped))
            if not chunk:
                break
            dropped += len(chunk)
    except OSError as error:
        _log.debug("a connection broke: %r", error)
    except Exception:
        _log.exception("a connection failed")
    finally:
        client.close()
        clients.discard(client)


async def _answer_all(client: AsyncSocket, app: App) -> None:
    """Answer the requests of a client, up to the last answer or the end of the stream."""
    buffer = bytearray()
    keep_alive = True
    while keep_alive:
        parser = read_request(buffer)
        chunk = None
        request = None
        while True:
            try:
                parser.send(chunk)  # None begins it
            except StopIteration as stop:
                request = stop.value
                break
            except EOFError:
                return
            except BadRequest as error:
                await client.send_all(write_response(Response(error.status), keep_alive=False))
                return
            chunk = await client.recv(65_536)
        if request is None:
            return
        try:
            response = app(request)
            if isawaitable(response):
                response = await response
            keep_alive = request.keep_alive
            answer = write_response(response, request.method, keep_alive)
        except Exception:
            _log.exception("app failed at %s %s", request.method, request.target)
            keep_alive = False
            answer = write_response(Response(500), request.method, keep_alive)
        await client.send_all(answer)
        if buffer:
            await sleep(0)  # the next request may be here: then recv does not wait


async def serve(listener: socket.socket, app: App) -> None:
    """Serve app to all clients of listener, each in a task of its own, until listener is closed.

    An app may also return an awaitable of its Response. The connections keep the Rules. After an answer,
    a client whose next request is here already lets the others go first. When accept raises, that is
    ConnectionAbortedError: go on with the next; or listener is closed: the end; or something else (no more
    descriptors): log it, sleep for ACCEPT_REST seconds, go on. However it ends, it closes all connections.
    """
    if listener.fileno() < 0:
        return
    server = AsyncSocket(listener)
    clients: set[AsyncSocket] = set()
    try:
        scheduler = await suspend(lambda scheduler, task: scheduler.ready(task, scheduler))
        while True:
            try:
                client = await server.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if listener.fileno() < 0 or error.errno == errno.EBADF:
                    return
                _log.warning("accept failed, the next one comes in %s s: %r", ACCEPT_REST, error)
                await sleep(ACCEPT_REST)
                continue
            clients.add(client)
            scheduler.spawn(_serve_client(client, app, clients))
            await sleep(0)  # accept may never have waited: the others have their turn
    finally:
        for client in clients:
            client.close()


def call_soon_threadsafe(scheduler: Scheduler, callback: Callable[[], object]) -> None:
    """Have the scheduler call callback soon, in its own thread: also if it sleeps now. From any thread.

    Callbacks run in the order in which they came, each as a task that nobody joins: run tells of its failure.
    The scheduler looks for them as long as some task waits for a socket, or in wait_future; others are kept
    for the next that does.
    """
    io = _io_of(scheduler)
    io.callbacks.append(callback)
    waker = io.waker
    if waker is not None:  # otherwise whoever opens one looks for callbacks after that
        waker.wake()


async def _wait_for_future(future: Future[T]) -> None:
    io: _Io | None = None
    wait: _Wait | None = None

    def trap(scheduler: Scheduler, task: Task[Any]) -> None:
        nonlocal io, wait
        io = _io_of(scheduler)
        io.open(scheduler)
        io.futures += 1
        wait = _Wait(scheduler, task)
        task.waits_for = wait
        future.add_done_callback(called_back)

    def called_back(_: object) -> None:
        """In the thread that sets the future."""
        there = wait
        if there is not None:
            call_soon_threadsafe(there.scheduler, lambda: wake(there))

    def wake(there: _Wait) -> None:
        if there.is_on():
            there.scheduler.ready(there.task)

    try:
        await suspend(trap)
    finally:
        if io is not None and wait is not None:
            wait = None  # the future keeps called_back, but no scheduler or task with it
            io.futures -= 1
            io.close_if_idle()


async def wait_future(future: Future[T]) -> T:
    """Return the future's result or raise its exception: when a thread has set it, or at once if it has.

    The others run meanwhile; if there are none, it is no deadlock. Woken by an error, it leaves future alone.
    """
    while not future.done():
        await _wait_for_future(future)
    return future.result()
