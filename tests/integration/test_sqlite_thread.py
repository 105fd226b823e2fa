"""The way to a SQLite connection's thread and back: short statements, long ones, and the end."""

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.database.sqlite_connection import Connection, Patience, open_connection

Work = Callable[[Connection], Awaitable[Any]]


def on_connection(work: Work, *, reads_here: bool = False, **functions: Callable[[], Any]) -> Any:
    """Await `work(connection)` on a connection with functions, and close it."""

    async def main() -> Any:
        patience = Patience(reads_here=reads_here)
        connection = open_connection(
            patience, ":memory:", isolation_level=None, check_same_thread=False
        )
        await connection
        for name, function in functions.items():
            await connection.create_function(name, 0, function)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(main())


class TestShortStatements:
    def test_one_returns_its_rows(self):
        assert on_connection(lambda c: c.fetch("SELECT ?, 'b'", ("a",), None)) == [("a", "b")]

    def test_an_error_is_raised_where_it_is_awaited(self):
        with pytest.raises(sqlite3.OperationalError, match="no such table: nowhere"):
            on_connection(lambda c: c.count("DELETE FROM nowhere", (), None))

    def test_an_error_leaves_nothing_for_the_garbage_collector(self):
        async def work(connection: Connection) -> int:
            gc.collect()
            gc.disable()
            try:
                with pytest.raises(sqlite3.OperationalError):
                    await connection.fetch("nonsense", (), None)
                kinds = map(type, gc.get_objects())
                ours = [kind for kind in kinds if kind.__module__ == Connection.__module__]
                return sum(kind.__name__ == "_Job" for kind in ours)
            finally:
                gc.enable()

        assert on_connection(work) == 0

    def test_a_statement_that_is_not_read_to_its_end_keeps_no_lock(self):
        async def work(connection: Connection) -> int:
            await connection.fetch("CREATE TABLE t AS SELECT 1 AS n UNION SELECT 2", (), None)
            await connection.count("SELECT n FROM t", (), None)
            return await connection.count("DROP TABLE t", (), None)

        assert on_connection(work) == 0

    def test_many_of_them_in_one_task_let_other_tasks_run(self):
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def work(connection: Connection) -> None:
            other = asyncio.create_task(count_turns())
            for _ in range(300):
                await connection.fetch("SELECT 1", (), None)
            other.cancel()

        on_connection(work)

        assert turns > 1

    def test_a_thousand_tasks_get_their_own_rows(self):
        async def work(connection: Connection) -> list[Any]:
            calls = [connection.fetch("SELECT ?", (n,), None) for n in range(1_000)]
            return await asyncio.gather(*calls)

        assert on_connection(work) == [[(n,)] for n in range(1_000)]


class TestLongStatements:
    def test_one_lets_the_loop_go_on(self):
        go_on = threading.Event()

        async def work(connection: Connection) -> list[Any]:
            asyncio.get_running_loop().call_soon(go_on.set)
            return await connection.fetch("SELECT wait_here()", (), None)

        assert on_connection(work, wait_here=partial(go_on.wait, 30)) == [(1,)]

    def test_one_that_fails_raises_where_it_is_awaited(self):
        go_on = threading.Event()

        def fail() -> None:
            go_on.wait(30)
            raise ArithmeticError

        async def work(connection: Connection) -> None:
            asyncio.get_running_loop().call_soon(go_on.set)
            await connection.fetch("SELECT fail()", (), None)

        with pytest.raises(sqlite3.OperationalError, match="user-defined function"):
            on_connection(work, fail=fail)

    def test_one_is_interrupted_after_its_time(self):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n"

        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            on_connection(lambda c: c.count(f"CREATE TABLE t AS {endless}", (), 0.05))

    def test_calls_of_a_cancelled_task_do_not_reach_the_next(self):
        go_on = threading.Event()

        async def work(connection: Connection) -> list[Any]:
            task = asyncio.create_task(connection.fetch("SELECT wait_here()", (), None))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            asyncio.get_running_loop().call_soon(go_on.set)
            return await connection.fetch("SELECT 'next'", (), None)

        assert on_connection(work, wait_here=partial(go_on.wait, 30)) == [("next",)]


class TestReadsInTheLoopsThread:
    LONG = (
        "SELECT count(*), in_loop() FROM (WITH RECURSIVE n(i) AS "
        "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT i FROM n)"
    )

    @staticmethod
    def run(work: Work, *, reads_here: bool = True) -> Any:
        """Await the work on a connection whose function tells whether the loop's thread runs it."""
        loops = threading.get_ident()
        return on_connection(
            work, reads_here=reads_here, in_loop=lambda: threading.get_ident() == loops
        )

    def test_a_short_read_runs_there(self):
        assert self.run(lambda c: c.fetch("SELECT in_loop()", (), None)) == [(1,)]

    def test_a_long_one_is_begun_anew_in_the_connections_thread(self):
        assert self.run(lambda c: c.fetch(self.LONG, (500_000,), None)) == [(500_000, 0)]

    def test_one_that_was_long_and_is_short_again_comes_back(self):
        async def work(connection: Connection) -> list[Any]:
            await connection.fetch(self.LONG, (500_000,), None)
            rows = [(0, 0)]
            while not rows[0][1]:
                rows = await connection.fetch(self.LONG, (5,), None)
            return rows

        assert self.run(work) == [(5, 1)]

    def test_a_long_one_undoes_nothing_of_its_transaction(self):
        async def work(connection: Connection) -> list[Any]:
            await connection.fetch("CREATE TABLE t (n)", (), None)
            await connection.fetch("BEGIN IMMEDIATE", (), None)
            await connection.fetch("INSERT INTO t VALUES (1)", (), None)
            await connection.fetch(self.LONG, (500_000,), None)
            await connection.fetch("COMMIT", (), None)
            return await connection.fetch("SELECT n FROM t", (), None)

        assert self.run(work) == [(1,)]

    def test_an_error_of_one_is_raised(self):
        with pytest.raises(sqlite3.OperationalError, match="no such column"):
            self.run(lambda c: c.fetch("SELECT absent", (), None))

    def test_what_may_write_does_not(self):
        async def work(connection: Connection) -> list[Any]:
            await connection.fetch("CREATE TABLE t (here)", (), None)
            return await connection.fetch("INSERT INTO t VALUES (in_loop()) RETURNING *", (), None)

        assert self.run(work) == [(0,)]

    def test_a_read_where_readers_may_have_to_wait_does_not(self):
        assert self.run(lambda c: c.fetch("SELECT in_loop()", (), None), reads_here=False) == [(0,)]

    def test_one_while_the_connection_is_busy_does_not(self):
        go_on = threading.Event()

        async def work(connection: Connection) -> list[Any]:
            await connection.create_function("wait_here", 0, partial(go_on.wait, 30))
            busy = asyncio.create_task(connection.execute("SELECT wait_here()"))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(go_on.set)
            rows = await connection.fetch("SELECT in_loop()", (), None)
            await busy
            return rows

        assert self.run(work) == [(0,)]

    def test_a_database_in_memory_has_none_and_a_file_has(self, tmp_path: Path):
        async def found(url: str) -> bool:
            db, loops = DataFlow(url), threading.get_ident()
            lane = await db.database.lane()
            fairy = await lane.take(write=False)
            connection = fairy.driver_connection
            await connection.create_function("in_loop", 0, lambda: threading.get_ident() == loops)
            ((here,),) = await connection.fetch("SELECT in_loop()", (), None)
            lane.give(fairy, write=False)
            await db.aclose()
            return bool(here)

        assert asyncio.run(found(f"sqlite:///{tmp_path}/app.db"))
        assert not asyncio.run(found("sqlite:///:memory:"))


class TestTheEnd:
    def test_a_closed_connection_says_so(self):
        async def work(connection: Connection) -> None:
            await connection.close()
            await connection.fetch("SELECT 1", (), None)

        with pytest.raises(ValueError, match="active connection"):
            on_connection(work)

    def test_a_thread_that_outlives_its_loop_ends_in_silence(self):
        go_on = threading.Event()
        threads: list[threading.Thread] = []

        async def main() -> None:
            connection = open_connection(Patience(), ":memory:", check_same_thread=False)
            await connection
            await connection.create_function("wait_here", 0, partial(go_on.wait, 30))
            threads.append(connection._thread)
            task = asyncio.create_task(connection.fetch("SELECT wait_here()", (), None))
            await asyncio.sleep(0)
            task.cancel()
            connection.stop()

        asyncio.run(main())
        go_on.set()
        threads[0].join(30)

        assert not threads[0].is_alive()

    def test_sqlalchemy_closes_the_threads_of_its_pool(self, tmp_path: Path):
        before = set(threading.enumerate())
        db = DataFlow(f"sqlite:///{tmp_path}/app.db")

        @db.model
        class Note:
            text: str

        async def main() -> None:
            await asyncio.gather(*(db.aio.create(Note, text="x") for _ in range(20)))
            await db.aclose()

        asyncio.run(main())

        made = [
            thread
            for thread in threading.enumerate()
            if thread not in before and "dataflow" not in thread.name
        ]
        for thread in made:
            thread.join(30)  # it has closed its connection, and is about to end
        assert not any(thread.is_alive() for thread in made)
