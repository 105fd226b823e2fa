"""A SQLite file, the raw connections to it, and everything that works on it."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from bench.alchemy import TABLE, Core, Orm
from bench.data import COLUMNS, Sizes, declare_user, records, rows, utc_now
from dataflow import DataFlow

SEEDED = 10_000
INSERT = f"INSERT INTO users ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)"


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection with the settings that DataFlow uses."""
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    raw.execute("PRAGMA journal_mode = WAL")
    raw.execute("PRAGMA synchronous = NORMAL")
    return raw


def text_now() -> str:
    """Return the present as DataFlow stores it."""
    return utc_now().isoformat(" ", "microseconds")


class Hop:
    """One worker thread: the cheapest way from an event loop to a blocking call."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, call = job
            loop.call_soon_threadsafe(future.set_result, call())

    async def run(self, call: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._jobs.put_nowait((loop, future, call))
        return await future

    def close(self) -> None:
        self._jobs.put_nowait(None)
        self._thread.join()


class SqliteBench:
    """DataFlow and raw connections on one file; SQLAlchemy on another one.

    SQLAlchemy stores instants in another form, so it cannot share the table.
    """

    def __init__(self, runner: asyncio.Runner, folder: Path, sizes: Sizes) -> None:
        self.runner = runner
        self.sizes = sizes
        self.db = DataFlow(f"sqlite:///{folder}/dataflow.db")
        declare_user(self.db)
        runner.run(self.db.aio.count("User"))
        self.raw = connect(folder / "dataflow.db")
        self.hop = Hop()
        self._others = connect(folder / "alchemy.db")
        self.engine = create_async_engine(f"sqlite+aiosqlite:///{folder}/alchemy.db")
        self.core, self.orm = Core(self.engine), Orm(self.engine)
        runner.run(self._create_table())

    async def _create_table(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(TABLE.create)

    def _connections(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        return self.raw, self._others

    def empty(self) -> None:
        for connection in self._connections():
            connection.execute("DELETE FROM users")
        self.raw.execute("DELETE FROM sqlite_sequence")
        for connection in self._connections():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def seed(self, size: int = SEEDED) -> None:
        """Fill both tables with users that have the keys from 1 to `size`."""
        self.empty()
        given = records(size)
        self.insert(self.raw, rows(given, text_now()))
        self.insert(self._others, rows(given, utc_now().replace(tzinfo=None).isoformat(" ")))
        for connection in self._connections():
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @staticmethod
    def insert(connection: sqlite3.Connection, values: Any) -> None:
        write_many(connection, INSERT, values)

    def versions(self) -> list[str]:
        return []

    async def _close(self) -> None:
        await self.db.aclose()
        await self.engine.dispose()

    def close(self) -> None:
        self.runner.run(self._close())
        self.hop.close()
        for connection in self._connections():
            connection.close()


def write_many(connection: sqlite3.Connection, sql: str, values: Any) -> None:
    """Run `executemany` in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(sql, values)
    connection.execute("COMMIT")


@contextmanager
def open_sqlite(runner: asyncio.Runner, sizes: Sizes) -> Iterator[SqliteBench]:
    """Make the files for the time of the measurements."""
    with tempfile.TemporaryDirectory(prefix="dataflow-bench-") as folder:
        bench = SqliteBench(runner, Path(folder), sizes)
        try:
            yield bench
        finally:
            bench.close()
