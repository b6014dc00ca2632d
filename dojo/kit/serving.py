"""Run a server in a thread, on a free port of this machine, and stop it: the same way for every server."""

from __future__ import annotations

import errno
import functools
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dojo.kit.sockets import GOODBYES, Watched, complain

PATIENCE = 5.0  # seconds: no right answer comes near it


class Listener(socket.socket):
    """A listener on a free port of 127.0.0.1. After stop(), accept finds it closed, on every system."""

    def __init__(self, concurrent: bool = False) -> None:
        super().__init__()
        self.bind(("127.0.0.1", 0))
        self.listen(128)
        self.port: int = self.getsockname()[1]
        self.stopping = False
        self._concurrent = concurrent
        self._accepted: list[weakref.ref[socket.socket]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        sock, address = super().accept()
        if self.stopping:
            # Closing a listener from another thread wakes accept() on some systems
            # and not on others; a last connection wakes it on all of them.
            sock.close()
            self.close()
            raise OSError(errno.EBADF, "the listener was closed")
        if self._concurrent:
            sock = _NotReadHere(sock, client=len(self._accepted) + 1)
        self._accepted.append(weakref.ref(sock))
        return sock, address

    def stop(self) -> None:
        """Make accept() raise OSError, and the listener be closed."""
        self.stopping = True
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), PATIENCE):
            pass

    def left_open(self) -> list[socket.socket]:
        """Return the accepted sockets that are not closed."""
        sockets = [reference() for reference in list(self._accepted)]
        return [sock for sock in sockets if sock is not None and sock.fileno() >= 0]

    def abandon(self) -> None:
        """End every connection, so that no client waits for a server that has failed."""
        for sock in self.left_open():
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class ScriptedListener(socket.socket):
    """A listener whose accept hands out these sockets (or raises these), and then finds itself closed.

    For a `with`, which closes it and all these sockets; one that was handed out and is still open
    is a complaint.
    """

    def __init__(self, *arrivals: socket.socket | OSError) -> None:
        super().__init__()
        self._arrivals = list(arrivals)
        self._accepted: list[socket.socket] = []
        self._late = 0

    def __exit__(self, *failure: object) -> None:
        left = [sock for sock in self._accepted if sock.fileno() >= 0]
        for sock in (*self._accepted, *self._arrivals, self):
            if isinstance(sock, socket.socket):
                sock.close()
        if left and failure[0] is None:
            complain(f"the server has come to its end and left connections open: {len(left)}")

    def accept(self) -> tuple[socket.socket, Any]:
        if self._arrivals:
            arrival = self._arrivals.pop(0)
            if isinstance(arrival, OSError):
                raise arrival
            self._accepted.append(arrival)
            return arrival, ("127.0.0.1", 49152)
        self._late += 1
        if self._late > GOODBYES:
            complain(
                f"accept was called again after {GOODBYES} OSErrors: the listener is closed, that is the end"
            )
        self.close()
        raise OSError(errno.EBADF, "the listener was closed")


class _NotReadHere(Watched):
    """A socket that complains when it is read by the thread that accepted it."""

    def __init__(self, real: socket.socket, client: int) -> None:
        super().__init__(real)
        self.settimeout(None)
        self._client, self._acceptor = client, threading.current_thread()

    def _receive(self, bufsize: int, flags: int) -> bytes:
        if threading.current_thread() is self._acceptor:
            complain(
                f"the loop that accepts is itself reading from client {self._client}: "
                "as long as that one is silent, nobody else gets in"
            )
        return super()._receive(bufsize, flags)


@contextmanager
def no_thread_left(on_death: Callable[[], None] = lambda: None) -> Iterator[set[threading.Thread]]:
    """Wait for every thread begun in the block, and raise here what one of them died of.

    Calls on_death as soon as one dies. Gives the set of threads that are not waited for.
    """
    others = set(threading.enumerate())
    deaths: list[BaseException] = []

    def tell(args: threading.ExceptHookArgs) -> None:
        deaths.append(args.exc_value or args.exc_type())
        on_death()

    hook, threading.excepthook = threading.excepthook, tell
    try:
        yield others
    finally:
        left = _join_all_but(others)
        threading.excepthook = hook
        if deaths:
            raise deaths[0]
    if left:
        complain(f"the server has been told to stop, and {PATIENCE:g} seconds later still runs: {left}")


def _join_all_but(others: set[threading.Thread]) -> list[threading.Thread]:
    """Wait for every other thread, and those that they begin; return those that do not end."""
    left: list[threading.Thread] = []
    while waiting := [each for each in threading.enumerate() if each not in others and each not in left]:
        for thread in waiting:
            with suppress(RuntimeError):  # it is just about to start: the next round finds it
                thread.join(PATIENCE)
                if thread.is_alive():
                    left.append(thread)
            if thread is waiting[0] and len(waiting) > 1:
                gc.collect()  # the threads of a pool end when the last who knew it is gone
    return left


@contextmanager
def running(server: Any, app: Callable[[Any], Any], concurrent: bool = False) -> Iterator[Listener]:
    """Run server in a daemon thread, give its listener (with `.port`), and stop it in the end.

    server is a function, called with the listener and app, that ends when accept raises; or a
    class made with them that has run() and stop(). An exception in any thread of the server is
    raised here; a connection left open and a thread left running are complaints. A `concurrent`
    server must not read from a client, nor join a client's thread, in the thread that accepts.
    """
    listener = Listener(concurrent)
    join = threading.Thread.join
    try:
        with no_thread_left(listener.abandon) as others:
            run: Callable[[], Any] = functools.partial(server, listener, app)
            stop: Callable[[], Any] = listener.stop
            if hasattr(server, "stop"):
                made = server(listener, app)
                run, stop = made.run, made.stop
            thread = threading.Thread(target=_run, args=(run, listener), name="server", daemon=True)
            if concurrent:
                _forbid_join(thread, listener)
            thread.start()
            try:
                yield listener
            finally:
                try:
                    stop()
                except BaseException:
                    others.add(thread)  # nobody has told it to end
                    raise
        if left := len(listener.left_open()):
            complain(f"the server has come to its end and left connections open: {left}")
    finally:
        threading.Thread.join = join  # type: ignore[method-assign]
        listener.abandon()
        for sock in listener.left_open():
            sock.close()
        listener.close()


def _run(run: Callable[[], Any], listener: Listener) -> None:
    try:
        run()
    finally:
        listener.close()  # whoever connects now is refused, and need not wait


def _forbid_join(acceptor: threading.Thread, listener: Listener) -> None:
    """Let Thread.join complain where the accepting thread waits for another one."""
    join = threading.Thread.join

    def watched(thread: threading.Thread, timeout: float | None = None) -> None:
        if threading.current_thread() is acceptor and thread.is_alive() and not listener.stopping:
            complain(
                "the loop that accepts waits (join) for the thread of a client: "
                "as long as that one is silent, nobody else gets in"
            )
        join(thread, timeout)

    threading.Thread.join = watched  # type: ignore[method-assign, assignment]
