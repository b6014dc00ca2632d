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
        self.path = path
        self.wait = wait
        self.executor = ThreadPoolExecutor(max_workers=1)  # its thread is started by the first call
        self.connection: sqlite3.Connection | None = None
        self.closed: Future[None] | None = None  # there from aclose on
        self.owner: object = None  # whose transaction is open; for transaction(), and only in the thread

    def hand_over(self, function: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Have the thread run function in its turn; nobody can cancel the Future that tells how it ended."""
        if self.closed is not None:
            raise RuntimeError("the DatabaseThread is closed")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # one that runs cannot be cancelled
        self.executor.submit(self.work, function, future)
        return future

    def work(self, function: Callable[[sqlite3.Connection], T], future: Future[T]) -> None:
        """Run in the thread."""
        try:
            if self.connection is None:
                self.connection = sqlite3.connect(self.path, isolation_level=None)
            result = function(self.connection)
        except StopIteration as error:  # no Future of asyncio can carry it, and no coroutine can raise it
            wrapped = RuntimeError("the function raised StopIteration")
            wrapped.__cause__ = error
            future.set_exception(wrapped)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what function(connection) returns, or raise what it raises; it runs in the thread.

        It is handed over before call waits, and from then on it runs, in its turn: calls run in the order
        in which they were made. A caller who is cancelled leaves at once, and its outcome is dropped.
        Raises what sqlite3.connect raises, and RuntimeError after aclose.
        """
        result: T = await self.wait(self.hand_over(function))
        return result

    async def aclose(self) -> None:
        """Let all calls made so far run, close the connection, end the thread; again: wait for the same.

        It is handed over like a call: all this happens even if whoever waits for it is cancelled.
        """
        if self.closed is None:
            self.closed = Future()
            self.closed.set_running_or_notify_cancel()
            self.executor.submit(self.close_connection, self.closed)
            self.executor.shutdown(wait=False)  # the thread ends when all that was handed over has run
        await self.wait(self.closed)
        self.executor.shutdown(wait=True)  # it has nothing more to do, so this takes no time

    def close_connection(self, future: Future[None]) -> None:
        """Run in the thread, last of all."""
        try:
            if self.connection is not None:
                self.connection.close()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)


class Database:
    """Statements for one thread. Outside of a transaction, each is committed when it is done."""

    def __init__(self, thread: DatabaseThread) -> None:
        self.thread = thread

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement with these values bound; return how many rows it wrote (sqlite3's rowcount)."""

        def run(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(sql, params)
            try:
                for _ in cursor:  # with RETURNING, rowcount is known only after the last row
                    pass
                return cursor.rowcount
            finally:
                cursor.close()

        return await self.thread.call(run)

    async def fetch(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        """Run a statement with these values bound; return its rows, each as a dict by column name."""

        def run(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            cursor = connection.execute(sql, params)
            try:
                if cursor.description is None:  # no statement that has rows
                    return []
                names = [column[0] for column in cursor.description]
                rows = []
                for row in cursor:
                    rows.append(dict(zip(names, row, strict=True)))
                return rows
            finally:
                cursor.close()

        return await self.thread.call(run)


@asynccontextmanager
async def transaction(thread: DatabaseThread) -> AsyncIterator[Database]:
    """Give a Database between BEGIN and COMMIT; roll back whatever ends it otherwise, and let that out.

    Cancellation too, wherever it strikes: then all or nothing was written, and no transaction stays open.
    Never ends a transaction that it has not begun: where one is open on thread, it raises
    sqlite3.OperationalError and leaves that one alone. A COMMIT that fails is rolled back.
    """
    me = object()

    def begin(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        thread.owner = me

    def commit(connection: sqlite3.Connection) -> None:
        if thread.owner is not me:  # sqlite has rolled ours back, and somebody else has begun one
            raise sqlite3.OperationalError("cannot commit - no transaction is active")
        connection.execute("COMMIT")
        thread.owner = None

    def roll_back(connection: sqlite3.Connection) -> None:
        if thread.owner is me:  # else there is none of ours: not begun, or ended already
            thread.owner = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    try:
        await thread.call(begin)
        yield Database(thread)  # the block of the `async with` runs while this stands still
        await thread.call(commit)
    except GeneratorExit:  # nobody can wait any more
        if thread.closed is None:
            thread.hand_over(roll_back)
        raise
    except BaseException:
        try:
            await thread.call(roll_back)
        except Exception:
            pass  # what ended the block is what matters; a thread that is closed has nothing open
        raise


class Pool:
    """At most size connections to one file, each for one transaction at a time. For asyncio."""

    def __init__(self, path: str | PathLike[str], size: int) -> None:
        """Open nothing yet. Raises ValueError for a size below 1."""
        if size < 1:
            raise ValueError(f"a pool of {size} connections")
        self.path = path
        self.size = size
        self.threads: list[DatabaseThread] = []  # all of them
        self.free: list[DatabaseThread] = []  # those in no transaction; none is here while anybody waits
        self.waiting: list[asyncio.Future[DatabaseThread]] = []
        self.inside = 0  # how many are in a transaction or wait for one
        self.nobody_inside = asyncio.Event()
        self.nobody_inside.set()
        self.closing = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Give a Database in a transaction on a free connection; who waits first is served first.

        However it ends, the connection is free again. Raises RuntimeError after aclose.
        """
        if self.closing:
            raise RuntimeError("the pool is closed")
        self.inside += 1
        self.nobody_inside.clear()
        try:
            thread = await self.take()
            try:
                async with transaction(thread) as database:
                    yield database
            finally:
                self.give_back(thread)
        finally:
            self.inside -= 1
            if self.inside == 0:
                self.nobody_inside.set()

    async def take(self) -> DatabaseThread:
        if self.free:
            return self.free.pop()
        if len(self.threads) < self.size:
            thread = DatabaseThread(self.path)
            self.threads.append(thread)
            return thread
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            return await future
        except BaseException:
            if future in self.waiting:
                self.waiting.remove(future)
            elif not future.cancelled():  # cancelled when it was our turn already
                self.give_back(future.result())
            raise

    def give_back(self, thread: DatabaseThread) -> None:
        while self.waiting:
            future = self.waiting.pop(0)
            if not future.done():
                future.set_result(thread)
                return
        self.free.append(thread)

    async def aclose(self) -> None:
        """Let nobody in any more, wait until all who were in or waiting have left, close all connections.

        Where it was cancelled, call it again: it goes on.
        """
        self.closing = True
        await self.nobody_inside.wait()
        for thread in self.threads:
            await thread.aclose()
