"""Socket I/O for coroutines: the scheduler sleeps in a selector."""

import errno
import logging
import os
import socket
import types
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector, SelectorKey
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


async def wait_readable(sock: socket.socket) -> None:
    """Suspend until sock is readable: there are octets, an end, an error or a client to be had.

    The others have their turn even where it is readable already. Raises RuntimeError where another task waits
    to read from it, OSError (EBADF) where it is closed, or where AsyncSocket.close() closes it meanwhile.
    """
    await _wait(sock, EVENT_READ)


async def wait_writable(sock: socket.socket) -> None:
    """Suspend until sock is writable: it takes octets, or has an error to tell. Else like wait_readable."""
    await _wait(sock, EVENT_WRITE)


@types.coroutine
def _wait(sock: socket.socket, event: int) -> Generator[Trap, None, None]:
    poller: _Poller | None = None

    def park(scheduler: Scheduler, task: Task[Any]) -> None:
        nonlocal poller
        here = _poller_of(scheduler)
        if sock.fileno() < 0:
            raise OSError(errno.EBADF, "the socket is closed")
        if sock in here.tasks[event]:
            raise RuntimeError(f"{here.tasks[event][sock]} waits for this socket already")
        here.tasks[event][sock] = task
        here.changed[sock] = None
        here.begin(scheduler)
        task.waits_for, poller = sock, here

    try:
        yield park
    finally:  # whoever has woken it, and with whatever: nobody waits here any more
        if poller is not None:
            del poller.tasks[event][sock]
            poller.changed[sock] = None
            poller.waiting -= 1


class _Poller:
    """Who waits at one scheduler, and the task that sleeps in a selector for all of them."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[socket.socket, Task[Any]]] = {EVENT_READ: {}, EVENT_WRITE: {}}
        self.changed: dict[socket.socket, None] = {}  # where the selector may not know of that yet
        self.waiting = 0  # how many tasks that are, and those who wait for a thread
        self.callbacks: deque[Callable[[], object]] = deque()  # what other threads have handed over
        self.waker: Waker | None = None
        self.task: Task[None] | None = None

    def begin(self, scheduler: Scheduler) -> None:
        """Count one more who waits, and see to it that there is a task that polls."""
        self.waiting += 1
        if self.task is None or self.task.state == "finished":
            self.task = scheduler.spawn(self.poll(scheduler))

    async def poll(self, scheduler: Scheduler) -> None:
        """Once a lap, wake whose socket is ready; as long as everybody waits, sleep until one is."""
        readers, writers = self.tasks[EVENT_READ], self.tasks[EVENT_WRITE]
        known: dict[socket.socket, SelectorKey] = {}
        with DefaultSelector() as selector, closing(Waker()) as self.waker:
            selector.register(self.waker, EVENT_READ)
            while self.waiting:
                # Only now: most of those woken in the last lap wait for the same again, and cost nothing.
                for sock in self.changed:
                    events = EVENT_READ * (sock in readers) + EVENT_WRITE * (sock in writers)
                    if sock in known and (events != known[sock].events or sock.fileno() < 0):
                        selector.unregister(known.pop(sock).fd)  # a closed socket knows its number no more
                    if events and sock not in known and sock.fileno() >= 0:
                        known[sock] = selector.register(sock, events, sock)
                self.changed.clear()
                # What is handed over after this makes select return, even if it has not begun.
                while self.callbacks:
                    scheduler.spawn(_call(self.callbacks.popleft()))
                for key, ready in selector.select(scheduler.gap()):
                    if key.fileobj is self.waker:
                        self.waker.drain()
                    elif ready & EVENT_READ:
                        scheduler.ready(readers[key.data])
                    if ready & EVENT_WRITE:
                        scheduler.ready(writers[key.data])
                await sleep(0)


async def _call(callback: Callable[[], object]) -> None:
    callback()


_pollers: WeakKeyDictionary[Scheduler, _Poller] = WeakKeyDictionary()


def _poller_of(scheduler: Scheduler) -> _Poller:
    return _pollers.get(scheduler) or _pollers.setdefault(scheduler, _Poller())


async def _this_scheduler() -> Scheduler:
    scheduler: Scheduler = await suspend(lambda scheduler, task: scheduler.ready(task, scheduler))
    return scheduler


class AsyncSocket:
    """A socket whose methods let other tasks run while they wait. `sock` is the socket itself."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over sock, and make it non-blocking."""
        sock.setblocking(False)
        self.sock = sock

    async def recv(self, max_bytes: int) -> bytes:
        """Wait until it is readable, return at most max_bytes of what has come; b"" at the end of the stream.

        It waits first, also where something is there: nobody can keep the others from running by sending on.
        """
        while True:
            await wait_readable(self.sock)
            try:
                return self.sock.recv(max_bytes)
            except BlockingIOError:
                pass  # readiness was a hint

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
        try:
            self.sock.connect(address)
        except BlockingIOError:  # "in progress", which is what we want
            await wait_writable(self.sock)
            # A refused socket is writable too: it is ready to tell of its error.
            if error := self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, f"{os.strerror(error)}: {address}") from None

    def close(self) -> None:
        """Close it, once or again; whoever waits for it gets OSError (EBADF)."""
        self.sock.close()
        for reference in _pollers.keyrefs():  # a list: other threads may add theirs meanwhile
            if scheduler := reference():
                poller = _pollers[scheduler]
                for tasks in poller.tasks.values():
                    if self.sock in tasks:
                        scheduler.ready(tasks[self.sock], error=OSError(errno.EBADF, "the socket was closed"))
                        poller.changed[self.sock] = None  # before that of a new socket with its number


async def serve(listener: socket.socket, app: App) -> None:
    """Serve app to all clients of listener, each in a task of its own, until listener is closed.

    An app may also return an awaitable of its Response. The connections keep the Rules. After an answer,
    a client whose next request is here already lets the others go first. When accept raises, that is
    ConnectionAbortedError: go on with the next; or listener is closed: the end; or something else (no more
    descriptors): log it, sleep for ACCEPT_REST seconds, go on. However it ends, it closes all connections.
    """
    scheduler = await _this_scheduler()
    door = AsyncSocket(listener)
    clients: set[AsyncSocket] = set()
    try:
        while True:
            try:
                client = await door.accept()
            except ConnectionAbortedError:
                continue  # this one gave up in the queue; the next may be waiting
            except OSError as error:
                if listener.fileno() < 0:
                    return
                _log.warning("nobody gets in for %s seconds: %r", ACCEPT_REST, error)
                await sleep(ACCEPT_REST)
            else:
                clients.add(client)
                scheduler.spawn(_serve_client(client, app, clients))
    finally:
        for client in clients:  # a task that has not begun yet closes nothing
            client.close()


async def _serve_client(client: AsyncSocket, app: App, clients: set[AsyncSocket]) -> None:
    buffer = bytearray()
    keep_alive = True
    try:
        try:
            while keep_alive and (request := await _next_request(client, buffer)):
                keep_alive = request.keep_alive
                try:
                    response = app(request)
                    if not isinstance(response, Response):
                        response = await response
                    answer = write_response(response, request.method, keep_alive)
                except Exception:
                    _log.exception("the app failed at %s %s", request.method, request.target)
                    keep_alive = False
                    answer = write_response(Response(500), request.method, keep_alive)
                await client.send_all(answer)  # no more is read before that: back-pressure, by itself
                if buffer:
                    await sleep(0)
        except EOFError:
            pass  # there is no answer to half a request
        except BadRequest as fault:
            await client.send_all(write_response(Response(fault.status), keep_alive=False))

        # Closing while input is unread makes TCP send a reset, and a reset takes the answer along.
        client.sock.shutdown(socket.SHUT_WR)
        dropped = 0
        while dropped < LINGER_OCTETS and (data := await client.recv(65_536)):
            dropped += len(data)
    except OSError:
        pass  # the client is gone: there is nobody to tell
    except Exception:
        _log.exception("a connection failed")
    finally:
        clients.discard(client)
        client.close()


async def _next_request(client: AsyncSocket, buffer: bytearray) -> Request | None:
    parser = read_request(buffer)
    try:
        next(parser)
        while True:
            parser.send(await client.recv(65_536))
    except StopIteration as finished:
        request: Request | None = finished.value
        return request


def call_soon_threadsafe(scheduler: Scheduler, callback: Callable[[], object]) -> None:
    """Have the scheduler call callback soon, in its own thread: also if it sleeps now. From any thread.

    Callbacks run in the order in which they came, each as a task that nobody joins: run tells of its failure.
    The scheduler looks for them as long as some task waits for a socket, or in wait_future; others are kept
    for the next that does.
    """
    poller = _poller_of(scheduler)
    poller.callbacks.append(callback)
    if poller.waker is not None:
        poller.waker.wake()


async def wait_future(future: Future[T]) -> T:
    """Return the future's result or raise its exception: when a thread has set it, or at once if it has.

    The others run meanwhile; if there are none, it is no deadlock. Woken by an error, it leaves future alone.
    """
    if not future.done():
        scheduler = await _this_scheduler()
        poller = _poller_of(scheduler)

        def park(_: Scheduler, task: Task[Any]) -> None:
            def wake() -> None:
                if task.waits_for is future:  # else somebody has woken it before
                    scheduler.ready(task)

            task.waits_for = future
            future.add_done_callback(lambda _: call_soon_threadsafe(scheduler, wake))

        poller.begin(scheduler)
        try:
            await suspend(park)
        finally:
            poller.waiting -= 1
    return future.result()
