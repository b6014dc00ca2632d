"""An asynchronous database: sqlite3 waits, and the event loop does not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from os import PathLike
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
Wait: TypeAlias = Callable[[Future[Any]], Awaitable[Any]]  # makes something to await of a thread's Future
Params: TypeAlias = Sequence[Any] | Mapping[str, Any]  # for the ? or the :names of a statement


class DatabaseThread:
    """One sqlite3 connection, which is opened, used and closed in one thread of its own.

    Knows of no event loop: where it has to wait for the thread, it awaits wait(future).
    """

    def __init__(self, path: str | PathLike[str], wait: Wait = asyncio.wrap_future) -> None:
        """Open nothing yet: the first call does, with isolation_level=None and sqlite3's other defaults."""
        raise NotImplementedError

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what function(connection) returns, or raise what it raises; it runs in the thread.

        It is handed over before call waits, and from then on it runs, in its turn: calls run in the order
        in which they were made. A caller who is cancelled leaves at once, and its outcome is dropped.
        Raises what sqlite3.connect raises, and RuntimeError after aclose.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Let all calls made so far run, and close the connection; again: wait for the same.

        It is handed over like a call: all this happens even if whoever waits for it is cancelled. The
        thread ends right after that, and is not waited for.
        """
        raise NotImplementedError


class Database:
    """Statements for one thread. Outside of a transaction, each is committed when it is done."""

    def __init__(self, thread: DatabaseThread) -> None:
        raise NotImplementedError

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement with these values bound; return how many rows it wrote (rowcount at its end)."""
        raise NotImplementedError

    async def fetch(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        """Run a statement with these values bound; return its rows, each as a dict by column name."""
        raise NotImplementedError


@asynccontextmanager
async def transaction(thread: DatabaseThread) -> AsyncIterator[Database]:
    """Give a Database between BEGIN and COMMIT; roll back whatever ends it otherwise, and let that out.

    Cancellation too, wherever it strikes: then all or nothing was written, and no transaction stays open.
    Where the block is closed (GeneratorExit), the roll-back is handed over, and not waited for.
    Never ends a transaction that it has not begun: where one is open on thread, it raises
    sqlite3.OperationalError and leaves that one alone. A COMMIT that fails is rolled back.
    """
    raise NotImplementedError
    yield Database(thread)  # the block of the `async with` runs while this stands still


class Pool:
    """At most size connections to one file, each for one transaction at a time. For asyncio."""

    def __init__(self, path: str | PathLike[str], size: int) -> None:
        """Open nothing yet. Raises ValueError for a size below 1."""
        raise NotImplementedError

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Give a Database in a transaction on a free connection; who waits first is served first.

        However it ends, the connection is free again. Raises RuntimeError after aclose.
        """
        raise NotImplementedError
        yield Database(...)

    async def aclose(self) -> None:
        """Let nobody in any more, wait until all who were in or waiting have left, close all connections.

        Where it was cancelled, call it again: it goes on.
        """
        raise NotImplementedError
