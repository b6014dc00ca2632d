"""sqlite3 waits in its own thread, the loop goes on, and no transaction outlives the one who began it."""

import asyncio
import sqlite3
import threading
from asyncio import CancelledError, create_task
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress

import pytest

from dojo.kit.cancel import cancel_task_at
from dojo.kit.databases import WRITE, busy, forbid, ident, is_open, left_over, notes_in, one, opened, texts_in
from dojo.kit.gates import Gate, abandon, begun, close_inside, held, let_it_run, soon, stops, stops_before
from dojo.kit.jobs import outcome
from dojo.kit.small_tasks import Stop
from katas.a3_coroutine import drive, pause
from katas.f4_async_database import Database, DatabaseThread, Pool, transaction

ASK = "SELECT text FROM notes ORDER BY rowid"


@pytest.fixture
def path(tmp_path):
    return notes_in(tmp_path)


async def without_asyncio(coroutine):
    """Run it where there is no event loop: a3's drive waits for each Future on the spot."""
    return await asyncio.to_thread(drive, coroutine, Future.result)


@pytest.mark.asyncio
class TestDatabaseThread:
    async def test_call_returns_what_the_function_returned(self, path):
        async with opened(DatabaseThread(path)) as thread:
            assert await thread.call(one("SELECT 6 * 7")) == 42

    @pytest.mark.parametrize("kind", [KeyError, Stop])
    async def test_failure_comes_out_and_the_thread_goes_on(self, path, kind):
        def fails(connection):
            raise kind

        async with opened(DatabaseThread(path)) as thread:
            with pytest.raises(kind):
                await soon(thread.call(fails), "the function has raised, and its caller hears nothing")
            assert await thread.call(one("SELECT 42")) == 42

    async def test_loop_is_free_while_a_query_runs(self, path):
        async with opened(DatabaseThread(path)) as thread:
            gate = Gate()
            await thread.call(lambda connection: connection.create_function("stands_still", 0, gate))
            query = create_task(thread.call(one("SELECT stands_still()")))
            await gate.reached(query)
            gate.open()  # this line runs, while the query has not ended
            assert await query == 1

    async def test_all_calls_run_in_one_thread(self, path):
        async with opened(DatabaseThread(path)) as thread:
            first = await thread.call(ident)
            async with held(thread) as gate:
                second = await begun(thread.call(ident))
                gate.open()
                threads = {first, gate.thread, await second}
                assert len(threads) == 1, "a connection belongs to one thread, also where calls overlap"

    async def test_connection_is_opened_in_that_thread(self, path):
        async with opened(DatabaseThread(path)) as thread:
            connection = await thread.call(lambda connection: connection)
            with pytest.raises(sqlite3.ProgrammingError):  # sqlite3's check_same_thread is to stay on
                connection.execute("SELECT 'opened in the thread of the event loop?'")

    async def test_statement_is_committed_at_once(self, path):
        async with opened(DatabaseThread(path)) as thread:
            await thread.call(lambda connection: connection.execute(WRITE, ["a"]))
            assert texts_in(path) == ["a"], "without isolation_level=None sqlite3 begins a transaction itself"

    async def test_calls_run_in_the_order_made(self, path):
        log = []
        async with opened(DatabaseThread(path)) as thread, held(thread) as gate:
            calls = [create_task(thread.call(lambda _, name=name: log.append(name))) for name in "abcd"]
            await let_it_run()
            assert log == [], "one thread, one call at a time: the first one has not ended"
            gate.open()
            await asyncio.gather(*calls)
        assert log == ["a", "b", "c", "d"]

    async def test_cancelled_caller_does_not_wait_for_the_thread(self, path):
        log = []
        async with opened(DatabaseThread(path)) as thread:
            gate = Gate()
            call = create_task(thread.call(lambda _: (gate(), log.append("ran to its end"))))
            await gate.reached(call)
            left = await stops(call)
            gate.open()
            await asyncio.wait([call])
            assert left, "the caller was cancelled, and went on waiting for the thread"
            await soon(thread.call(ident), "a call was cancelled, and the thread answers no more")
        assert log == ["ran to its end"]

    async def test_handed_over_call_runs_though_its_caller_left(self, path):
        log = []
        async with opened(DatabaseThread(path)) as thread, held(thread) as gate:
            call = await begun(thread.call(lambda _: log.append("ran")))
            await stops(call)
            gate.open()
            await thread.call(lambda _: log.append("the next"))
        assert log == ["ran", "the next"], "cancelled before its turn, it has to run all the same"

    async def test_close_comes_behind_the_calls(self, path):
        with left_over() as threads:
            thread = DatabaseThread(path)
            async with held(thread) as gate:
                call = await begun(thread.call(lambda connection: connection))
                closing = await begun(thread.aclose())
                gate.open()
                connection = await soon(call, "a call was made before aclose, and never runs")
            await closing
            with pytest.raises(sqlite3.ProgrammingError):  # "Cannot operate on a closed database"
                _ = connection.in_transaction
        assert threads == [], "the connection is closed, and its thread goes on"

    async def test_closed_thread_takes_no_calls(self, path):
        with left_over() as threads:
            thread = DatabaseThread(path)
            await thread.aclose()
            await thread.aclose()
            with pytest.raises(RuntimeError):
                await thread.call(ident)
        assert threads == [], "it was closed before it was used, and again"

    @pytest.mark.parametrize("again", [False, True], ids=["alone", "and again"])
    async def test_cancelled_close_closes_all_the_same(self, path, again):
        with left_over() as threads:
            thread = DatabaseThread(path)
            async with held(thread):
                closing = create_task(thread.aclose())
                others = [create_task(thread.aclose())] if again else []
                await let_it_run()
                assert await stops(closing), "whoever waited for the end was cancelled, and went on waiting"
                others += [create_task(thread.aclose())] if again else []
                await let_it_run()
                ended = [other.done() and not other.cancelled() for other in others]
                assert not any(ended), "a call still runs, and who closes again does not wait for its end"
            for other in others:
                came, _ = await outcome(other)
                assert came is None, "somebody else was cancelled while he waited for the same"
        assert threads == [], "once it is handed over, closing needs nobody to wait for it"

    async def test_file_that_cannot_be_opened_fails_the_call(self, tmp_path):
        with left_over() as threads:
            async with opened(DatabaseThread(tmp_path / "nowhere" / "notes.db")) as thread:
                with pytest.raises(sqlite3.OperationalError):
                    await thread.call(ident)
        assert threads == [], "what cannot be opened has to be closed nevertheless"

    async def test_runs_where_there_is_no_event_loop(self, path):
        thread = DatabaseThread(path, wait=pause)
        assert await without_asyncio(thread.call(one("SELECT 42"))) == 42
        await without_asyncio(thread.aclose())


@pytest.mark.asyncio
class TestDatabase:
    async def test_execute_returns_how_many_rows_it_wrote(self, path):
        async with opened(DatabaseThread(path)) as thread:
            written = await Database(thread).execute("INSERT INTO notes(text) VALUES ('a'), ('b'), ('c')")
            changed = await Database(thread).execute("UPDATE notes SET answers = 'c' WHERE text < 'c'")
            assert (written, changed) == (3, 2)
            assert texts_in(path) == ["a", "b", "c"], "outside of a transaction all is committed at once"

    @pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 35), reason="this sqlite has no RETURNING")
    async def test_returned_rows_are_counted_as_written(self, path):
        async with opened(DatabaseThread(path)) as thread:
            sql = "INSERT INTO notes(text) VALUES ('a'), ('b') RETURNING text"
            written = await Database(thread).execute(sql)
            assert written == 2, "sqlite3 counts such rows when they have been read"

    @pytest.mark.parametrize("text", ["O'Brien", "'); DROP TABLE notes; --", ":text"])
    async def test_values_are_bound_and_not_pasted(self, path, text):
        async with opened(DatabaseThread(path)) as thread:
            await Database(thread).execute(WRITE, (text,))
            sql = "UPDATE notes SET answers = :to WHERE text = :text"
            await Database(thread).execute(sql, {"text": text, "to": "itself"})
            rows = await Database(thread).fetch("SELECT * FROM notes WHERE text = ?", [text])
            assert rows == [{"text": text, "answers": "itself"}]

    async def test_fetch_returns_all_rows_in_order(self, path):
        async with opened(DatabaseThread(path)) as thread:
            rows = await Database(thread).fetch("SELECT column1 AS n FROM (VALUES (3), (1), (2))")
            assert rows == [{"n": 3}, {"n": 1}, {"n": 2}]
            assert [await Database(thread).fetch(sql) for sql in (ASK, "DELETE FROM notes")] == [[], []]

    async def test_last_row_is_read_in_the_thread_too(self, path):
        async with opened(DatabaseThread(path)) as thread:
            gate = Gate()
            await thread.call(lambda connection: connection.create_function("stands_still", 1, gate))
            sql = "SELECT CASE column1 WHEN 3 THEN stands_still(column1) END AS n FROM (VALUES (1), (2), (3))"
            query = create_task(Database(thread).fetch(sql))
            await gate.reached(query)
            gate.open()
            assert await query == [{"n": None}, {"n": None}, {"n": 1}]


async def write(thread, *texts, error=None):
    """Write texts in one transaction, and raise error in it, where there is one."""
    async with transaction(thread) as database:
        for text in texts:
            await database.execute(WRITE, [text])
        if error is not None:
            raise error


@pytest.mark.asyncio
class TestTransaction:
    async def test_begin_takes_no_lock_yet(self, path):
        async with opened(DatabaseThread(path)) as thread, transaction(thread) as database:
            await database.fetch(ASK)
            assert not busy(path), "plain BEGIN is due: who has only read keeps nobody from writing"

    async def test_block_is_committed_as_a_whole(self, path):
        async with opened(DatabaseThread(path)) as thread:
            async with transaction(thread) as database:
                await database.execute(WRITE, ["a"])
                await database.execute(WRITE, ["b"])
                assert texts_in(path) == [], "nobody else sees half of a transaction"
                assert await database.fetch(ASK) == [{"text": "a"}, {"text": "b"}]
            assert texts_in(path) == ["a", "b"], "the block has ended well"

    @pytest.mark.parametrize("kind", [KeyError, Stop, CancelledError])
    async def test_whatever_ends_the_block_rolls_back(self, path, kind):
        error = kind("a")
        async with opened(DatabaseThread(path)) as thread:
            with pytest.raises(kind) as raised:
                await write(thread, "a", error=error)
            assert (await is_open(thread), texts_in(path)) == (False, []), f"{error!r} ended the block"
            assert raised.value is error, f"{raised.value!r} came out in place of what ended the block"

    @pytest.mark.parametrize("error", [sqlite3.IntegrityError, sqlite3.DatabaseError])
    async def test_failed_commit_is_rolled_back(self, path, error):
        async with opened(DatabaseThread(path)) as thread:
            await Database(thread).execute("PRAGMA foreign_keys = ON")
            if error is sqlite3.DatabaseError:
                await thread.call(forbid("COMMIT"))
            with pytest.raises(error):
                async with transaction(thread) as database:
                    await database.execute("INSERT INTO notes VALUES ('a', 'answers to nothing')")
            assert await is_open(thread) is False, "sqlite leaves a transaction open where its COMMIT fails"

    @pytest.mark.parametrize("due", ["IntegrityError", "KeyError"])
    async def test_roll_back_that_cannot_be_hides_no_error(self, path, due):
        async def block():
            async with transaction(thread) as database:
                if due == "IntegrityError":  # and sqlite has rolled back by then
                    await database.execute("INSERT OR ROLLBACK INTO notes(text) VALUES ('a')")
                await thread.aclose()
                raise KeyError("a")

        async with opened(DatabaseThread(path)) as thread:
            await write(thread, "a")
            came, _ = await outcome(block())
            assert came.partition(":")[0] == due, "that is what ended the block: it has to come out"

    async def test_second_one_leaves_the_first_alone(self, path):
        async with opened(DatabaseThread(path)) as thread:
            async with transaction(thread) as database:
                await database.execute(WRITE, ["a"])
                with pytest.raises(sqlite3.OperationalError):
                    await write(thread, "b")
                assert await is_open(thread) is True, "the second transaction has ended the first one"
            assert texts_in(path) == ["a"]

    @pytest.mark.parametrize("statement", ["BEGIN", "INSERT", "COMMIT", "ROLLBACK", "its turn"])
    @pytest.mark.parametrize("times", [1, 2], ids=["once", "again"])
    async def test_cancelled_while_it_waits_leaves_nothing_open(self, path, statement, times):
        async with opened(DatabaseThread(path)) as thread:
            error = KeyError("a") if statement == "ROLLBACK" else None
            stands = held(thread) if statement == "its turn" else stops_before(thread, statement)
            async with stands as gate:
                await abandon(write(thread, "a", "b", error=error), gate, times)
            assert await is_open(thread) is False, f"cancelled while it waited for {statement}"
            assert texts_in(path) in ([], ["a", "b"]), "half of the transaction was written"

    async def test_cancelled_commit_leaves_the_next_one_alone(self, path):
        async with opened(DatabaseThread(path)) as thread:
            async with stops_before(thread, "COMMIT") as gate:
                first = create_task(write(thread, "a"))
                await gate.reached(first)
                second = await begun(write(thread, "b"))  # its BEGIN waits behind the COMMIT
                await stops(first)
                gate.open()
                await asyncio.wait([first])
                await second
            assert texts_in(path) == ["a", "b"], "the first was committed, the second is another one's"

    @pytest.mark.parametrize("due", ["OperationalError", "KeyError"])
    async def test_rolled_back_by_sqlite_it_leaves_the_next_one_alone(self, path, due):
        async def block():
            async with transaction(thread) as database:
                with suppress(sqlite3.IntegrityError):
                    await database.execute("INSERT OR ROLLBACK INTO notes(text) VALUES ('a')")
                await stack.enter_async_context(transaction(thread))  # the next one
                await database.execute(WRITE, ["b"])
                if due == "KeyError":
                    raise KeyError("a")

        async with opened(DatabaseThread(path)) as thread, AsyncExitStack() as stack:
            await write(thread, "a")
            came, _ = await outcome(block())
            assert await is_open(thread) is True, "it was over by then, and has ended the next one"
            assert came.partition(":")[0] == due, "that is what ended the block, or what its COMMIT came to"

    async def test_cancelled_anywhere_leaves_nothing_open(self, path):
        async with opened(DatabaseThread(path)) as thread:
            point = 1
            while where := await cancel_task_at(point, write, thread, f"{point}a", f"{point}b"):
                assert await is_open(thread) is False, f"cancelled at {where}, its transaction stayed open"
                point += 1
            assert len(texts_in(path)) % 2 == 0, "half of a transaction was written"

    async def test_closed_in_its_block_it_does_not_wait(self, path):
        thread = DatabaseThread(path, wait=pause)

        async def block():
            async with transaction(thread) as database:
                await database.execute(WRITE, ["a"])
                await pause(None)

        await asyncio.to_thread(close_inside, block())
        assert await without_asyncio(is_open(thread)) is False, "its last words were to be handed over"
        await without_asyncio(thread.aclose())

    async def test_runs_where_there_is_no_event_loop(self, path):
        thread = DatabaseThread(path, wait=pause)
        await without_asyncio(write(thread, "a"))
        with pytest.raises(Stop):
            await without_asyncio(write(thread, "b", error=Stop()))
        await without_asyncio(thread.aclose())
        assert texts_in(path) == ["a"]


async def enter(pool, text=None, error=None):
    """Go in, write text, raise error, where there is one; return the texts that were there by then."""
    async with pool.transaction() as database:
        if text is not None:
            await database.execute(WRITE, [text])
        if error is not None:
            raise error
        return [row["text"] for row in await database.fetch(ASK)]


async def visit(pool, log, name, until):
    """Go in, note it, and stay there until the event."""
    async with pool.transaction():
        log.append(name)
        await until.wait()


@pytest.mark.asyncio
class TestPool:
    @pytest.mark.parametrize("kind", [KeyError, Stop])
    async def test_block_is_a_transaction(self, path, kind):
        async with opened(Pool(path, 1)) as pool:
            assert await enter(pool, "a") == ["a"]
            with pytest.raises(kind):
                await enter(pool, "b", error=kind("b"))
            texts = await soon(enter(pool), "a block has raised, and its connection is not free again")
            assert texts == ["a"], "the block that raised was to be rolled back"
            assert texts_in(path) == ["a"], "the block that ended well was to be committed"

    async def test_two_at_once_share_no_connection(self, path):
        async with opened(Pool(path, 2)) as pool, pool.transaction() as database:
            await database.execute(WRITE, ["a"])
            others = await soon(enter(pool), "one of two connections is free, and nobody is let in")
            assert others == [], "on one connection everybody sees what its transaction may yet roll back"

    async def test_never_more_connections_than_the_size(self, path):
        log, until, before = [], asyncio.Event(), set(threading.enumerate())
        async with opened(Pool(path, 2)) as pool:
            threads = [len({*threading.enumerate()} - before)]
            visits = [create_task(visit(pool, log, name, until)) for name in "abc"]
            await let_it_run()
            threads.append(len({*threading.enumerate()} - before))
            until.set()
            await soon(asyncio.gather(*visits), "three want to go in, two at a time")
            threads.append(len({*threading.enumerate()} - before))
            assert threads[0] == 0, "nothing is to be opened before somebody goes in"
            assert max(threads) <= 2, f"a pool of 2, in use and then used, has {threads[1:]} threads"

    async def test_first_to_wait_is_served_first(self, path):
        log, until = [], asyncio.Event()
        until.set()
        async with opened(Pool(path, 1)) as pool:
            async with pool.transaction():
                visits = [create_task(visit(pool, log, name, until)) for name in "ab"]
                await let_it_run()
            await visit(pool, log, "who was in already", until)
            await asyncio.gather(*visits)
        assert log == ["a", "b", "who was in already"]

    async def test_file_that_cannot_be_opened_takes_no_place(self, tmp_path):
        async with opened(Pool(tmp_path / "nowhere" / "notes.db", 1)) as pool:
            for _ in range(2):
                with pytest.raises(sqlite3.OperationalError):
                    await soon(enter(pool), "one transaction could not begin, and its place is lost")

    async def test_cancelled_while_it_waits_takes_no_place(self, path):
        async with opened(Pool(path, 1)) as pool:
            async with pool.transaction():
                waits, woken, last = (create_task(enter(pool, name)) for name in "abc")
                await let_it_run()
                assert await stops(waits), "it was cancelled while it waited for a connection, and waits on"
            woken.cancel()  # the place is its own by now, and it does not know
            assert await soon(last, "one who waited was cancelled, and its place is lost") == ["c"]
            assert woken.cancelled()

    async def test_cancelled_anywhere_frees_its_connection(self, path):
        async with opened(Pool(path, 1)) as pool:
            point = 1
            while where := await cancel_task_at(point, enter, pool, f"{point}"):
                await soon(enter(pool), f"cancelled at {where}, it kept its connection")
                point += 1

    async def test_close_waits_for_those_who_are_in(self, path):
        with left_over() as threads:
            pool = Pool(path, 2)
            async with pool.transaction() as database:
                closing = await begun(pool.aclose())
                await database.execute(WRITE, ["a"])
                assert not closing.done(), "aclose was over while somebody was in"
            await soon(closing, "all have left, and aclose waits on")
        assert (texts_in(path), threads) == (["a"], []), "the last ones in finish, then every thread ends"

    async def test_close_lets_in_who_waited_and_nobody_more(self, path):
        pool = Pool(path, 1)
        async with pool.transaction():
            waits = await begun(enter(pool, "a"))
            closing = await begun(pool.aclose())
            with pytest.raises(RuntimeError):
                await soon(enter(pool), "aclose has begun, and a newcomer waits")
        came, _ = await outcome(soon(waits, "aclose lets nobody in who waited"))
        assert came == ["a"], "it waited before aclose began, and is to be served"
        await closing
        await soon(pool.aclose(), "the pool was closed once, and then again")

    async def test_cancelled_close_can_be_called_again(self, path):
        with left_over() as threads:
            pool = Pool(path, 3)
            async with pool.transaction():
                await asyncio.gather(enter(pool), enter(pool))
                for _ in range(4):
                    await cancel_task_at(1, pool.aclose)  # where it waits first
            await soon(pool.aclose(), "aclose was cancelled, and called again")
        assert threads == []

    @pytest.mark.parametrize("size", [0, -1])
    async def test_size_below_one_is_refused(self, path, size):
        with pytest.raises(ValueError):  # noqa: PT011
            Pool(path, size)
