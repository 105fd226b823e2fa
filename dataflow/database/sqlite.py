"""SQLite through aiosqlite: one thread per connection, one hop per statement."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.sqlite import aiosqlite as aiosqlite_dialect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, NullPool

from dataflow.database.driver import Driver, Isolation, Row, UpdatePlan, UpsertPlan
from dataflow.database.sqlite_errors import translate_error
from dataflow.errors import DataFlowError
from dataflow.models.columntypes import DECIMAL_COLLATION

__all__ = ["SqliteDriver"]

_AGAIN_S = 0.02


def _compare_decimals(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


class _Connection(sqlite3.Connection):
    """A connection prepared in its own thread, before anyone uses it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.create_collation(DECIMAL_COLLATION, _compare_decimals)
        self.create_function("dataflow_unhex", 1, bytes.fromhex, deterministic=True)
        self.execute("PRAGMA foreign_keys = ON")
        self._use_wal(float(options.get("timeout", 5.0)))
        self.execute("PRAGMA synchronous = NORMAL")
        self.execute("PRAGMA temp_store = MEMORY")

    def _use_wal(self, limit_s: float) -> None:
        """Switch a file to WAL; SQLite does not wait for others who switch it at once."""
        deadline = time.monotonic() + limit_s
        while self.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
            try:
                self.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_S)


class SqliteDriver(Driver):
    """The driver of the embedded database: many readers, one writer at a time.

    A file is in WAL mode. `:memory:` is one database for all threads and event
    loops of the process, and lasts until `close`.
    """

    name: ClassVar[str] = "sqlite"
    serial_writes: ClassVar[bool] = True

    def __init__(self, *args: Any) -> None:
        """Prepare the dialect; an in-memory database begins to exist."""
        super().__init__(*args)
        self._dialect = aiosqlite_dialect.dialect()
        path = self.address.url.database or ":memory:"
        self.in_memory = path == ":memory:"
        self._keeper: sqlite3.Connection | None = None
        self._path = path
        if self.in_memory:
            self._path = f"file:/dataflow-{uuid.uuid4().hex}?vfs=memdb"
            self._keeper = sqlite3.connect(self._path, uri=True, check_same_thread=False)

    @property
    def dialect(self) -> sa.Dialect:
        return self._dialect

    @property
    def slots(self) -> int:
        return 1 if self.in_memory else super().slots

    def create_engine(self, *, pooled: bool = True) -> AsyncEngine:
        config = self.config
        options: dict[str, Any] = {"poolclass": NullPool}
        if pooled:
            options = {
                "poolclass": AsyncAdaptedQueuePool,
                "pool_size": min(config.pool_size, self.slots),
                "max_overflow": max(0, self.slots - config.pool_size),
                "pool_timeout": config.pool_timeout_s,
                "pool_use_lifo": True,
            }
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=self._path, query=self._query()),
            connect_args={
                "timeout": config.busy_timeout_s,
                "isolation_level": None,
                "factory": _Connection,
                "cached_statements": 256,
            },
            # Every transaction ends explicitly, here and in SQLAlchemy's own sessions.
            pool_reset_on_return=None,
            **options,
        )
        event.listen(engine.sync_engine, "begin", _begin_for_writing)
        return engine

    def _query(self) -> dict[str, str]:
        given = {key: str(value) for key, value in self.address.url.query.items()}
        return {"uri": "true", **given} if self.in_memory else given

    def is_usable(self, connection: Any) -> bool:
        return _alive(connection) and not connection.in_transaction

    async def fetch(self, connection: Any, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        timer = self._deadline(connection)
        try:
            rows: list[Row] = await connection.execute_fetchall(sql, args)
        finally:
            if timer is not None:
                timer.cancel()
        return rows

    async def execute(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        timer = self._deadline(connection)
        try:
            async with connection.execute(sql, args) as cursor:
                return max(int(cursor.rowcount), 0)
        finally:
            if timer is not None:
                timer.cancel()

    async def _execute_many(self, connection: Any, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        async with connection.executemany(sql, rows) as cursor:
            return max(int(cursor.rowcount), 0)

    def _deadline(self, connection: Any) -> asyncio.TimerHandle | None:
        limit = self.config.statement_timeout_s
        if limit is None:
            return None
        return asyncio.get_running_loop().call_later(limit, _interrupt, connection)

    def stopped(self, connection: Any) -> bool:
        """Interrupt until the connection is closed: its thread may not have begun yet."""
        if connection._connection is not None:  # noqa: SLF001 - None once its thread has closed it
            _interrupt(connection)
            asyncio.get_running_loop().call_later(_AGAIN_S, self.stopped, connection)
        return True

    async def begin(self, connection: Any, *, isolation: Isolation | None, read_only: bool) -> None:
        del isolation  # always serializable
        if read_only:
            await self.run_plain(connection, "PRAGMA query_only = ON")
        await self.run_plain(connection, "BEGIN" if read_only else "BEGIN IMMEDIATE")

    async def ended(self, connection: Any, *, read_only: bool) -> None:
        if read_only:
            await self.run_plain(connection, "PRAGMA query_only = OFF")

    async def advance_key(self, connection: Any, table: sa.Table, value: int) -> None:
        """Nothing to do: AUTOINCREMENT goes on above every key."""

    async def run_plain(self, connection: Any, sql: str) -> None:
        await connection.execute_fetchall(sql)

    async def insert_rows(
        self,
        connection: Any,
        table: sa.Table,
        columns: Sequence[sa.Column[Any]],
        rows: Sequence[Sequence[Any]],
    ) -> None:
        await self._execute_many(connection, self._insert(table, columns), rows)

    async def insert_generated(
        self,
        connection: Any,
        table: sa.Table,
        columns: Sequence[sa.Column[Any]],
        rows: Sequence[Sequence[Any]],
    ) -> Sequence[int]:
        # The transaction holds the write lock, so the generated keys have no gaps.
        await self.insert_rows(connection, table, columns, rows)
        ((last,),) = await connection.execute_fetchall("SELECT last_insert_rowid()")
        return range(last - len(rows) + 1, last + 1)

    async def upsert_rows(
        self, connection: Any, plan: UpsertPlan, rows: Sequence[Sequence[Any]]
    ) -> tuple[int, int]:
        conflict = ", ".join(map(self._quoted, plan.conflict))
        target = f"({conflict})" if conflict else ""
        head = f"{self._insert(plan.table, plan.columns)} ON CONFLICT {target} "
        if not plan.update:
            return await self._execute_many(connection, head + "DO NOTHING", rows), 0
        existing = await self._count_existing(connection, plan, rows)
        sets = [f"{self._quoted(c)} = excluded.{self._quoted(c)}" for c in plan.update]
        if plan.increment is not None:
            sets.append(f"{self._quoted(plan.increment)} = {self._quoted(plan.increment)} + 1")
        if plan.revive is not None:
            sets.append(f"{self._quoted(plan.revive)} = NULL")
        await self._execute_many(connection, f"{head}DO UPDATE SET {', '.join(sets)}", rows)
        return len(rows) - existing, existing

    async def _count_existing(
        self, connection: Any, plan: UpsertPlan, rows: Sequence[Sequence[Any]]
    ) -> int:
        places = [plan.columns.index(column) for column in plan.conflict]
        if any(isinstance(row[place], bytes) for row in rows[:1] for place in places):
            return await self._count_one_by_one(connection, plan, rows, places)
        match = " AND ".join(
            f"t.{self._quoted(column)} = j.value ->> {number}"
            for number, column in enumerate(plan.conflict)
        )
        keys = json.dumps([[row[place] for place in places] for row in rows])
        table = self._name(plan.table)
        sql = f"SELECT count(*) FROM json_each(?) AS j CROSS JOIN {table} AS t WHERE {match}"
        ((count,),) = await self.fetch(connection, sql, (keys,))
        return int(count)

    async def _count_one_by_one(
        self,
        connection: Any,
        plan: UpsertPlan,
        rows: Sequence[Sequence[Any]],
        places: Sequence[int],
    ) -> int:
        match = " AND ".join(f"{self._quoted(column)} = ?" for column in plan.conflict)
        sql = f"SELECT count(*) FROM {self._name(plan.table)} WHERE {match}"
        total = 0
        for row in rows:
            ((count,),) = await self.fetch(connection, sql, [row[place] for place in places])
            total += count
        return total

    async def update_rows(
        self, connection: Any, plan: UpdatePlan, rows: Sequence[Sequence[Any]]
    ) -> int:
        sets = [f"{self._quoted(column)} = ?" for column in plan.changed]
        if plan.increment is not None:
            sets.append(f"{self._quoted(plan.increment)} = {self._quoted(plan.increment)} + 1")
        match = " AND ".join(f"{self._quoted(column)} = ?" for column in plan.key)
        if plan.live is not None:
            match += f" AND {self._quoted(plan.live)} IS NULL"
        order = [plan.columns.index(column) for column in (*plan.changed, *plan.key)]
        moved = [tuple(row[place] for place in order) for row in rows]
        sql = f"UPDATE {self._name(plan.table)} SET {', '.join(sets)} WHERE {match}"
        return await self._execute_many(connection, sql, moved)

    def _insert(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> str:
        if not columns:
            return f"INSERT INTO {self._name(table)} DEFAULT VALUES"
        names = ", ".join(map(self._quoted, columns))
        marks = ", ".join("?" * len(columns))
        # The alias keeps a table called "excluded" apart from an upsert's own word.
        return f"INSERT INTO {self._name(table)} AS t ({names}) VALUES ({marks})"

    def _quoted(self, column: sa.Column[Any]) -> str:
        return self._dialect.identifier_preparer.format_column(column)

    def _name(self, table: sa.Table) -> str:
        return self._dialect.identifier_preparer.format_table(table)

    def translate(self, error: BaseException) -> DataFlowError | None:
        if isinstance(error, sqlite3.Error | ValueError | OverflowError):
            return translate_error(error, self.address, self.config)
        return None

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()


def _alive(connection: Any) -> bool:
    return connection._running and connection._connection is not None  # noqa: SLF001 - aiosqlite has no public call that is not a coroutine


def _interrupt(connection: Any) -> None:
    if connection._connection is not None:  # noqa: SLF001 - None once its thread has closed it
        connection._connection.interrupt()  # noqa: SLF001 - the public call is a coroutine around this line


def _begin_for_writing(connection: sa.Connection) -> None:
    read_only = connection.get_execution_options().get("dataflow_read_only")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
