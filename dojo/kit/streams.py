"""Clients of what serves asyncio's streams: in the same loop, and on virtual time.

async with served(handler) as client: ...            handler(reader, writer) is on its other end
in_a_thread(server_class)                            one with start() and aclose(grace), as run() and stop()
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, TypeAlias

from dojo.kit.clock import new_event_loop
from dojo.kit.loop_client import Client, rest
from dojo.kit.sockets import complain

SMALL = 4_096  # octets that the system is asked to store for a narrow connection
Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, Any]]


async def pieced(pieces: Iterable[bytes], read: Callable[[asyncio.StreamReader], Awaitable[Any]]) -> Any:
    """Return what read(reader) gives where these pieces come, one after the other, and then nothing."""
    reader = asyncio.StreamReader()
    reading = asyncio.ensure_future(read(reader))
    for piece in pieces:
        reader.feed_data(piece)
        for _ in range(3):
            await asyncio.sleep(0)
    return await reading


@contextmanager
def nobody_naps() -> Iterator[None]:
    """Complain of time.sleep in the loop's thread: it stops everybody."""
    real, loops = time.sleep, threading.current_thread()

    def refuse(seconds: Any) -> None:
        if threading.current_thread() is loops:
            complain(f"time.sleep({seconds}) was called in the loop: nobody is served while it lasts")
        real(seconds)

    time.sleep = refuse
    try:
        yield
    finally:
        time.sleep = real


@asynccontextmanager
async def served(handler: Handler, says: bytes = b"", narrow: bool = False) -> AsyncIterator[Client]:
    """Give a client that has said this; handler(reader, writer) is on the other end of its connection.

    What handler raises is raised here in the end, unless the client was asked for the outcome; if it
    is still at work, it is cancelled. Little is on its way at a time on a `narrow` connection.
    """
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs) if narrow else ():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    client = Client(ours, theirs)
    reader, writer = await asyncio.open_connection(sock=theirs)
    client.say(says)
    client.writer = writer

    def hang_up(task: asyncio.Task[Any]) -> None:
        if theirs.fileno() >= 0 and (task.cancelled() or task.exception()):
            writer.transport.abort()

    client.task = asyncio.create_task(handler(reader, writer))
    client.task.add_done_callback(hang_up)
    try:
        with nobody_naps():
            yield client
    finally:
        over = client.task.done()
        client.task.cancel()
        await asyncio.wait([client.task])
        if theirs.fileno() >= 0:
            writer.transport.abort()
        client.close()
        await asyncio.sleep(0)
        if over and not client.asked and not client.task.cancelled():
            client.task.result()


def converse(handler: Handler, pieces: Iterable[bytes]) -> bytes:
    """Return all that handler sends to a client that sends pieces, ends its side, and waits for the end."""

    async def scene() -> bytes:
        async with served(handler) as client:
            for piece in pieces:
                client.say(piece)
                await rest()
            client.half_close()
            return await client.hear()

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(scene())


async def turn(count: int) -> None:
    """Let the loop turn so many times, and once more where asyncio is in the midst of letting a client in.

    A server that is closed between accept() and the making of a transport loses the socket (up to 3.13 at
    least): that is asyncio's own fault.
    """
    for _ in range(count):
        await asyncio.sleep(0)
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    new = [each.__name__ for each in coroutines if getcoroutinestate(each) == CORO_CREATED]
    if "_accept_connection2" in new:
        await asyncio.sleep(0)


def in_a_thread(server_class: Any, grace: float = 0) -> Any:
    """Make of a class with start() and aclose(grace) one with run(), in a loop of its own, and stop()."""

    class InAThread:
        def __init__(self, listener: socket.socket, app: Callable[[Any], Any]) -> None:
            self._made = listener, app
            self._stopped = threading.Event()
            self._wake: Callable[[], object] = lambda: None

        def run(self) -> None:
            asyncio.run(self._serve())

        def stop(self) -> None:
            self._stopped.set()
            self._wake()

        async def _serve(self) -> None:
            server = server_class(*self._made)
            enough, loop = asyncio.Event(), asyncio.get_running_loop()
            await server.start()
            self._wake = lambda: loop.call_soon_threadsafe(enough.set)
            if not self._stopped.is_set():
                await enough.wait()
            await server.aclose(grace)

    return InAThread
