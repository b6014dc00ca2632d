"""An asynchronous database: sqlite3 waits, and the event loop does not."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
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
        self._path, self._wait = path, wait
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._connection: sqlite3.Connection | None = None  # the thread's
        self._owner: object = (
            None  # the thread's too: whose transaction was the last to begin, and has not ended
        )
        self._closed: Future[None] | None = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _hand_over(self, work: Callable[[], T]) -> Future[T]:
        """Put work behind all that was handed over before; return the Future of its outcome.

        The Future counts as running from the start, so that no one who waits for it can cancel it.
        """
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()

        def run() -> None:
            try:
                result = work()
            except StopIteration as error:  # no coroutine can raise it, nor any Future of asyncio hold it
                failure = RuntimeError("the function raised StopIteration")
                failure.__cause__ = error
                outcome.set_exception(failure)
            except BaseException as error:
                outcome.set_exception(error)
            else:
                outcome.set_result(result)

        self._executor.submit(run)
        return outcome

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what function(connection) returns, or raise what it raises; it runs in the thread.

        It is handed over before call waits, and from then on it runs, in its turn: calls run in the order
        in which they were made. A caller who is cancelled leaves at once, and its outcome is dropped.
        Raises what sqlite3.connect raises, and RuntimeError after aclose.
        """
        return await self._wait(self._hand_over(lambda: function(self._open())))

    async def aclose(self) -> None:
        """Let all calls made so far run, close the connection, end the thread; again: wait for the same.

        It is handed over like a call: all this happens even if whoever waits for it is cancelled.
        """
        if self._closed is None:
            self._closed = self._hand_over(self._close)
            self._executor.shutdown(wait=False)  # takes no more, and does what it has taken
        await self._wait(self._closed)
        self._executor.shutdown()  # the thread has nothing left to do but to end


class Database:
    """Statements for one thread. Outside of a transaction, each is committed when it is done."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._call = thread.call

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement with these values bound; return how many rows it wrote (sqlite3's rowcount)."""

        def run(connection: sqlite3.Connection) -> int:
            with closing(connection.execute(sql, params)) as cursor:
                for _ in (
                    cursor
                ):  # a statement with RETURNING is done, and its rows are counted, behind its last row
                    pass
                return cursor.rowcount

        return await self._call(run)

    async def fetch(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        """Run a statement with these values bound; return its rows, each as a dict by column name."""

        def run(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            with closing(connection.execute(sql, params)) as cursor:
                names = [column[0] for column in cursor.description or ()]
                return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self._call(run)


@asynccontextmanager
async def transaction(thread: DatabaseThread) -> AsyncIterator[Database]:
    """Give a Database between BEGIN and COMMIT; roll back whatever ends it otherwise, and let that out.

    Cancellation too, wherever it strikes: then all or nothing was written, and no transaction stays open.
    Never ends a transaction that it has not begun: where one is open on thread, it raises
    sqlite3.OperationalError and leaves that one alone. A COMMIT that fails is rolled back.
    """
    token = (
        object()
    )  # whether the transaction that is open is this one, the thread alone can tell, in its turn

    def begin(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        thread._owner = token

    def commit(connection: sqlite3.Connection) -> None:
        if thread._owner is not token:  # sqlite has rolled back already, and somebody else has begun
            raise sqlite3.OperationalError("cannot commit - the transaction has ended before")
        connection.execute("COMMIT")
        thread._owner = None

    def roll_back(connection: sqlite3.Connection) -> None:
        if thread._owner is token:
            thread._owner = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    try:
        await thread.call(begin)
        yield Database(thread)
        await thread.call(commit)
    except GeneratorExit:  # who is being closed cannot wait
        with suppress(Exception):
            thread._hand_over(lambda: roll_back(thread._open()))
        raise
    except BaseException:
        with suppress(Exception):  # what ended the block is what counts
            await thread.call(roll_back)
        raise


class Pool:
    """At most size connections to one file, each for one transaction at a time. For asyncio."""

    def __init__(self, path: str | PathLike[str], size: int) -> None:
        """Open nothing yet. Raises ValueError for a size below 1."""
        if size < 1:
            raise ValueError(f"a pool of {size} connections")
        self._make = partial(DatabaseThread, path)
        self._size = size
        self._threads: list[DatabaseThread] = []  # all that were made,
        self._free: list[
            DatabaseThread
        ] = []  # and those of them that nobody has; the last used is the first taken
        self._waiting: deque[asyncio.Future[DatabaseThread]] = (
            deque()
        )  # empty where one is free or may be made
        self._closing = False
        self._all_free = asyncio.Event()
        self._all_free.set()

    def _give_back(self, thread: DatabaseThread) -> None:
        """Pass thread on to who has waited longest; else it is free."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():  # else its task was cancelled
                waiter.set_result(thread)
                return
        self._free.append(thread)
        if len(self._free) == len(self._threads):
            self._all_free.set()

    async def _take(self) -> DatabaseThread:
        if self._closing:
            raise RuntimeError("the pool is closed")
        if not self._free and len(self._threads) == self._size:
            waiter: asyncio.Future[DatabaseThread] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                return await waiter
            except BaseException:
                if (
                    not waiter.cancel() and not waiter.cancelled()
                ):  # it has been given one in this very instant
                    self._give_back(waiter.result())
                raise
        self._all_free.clear()
        if not self._free:
            self._threads.append(self._make())
            return self._threads[-1]
        return self._free.pop()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Give a Database in a transaction on a free connection; who waits first is served first.

        However it ends, the connection is free again. Raises RuntimeError after aclose.
        """
        thread = await self._take()
        try:
            async with transaction(thread) as database:
                yield database
        finally:
            self._give_back(thread)

    async def aclose(self) -> None:
        """Let nobody in any more, wait until all who were in or waiting have left, close all connections.

        Where it was cancelled, call it again: it goes on.
        """
        self._closing = True
        await self._all_free.wait()
        for thread in self._threads:
            await thread.aclose()
