"""Small sqlite files, what to ask of a connection, and the threads that it leaves behind.

notes_in(path)           makes a file with an empty table "notes"; texts_in(path) reads what is committed
opened(thing)            closes a DatabaseThread or Pool in the end, whatever happens
one, forbid, ident       functions to give to a DatabaseThread's call
is_open, busy            is a transaction open on a thread? does somebody hold the right to write?
left_over()              threads that were started inside and have not ended
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dojo.kit.clock import works
from dojo.kit.gates import PATIENCE, let_it_run

T = TypeVar("T")
WRITE = "INSERT INTO notes(text) VALUES (?)"

SCHEMA = """
PRAGMA synchronous = off;
PRAGMA journal_mode = wal;
CREATE TABLE notes (
    text TEXT NOT NULL UNIQUE,
    answers TEXT REFERENCES notes(text) DEFERRABLE INITIALLY DEFERRED
);
"""


def notes_in(folder: Path) -> Path:
    """Make a file with an empty table: notes(text, answers); it is in WAL mode, as the Rules say.

    Two notes with one text are an error at once, an answer to no note is one at the COMMIT.
    """
    path = folder / "notes.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
    return path


def texts_in(path: Path) -> list[str]:
    """What somebody else finds in the file: the texts that are committed."""
    with closing(sqlite3.connect(path)) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]


@contextmanager
def left_over() -> Iterator[list[str]]:
    """Fill a list, in the end, with the names of the threads that were started inside and do not end."""
    names: list[str] = []
    before = set(threading.enumerate())
    yield names
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith(("asyncio_", "dojo")):  # those are others' affair
            for _ in range(100):  # one that has been told to end is at work, until it has
                thread.join(PATIENCE / 100)
                if not works(thread):
                    break
            if thread.is_alive():
                names.append(thread.name)


@asynccontextmanager
async def opened(thing: T) -> AsyncIterator[T]:
    """Close it in the end. What the block raised comes out, whatever closing says to it, or if it hangs."""
    to_close: Any = thing
    try:
        yield thing
    except BaseException:
        close = asyncio.create_task(to_close.aclose())
        await let_it_run()
        close.cancel()
        await asyncio.wait([close], timeout=1)
        raise
    await to_close.aclose()


def one(sql: str) -> Callable[[sqlite3.Connection], Any]:
    """What is in the first column of the first row."""
    return lambda connection: connection.execute(sql).fetchone()[0]


def forbid(statement: str) -> Callable[[sqlite3.Connection], None]:
    """From now on sqlite refuses to BEGIN, COMMIT or ROLLBACK."""

    def decide(action: int, what: str | None, *_: str | None) -> int:
        forbidden = (action, what) == (sqlite3.SQLITE_TRANSACTION, statement)
        return sqlite3.SQLITE_DENY if forbidden else sqlite3.SQLITE_OK

    return lambda connection: connection.set_authorizer(decide)


def ident(connection: sqlite3.Connection) -> int:
    """The thread that this runs in."""
    return threading.get_ident()


async def is_open(thread: Any) -> bool:
    """Is a transaction open on the thread's connection?"""
    open_there: bool = await thread.call(lambda connection: connection.in_transaction)
    return open_there


def busy(path: Path) -> bool:
    """Does somebody hold the right to write?"""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
    return False
