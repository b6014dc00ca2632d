"""An asynchronous database: sqlite3 waits, and the event loop does not."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future


class DatabaseThread:
    """A thread of its own, made by hand, with a queue in front."""

    def __init__(self, path, wait=asyncio.wrap_future):
        self.path, self.wait = path, wait
        self.jobs = queue.SimpleQueue()
        self.ended = Future()
        self.ended.set_running_or_notify_cancel()
        self.closing = False
        self.thread = None
        self.owner = None  # the transaction that is open, or None

    def start(self):
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, daemon=True)
            self.thread.start()

    def work(self):
        connection = None
        while (job := self.jobs.get()) is not None:
            function, future = job
            try:
                if connection is None:
                    connection = sqlite3.connect(self.path, isolation_level=None)
                result = function(connection)
            except BaseException as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)
            del job, function, future
        if connection is not None:
            connection.close()
        self.ended.set_result(None)

    def put(self, function):
        if self.closing:
            raise RuntimeError("closed")
        self.start()
        future = Future()
        future.set_running_or_notify_cancel()
        self.jobs.put((function, future))
        return future

    async def call(self, function):
        return await self.wait(self.put(function))

    async def aclose(self):
        if not self.closing:
            self.closing = True
            if self.thread is None:
                self.ended.set_result(None)
            else:
                self.jobs.put(None)
        await self.wait(self.ended)


class Database:
    def __init__(self, thread):
        self.thread = thread

    async def execute(self, sql, params=()):
        def work(connection):
            with contextlib.closing(connection.execute(sql, params)) as cursor:
                cursor.fetchall()
                return cursor.rowcount

        return await self.thread.call(work)

    async def fetch(self, sql, params=()):
        def work(connection):
            cursor = connection.cursor()
            cursor.row_factory = sqlite3.Row
            with contextlib.closing(cursor):
                return [dict(row) for row in cursor.execute(sql, params).fetchall()]

        return await self.thread.call(work)


class transaction:
    def __init__(self, thread):
        self.thread = thread

    def begin(self, connection):
        connection.execute("BEGIN DEFERRED TRANSACTION")
        self.thread.owner = self

    def end(self, connection):
        if self.thread.owner is not self:
            raise sqlite3.OperationalError("no transaction of ours is open")
        connection.execute("COMMIT")
        self.thread.owner = None

    def undo(self, connection):
        if self.thread.owner is self and connection.in_transaction:
            self.thread.owner = None
            connection.execute("ROLLBACK")

    async def __aenter__(self):
        try:
            await self.thread.call(self.begin)
        except BaseException:
            await self.thread.call(self.undo)
            raise
        return Database(self.thread)

    async def __aexit__(self, kind, error, trace):
        if error is None:
            try:
                await self.thread.call(self.end)
            except BaseException:
                await self.thread.call(self.undo)
                raise
        else:
            with contextlib.suppress(Exception):
                undone = self.thread.put(self.undo)
                if kind is not GeneratorExit:
                    await self.thread.wait(undone)


class Visit:
    def __init__(self, pool):
        self.pool = pool

    async def __aenter__(self):
        self.thread = await self.pool.take()
        try:
            self.inner = transaction(self.thread)
            return await self.inner.__aenter__()
        except BaseException:
            self.pool.give(self.thread)
            raise

    async def __aexit__(self, *how):
        try:
            return await self.inner.__aexit__(*how)
        finally:
            self.pool.give(self.thread)


class Pool:
    def __init__(self, path, size):
        if size < 1:
            raise ValueError(size)
        self.path, self.size = path, size
        self.made, self.idle, self.waiters = [], [], deque()
        self.closing = False
        self.quiet = None

    def transaction(self):
        return Visit(self)

    async def take(self):
        if self.closing:
            raise RuntimeError("closed")
        if not self.waiters and self.idle:
            return self.idle.pop()
        if not self.waiters and len(self.made) < self.size:
            self.made.append(DatabaseThread(self.path))
            return self.made[-1]
        turn = asyncio.get_running_loop().create_future()
        self.waiters.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(turn.result())
            elif turn in self.waiters:
                self.waiters.remove(turn)
            raise

    def give(self, thread):
        while self.waiters:
            turn = self.waiters.popleft()
            if not turn.done():
                turn.set_result(thread)
                return
        self.idle.append(thread)
        if self.quiet is not None and len(self.idle) == len(self.made):
            self.quiet.set()

    async def aclose(self):
        self.closing = True
        if len(self.idle) < len(self.made):
            self.quiet = self.quiet or asyncio.Event()
            await self.quiet.wait()
        for thread in self.made:
            await thread.aclose()
