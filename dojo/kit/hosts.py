"""Servers that have start() and aclose(grace), in the test's own loop and on virtual time.

async with hosted(server_class, app) as host: ...    host.client(says) connects, host.aclose(grace) closes it
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from dojo.kit.loop_client import Client, lasts, rest
from dojo.kit.serving import Listener
from dojo.kit.sockets import complain
from dojo.kit.streams import nobody_naps


class Host:
    """A server that was started, and whoever connects to it."""

    def __init__(self, server: Any, listener: Listener) -> None:
        self.server, self.listener = server, listener
        self._clients: list[Client] = []

    def client(self, says: bytes = b"") -> Client:
        """Return a new client of the server that has said this."""
        try:
            ours = socket.create_connection(("127.0.0.1", self.listener.port), 5)
        except OSError as error:
            raise AssertionError(
                f"nobody listens: the server has not begun, or has ended ({error!r})"
            ) from error
        client = Client(ours, self.listener)
        self._clients.append(client)
        client.say(says)
        return client

    async def aclose(self, grace: float) -> float:
        """Close the server, and complain of what it leaves; return how many virtual seconds that took."""
        seconds = await lasts(self.server.aclose(grace))
        self.check()
        return seconds

    def check(self, when: str = "") -> None:
        """Complain of what is open when the server was closed."""
        __tracebackhide__ = True
        over = f"aclose is over ({when})" if when else "aclose is over"
        if self.listener.fileno() >= 0:
            complain(f"{over}, and the listener is still open: it goes on letting clients in")
        if left := len(self.listener.left_open()):
            complain(f"{over}, and connections are still open: {left}")

    def leave(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()


@asynccontextmanager
async def hosted(server_class: Any, app: Callable[[Any], Any], **options: Any) -> AsyncIterator[Host]:
    """Start a server, and close it in the end, if that was not done; complain of what it leaves open."""
    loop = asyncio.get_running_loop()
    tell = loop.get_exception_handler()

    def tell_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Python 3.11 and 3.12 complain of themselves where a task that start_server made is cancelled.
        if tell is not None and not isinstance(context.get("exception"), asyncio.CancelledError):
            tell(loop, context)

    loop.set_exception_handler(tell_errors)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(Listener())
        stack.callback(listener.abandon)
        stack.enter_context(nobody_naps())
        host = Host(server_class(listener, app, **options), listener)
        stack.callback(host.leave)
        await host.server.start()
        yield host
        host.leave()
        await rest()
        await host.aclose(0)


def collect_garbage() -> None:
    """Collect garbage, and listen to nothing that it says in dying: the test tells what that means."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook
