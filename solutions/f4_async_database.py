"""An asynchronous database: sqlite3 waits, and the event loop does not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
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
        # A single worker takes what is submitted in order, one after the other.
        self._executor = ThreadPoolExecutor(max_workers=1)
        self._connection: sqlite3.Connection | None = None  # the worker's own: nobody else touches it
        self._owner: object = None  # the worker's too: which transaction was the last to begin here
        self._closed: Future[None] | None = None

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Return what function(connection) returns, or raise what it raises; it runs in the thread.

        It is handed over before call waits, and from then on it runs, in its turn: calls run in the order
        in which they were made. A caller who is cancelled leaves at once, and its outcome is dropped.
        Raises what sqlite3.connect raises, and RuntimeError after aclose.
        """
        result: T = await self._wait(self._submit(function))
        return result

    async def aclose(self) -> None:
        """Let all calls made so far run, and close the connection; again: wait for the same.

        It is handed over like a call: all this happens even if whoever waits for it is cancelled. The
        thread ends right after that, and is not waited for.
        """
        if self._closed is None:
            self._closed = self._hand_over(self._close)
            self._executor.shutdown(wait=False)  # the worker ends when it has done what it was given
        await self._wait(self._closed)

    def _submit(self, function: Callable[[sqlite3.Connection], T]) -> Future[T]:
        return self._hand_over(lambda: function(self._open()))

    def _hand_over(self, function: Callable[[], T]) -> Future[T]:
        # The executor's own Future would not do. asyncio.wrap_future cancels it along with the task,
        # and what has not begun by then never runs: a ROLLBACK, for one. A Future that says that it
        # is running can no longer be cancelled; so ours says so from the start.
        outcome: Future[T] = Future()
        outcome.set_running_or_notify_cancel()

        def run() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

        self._executor.submit(run)
        return outcome

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # None: sqlite3 begins no transactions of its own, and a BEGIN is where we write one.
            self._connection = sqlite3.connect(self._path, isolation_level=None)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Database:
    """Statements for one thread. Outside of a transaction, each is committed when it is done."""

    def __init__(self, thread: DatabaseThread) -> None:
        self._thread = thread

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run a statement with these values bound; return how many rows it wrote (rowcount at its end)."""

        def execute(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(sql, params)
            cursor.fetchall()  # where rows are RETURNING, they count when they have been read
            return cursor.rowcount

        return await self._thread.call(execute)

    async def fetch(self, sql: str, params: Params = ()) -> list[dict[str, Any]]:
        """Run a statement with these values bound; return its rows, each as a dict by column name."""

        def fetch(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            # A cursor is a half-done query. The other half is work for the same thread.
            cursor = connection.execute(sql, params)
            names = [name for name, *_ in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self._thread.call(fetch)


@asynccontextmanager
async def transaction(thread: DatabaseThread) -> AsyncIterator[Database]:
    """Give a Database between BEGIN and COMMIT; roll back whatever ends it otherwise, and let that out.

    Cancellation too, wherever it strikes: then all or nothing was written, and no transaction stays open.
    Where the block is closed (GeneratorExit), the roll-back is handed over, and not waited for.
    Never ends a transaction that it has not begun: where one is open on thread, it raises
    sqlite3.OperationalError and leaves that one alone. A COMMIT that fails is rolled back.
    """
    me = object()  # whose transaction is open, the thread knows alone: a cancelled BEGIN tells us nothing

    def begin(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        thread._owner = me

    def commit(connection: sqlite3.Connection) -> None:
        if thread._owner is not me:  # sqlite has rolled ours back, and somebody else has begun
            raise sqlite3.OperationalError("cannot commit: this transaction is over")
        connection.execute("COMMIT")
        thread._owner = None

    def roll_back(connection: sqlite3.Connection) -> None:
        if thread._owner is me:
            connection.rollback()  # says nothing where sqlite has rolled back already, unlike ROLLBACK

    try:
        await thread.call(begin)
        yield Database(thread)
        await thread.call(commit)
    except BaseException as error:
        with suppress(Exception):  # what ended the block comes out, whatever becomes of the roll-back
            # Handed over before it waits, behind whatever still runs: no second cancellation can stop it.
            outcome = thread._submit(roll_back)
            if not isinstance(error, GeneratorExit):  # who is being closed cannot wait
                await thread._wait(outcome)
        raise


class Pool:
    """At most size connections to one file, each for one transaction at a time. For asyncio."""

    def __init__(self, path: str | PathLike[str], size: int) -> None:
        """Open nothing yet. Raises ValueError for a size below 1."""
        if size < 1:
            raise ValueError(f"a pool of {size} connections lets nobody in")
        self._idle = [DatabaseThread(path) for _ in range(size)]
        # A semaphore serves in order. An asyncio.Queue of threads would not: whoever comes just then
        # takes the thread that somebody else has been woken for.
        self._slots = asyncio.Semaphore(size)
        self._open, self._closing = size, asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Database]:
        """Give a Database in a transaction on a free connection; who waits first is served first.

        However it ends, the connection is free again. Raises RuntimeError after aclose.
        """
        if self._closed:
            raise RuntimeError("the pool is closed")
        async with self._slots:
            thread = self._idle.pop()
            try:
                async with transaction(thread) as database:
                    yield database
            finally:
                self._idle.append(thread)  # a rollback may still wait there: the next BEGIN comes behind it

    async def aclose(self) -> None:
        """Let nobody in any more, wait until all who were in or waiting have left, close all connections.

        Where it was cancelled, call it again: it goes on.
        """
        self._closed = True
        async with self._closing:
            while self._open:
                await self._slots.acquire()  # for good, and behind all who wait already
                self._open -= 1
                await self._idle.pop().aclose()
