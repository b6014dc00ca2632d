"""Registers at once, in the trap; unregisters at once, in the end of the wait; one object for each wait."""

import errno
import selectors
import socket
import weakref
from inspect import isawaitable

from katas.c1_http_messages import BadRequest, Response, read_request, write_response
from katas.c3_multiplexing import Waker
from katas.d1_coroutine_scheduler import Scheduler, sleep, suspend

LINGER_OCTETS = 4_194_304
ACCEPT_REST = 1.0


class Hub:
    hubs = weakref.WeakKeyDictionary()

    def __init__(self):
        self.inbox = []
        self.waits = []  # every Wait, for a socket or for a thread
        self.selector = self.waker = None
        self.turning = False

    @classmethod
    def of(cls, scheduler):
        return cls.hubs.setdefault(scheduler, cls())

    def join(self, scheduler, wait):
        if self.selector is None:
            self.selector, self.waker = selectors.DefaultSelector(), Waker()
            self.selector.register(self.waker, selectors.EVENT_READ, None)
            scheduler.spawn(self.turn(scheduler))
        self.waits.append(wait)

    def leave(self, wait):
        self.waits.remove(wait)
        self.shut()

    def shut(self):
        if self.selector is not None and not self.waits and not self.turning:
            self.selector.close()
            self.waker.close()
            self.selector = None

    async def turn(self, scheduler):
        if self.turning:
            return
        self.turning = True
        try:
            while self.waits:
                inbox, self.inbox = self.inbox, []
                for callback in inbox:
                    scheduler.spawn(self.call(callback))
                ready = self.selector.select(scheduler.gap())
                self.waker.drain()
                for key, events in ready:
                    for event, wait in (key.data or {}).items():
                        if event & events:
                            scheduler.ready(wait.task)
                await sleep(0)
        finally:
            self.turning = False
            self.shut()

    async def call(self, callback):
        callback()


class Wait:
    def __init__(self, sock, event):
        self.sock, self.event, self.hub = sock, event, None

    def __call__(self, scheduler, task):
        number = self.sock.fileno()
        if number < 0:
            raise OSError(errno.EBADF, "closed")
        hub = Hub.of(scheduler)
        for wait in hub.waits:
            if (wait.sock, wait.event) == (self.sock, self.event):
                raise RuntimeError("taken")
        self.scheduler, self.task, self.number = scheduler, task, number
        hub.join(scheduler, self)
        self.hub = hub
        if number in hub.selector.get_map():
            key = hub.selector.get_key(number)
            hub.selector.modify(number, key.events | self.event, key.data | {self.event: self})
        else:
            hub.selector.register(number, self.event, {self.event: self})

    def forget(self):
        if self.hub is None:
            return
        hub, self.hub = self.hub, None
        key = hub.selector.unregister(self.number)
        if rest := {event: wait for event, wait in key.data.items() if wait is not self}:
            hub.selector.register(self.number, next(iter(rest)), rest)
        hub.leave(self)

    async def over(self):
        try:
            await suspend(self)
        finally:
            self.forget()


async def wait_readable(sock):
    await Wait(sock, selectors.EVENT_READ).over()


async def wait_writable(sock):
    await Wait(sock, selectors.EVENT_WRITE).over()


class AsyncSocket:
    def __init__(self, sock):
        self.sock = sock
        sock.setblocking(False)

    async def recv(self, max_bytes):
        await wait_readable(self.sock)
        return await self._retry(wait_readable, self.sock.recv, max_bytes)

    async def send_all(self, data):
        while data:
            sent = await self._retry(wait_writable, self.sock.send, data)
            data = data[sent:]

    async def accept(self):
        sock, _ = await self._retry(wait_readable, self.sock.accept)
        return AsyncSocket(sock)

    async def connect(self, address):
        error = self.sock.connect_ex(address)
        if error in (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN):
            await wait_writable(self.sock)
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "no connection")

    async def _retry(self, wait, call, *args):
        while True:
            try:
                return call(*args)
            except BlockingIOError:
                await wait(self.sock)

    def close(self):
        for hub in list(Hub.hubs.values()):
            for wait in [wait for wait in hub.waits if wait.sock is self.sock]:
                wait.forget()
                wait.scheduler.ready(wait.task, error=OSError(errno.EBADF, "closed"))
        self.sock.close()


async def serve(listener, app):
    scheduler = await suspend(lambda scheduler, task: scheduler.ready(task, scheduler))
    server, everybody = AsyncSocket(listener), []
    try:
        while True:
            try:
                client = await server.accept()
            except ConnectionAbortedError:
                pass
            except OSError:
                if listener.fileno() == -1:
                    break
                await sleep(ACCEPT_REST)
            else:
                everybody = [one for one in everybody if one.sock.fileno() >= 0]
                everybody.append(client)
                scheduler.spawn(Client(client, app).live())
    finally:
        for client in everybody:
            client.close()


class Client:
    def __init__(self, sock, app):
        self.sock, self.app, self.buffer = sock, app, bytearray()

    async def live(self):
        try:
            while await self.answer():
                await sleep(0)
            self.sock.sock.shutdown(socket.SHUT_WR)
            left = LINGER_OCTETS
            while left > 0 and (chunk := await self.sock.recv(100_000)):
                left -= len(chunk)
        except Exception:
            pass
        finally:
            self.sock.close()

    async def answer(self):
        parser, chunk = read_request(self.buffer), None
        while True:
            try:
                parser.send(chunk)
            except StopIteration as end:
                request = end.value
                break
            except EOFError:
                return False
            except BadRequest as fault:
                await self.sock.send_all(write_response(Response(fault.status), keep_alive=False))
                return False
            chunk = await self.sock.recv(10_000)
        if request is None:
            return False
        try:
            response = self.app(request)
            if isawaitable(response):
                response = await response
            answer, go_on = write_response(response, request.method, request.keep_alive), request.keep_alive
        except Exception:
            answer, go_on = write_response(Response(500), request.method, False), False
        await self.sock.send_all(answer)
        return go_on


def call_soon_threadsafe(scheduler, callback):
    hub = Hub.of(scheduler)
    hub.inbox.append(callback)
    if waker := hub.waker:
        waker.wake()


class Join(Wait):
    def __init__(self, future):
        super().__init__(future, None)

    def __call__(self, scheduler, task):
        self.scheduler, self.task, self.hub = scheduler, task, Hub.of(scheduler)
        self.hub.join(scheduler, self)
        self.sock.add_done_callback(lambda future: call_soon_threadsafe(scheduler, self.wake))

    def wake(self):
        if self.hub is not None:
            self.scheduler.ready(self.task)

    def forget(self):
        if self.hub is not None:
            hub, self.hub = self.hub, None
            hub.leave(self)


async def wait_future(future):
    if not future.done():
        await Join(future).over()
    return future.result()
