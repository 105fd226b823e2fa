"""PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from operator import add
from typing import Any, ClassVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from dataflow.database.driver import (
    Columns,
    Isolation,
    Row,
    Rows,
    UpdatePlan,
    UpsertPlan,
)
from dataflow.database.on_conflict import on_conflict
from dataflow.database.postgres_errors import translate_error
from dataflow.database.postgres_sequences import PostgresSequences
from dataflow.database.postgres_sync import create_portal_engine
from dataflow.database.postgres_types import is_copied, is_listed
from dataflow.database.postgres_words import quote
from dataflow.errors import (
    CannotConnectError,
    DatabaseBusyError,
    DataFlowError,
    DataValueError,
    SchemaDriftError,
)

__all__ = ["PostgresDriver"]

UNNEST_ROWS = 500
"""Up to this many rows, arrays in one statement are as fast as a staged COPY."""
_STAGED = "s.ctid"
"""The place of a staged row `s`; rows that were only copied into a table are in order."""

_FOREIGN = (
    asyncio.TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
_CODEC = re.compile(r"codecs[/\\]\w+\.pyx$")
"""Where asyncpg turns values into bytes."""
_SETTLING_S = 1.0
"""Seconds in which a server must answer to a cancel request."""


@contextmanager
def _values_told() -> Iterator[None]:
    """Say what COPY cannot send by our error, as statements do; errors of callers' rows stay."""
    try:
        yield
    except (ValueError, OverflowError, TypeError) as error:
        places = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        if not any(_CODEC.search(place) for place in places):
            raise
        raise DataValueError(detail=str(error)) from error


def _overriding(columns: Columns) -> str:
    """Return what lets keys in that were reserved for an identity, as COPY does by itself."""
    always = any(column.identity is not None and column.identity.always for column in columns)
    return "OVERRIDING SYSTEM VALUE" if always else ""


class PostgresDriver(PostgresSequences):
    """The driver of the main database; bulk work goes through COPY."""

    name: ClassVar[str] = "postgresql"
    estimates: ClassVar[bool] = True
    explain_words: ClassVar[str] = "EXPLAIN"
    passing: ClassVar[tuple[type[DataFlowError], ...]] = (
        *PostgresSequences.passing,
        CannotConnectError,
        DatabaseBusyError,
    )
    migration_prelude: ClassVar[tuple[str, ...]] = ("SET LOCAL lock_timeout = '10s'",)
    schema_lock: ClassVar[str | None] = "SELECT pg_advisory_xact_lock(7305808869231650932)"

    def __init__(self, *args: Any) -> None:
        """Prepare the dialect; opens nothing."""
        super().__init__(*args)
        kind: Any = asyncpg_dialect.dialect  # untyped in SQLAlchemy
        self._dialect: sa.Dialect = kind(dbapi=kind.import_dbapi())  # ranges and bits ask it

    @property
    def dialect(self) -> sa.Dialect:
        return self._dialect

    def create_engine(self, *, pooled: bool = True) -> AsyncEngine:
        config = self.config
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
        if pooled:
            options = {
                "pool_size": config.pool_size,
                "max_overflow": config.max_overflow,
                "pool_timeout": config.pool_timeout_s,
                "pool_use_lifo": True,
            }
        engine = create_async_engine(
            self.address.url.set(drivername="postgresql+asyncpg"),
            connect_args=self._connect_args(),
            poolclass=AsyncAdaptedQueuePool,
            **options,
        )
        self.listen(engine.sync_engine)
        return engine

    def create_sync_engine(self) -> sa.Engine:
        config = self.config
        return create_portal_engine(
            self.address.url,
            connect_args=self._connect_args(),
            pool_size=config.pool_size,
            max_overflow=config.max_overflow,
            pool_timeout=config.pool_timeout_s,
        )

    @contextmanager
    def lent(self, adapter: Any) -> Iterator[None]:
        before, adapter.isolation_level = adapter.isolation_level, "autocommit"
        try:
            yield
        finally:
            adapter.isolation_level = before

    def _connect_args(self) -> dict[str, Any]:
        kept = self.config.statement_cache_size
        options: dict[str, Any] = {
            "timeout": self.config.connect_timeout_s,
            "statement_cache_size": kept,
            "server_settings": {"application_name": "dataflow"},
        }
        if kept == 0:  # sessions must not find their statements on another connection either
            options |= {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
        return options

    def is_usable(self, connection: Any) -> bool:
        return not connection.is_closed() and not connection.is_in_transaction()

    async def fetch(self, connection: Any, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        rows: list[Row] = await connection.fetch(
            sql, *args, timeout=self.config.statement_timeout_s
        )
        return rows

    async def execute(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        status = await connection.execute(sql, *args, timeout=self.config.statement_timeout_s)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def estimate(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        rows = await self.fetch(connection, f"EXPLAIN (FORMAT JSON) {sql}", args)
        plan = rows[0][0]
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return int(plan[0]["Plan"]["Plan Rows"])

    def stopped(self, connection: Any) -> bool:
        """Nothing to do: asyncpg cancels on the server by itself."""
        return False

    def is_stale_plan(self, error: BaseException | None) -> bool:
        return isinstance(error, asyncpg.InvalidCachedStatementError)

    async def settle(self, connection: Any) -> bool:
        # asyncpg has sent a cancel request, and waits for its end before the next statement.
        if connection.is_closed():
            return False
        sql = "ROLLBACK" if self.walled or connection.is_in_transaction() else ""
        try:
            await connection.execute(sql, timeout=_SETTLING_S)
        except Exception:  # noqa: BLE001 - whatever is wrong, the connection is of no more use
            return False
        return True

    async def begin(self, connection: Any, *, isolation: Isolation | None, read_only: bool) -> None:
        sql = "BEGIN"
        if isolation is not None:
            sql += " ISOLATION LEVEL " + isolation.replace("_", " ").upper()
        sql += " READ ONLY" if read_only else ""
        await self.run_plain(connection, self.walled_begin(sql) if self.walled else sql)

    async def ended(self, connection: Any, *, read_only: bool) -> None:
        """Nothing to do: the server's settings ended with the transaction."""

    async def run_plain(self, connection: Any, sql: str) -> None:
        await connection.execute(sql, timeout=self.config.statement_timeout_s)

    async def insert_rows(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        made = self.made(table, columns)
        if columns and (made or self.is_walled(table)):
            source, place, args = await self._source(connection, table, columns, rows)
            names = ", ".join(map(self.quoted, columns))
            sql = (
                f"INSERT INTO {self.table_name(table)} ({', '.join((names, *made))}) "
                f"{_overriding(columns)} SELECT {', '.join((names, *made.values()))} "
                f"FROM {source} AS s ORDER BY {place}"
            )
            async with self.room_for_triggers(connection, table, many=place == _STAGED):
                await self.execute(connection, sql, args)
        elif columns:
            async with self.room_for_triggers(connection, table, many=room > UNNEST_ROWS):
                await self._copy(connection, table.name, columns, rows, schema=table.schema)
        else:
            values = f"({', '.join(made)}) VALUES ({', '.join(made.values())})"
            sql = f"INSERT INTO {self.table_name(table)} {values if made else 'DEFAULT VALUES'}"
            await connection.executemany(sql, rows)
        return ()

    async def _copy(
        self, connection: Any, name: str, columns: Columns, rows: Rows, schema: str | None = None
    ) -> None:
        limit = self.config.statement_timeout_s
        if all(map(is_copied, columns)):
            listed = [column.name for column in columns]
            with _values_told():
                await connection.copy_records_to_table(
                    name, schema_name=schema, columns=listed, records=rows, timeout=limit
                )
        else:
            table = f"{quote(schema)}.{quote(name)}" if schema else quote(name)
            names = ", ".join(map(self.quoted, columns))
            values = ", ".join(f"${n}" for n in range(1, len(columns) + 1))
            sql = f"INSERT INTO {table} ({names}) VALUES ({values})"
            await connection.executemany(sql, rows, timeout=limit)

    async def insert_generated(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        (key,) = table.primary_key.columns
        sequence = await self.sequence_of(connection, table, key)
        if sequence is None:
            raise SchemaDriftError(
                problem=f"column {key.name!r} of {table.fullname!r} makes no keys.",
                advise="give the keys, or make the column an identity",
            )
        first, apart = await connection.fetchrow(
            "SELECT min(n), CASE WHEN max(n) - min(n) + 1 > $1 THEN array_agg(n) END "
            f"FROM (SELECT nextval({sequence}) AS n FROM generate_series(1, $1)) AS reserved",
            room,
            timeout=self.config.statement_timeout_s,
        )
        ids: Sequence[int] = apart or range(first, first + room)
        # One-tuples of ids and the rows are joined without a Python call per row; rows
        # come first, so that no id is taken for a row that does not exist.
        await self.insert_rows(connection, table, [*columns, key], map(add, rows, zip(ids)), room)
        return ids

    async def upsert_rows(self, connection: Any, plan: UpsertPlan, rows: Rows) -> int:
        source, place, args = await self._source(connection, plan.table, plan.columns, rows)
        names = ", ".join(map(self.quoted, plan.columns))
        made = self.made(plan.table, plan.columns)
        conflict = ", ".join(map(self.quoted, plan.conflict))
        # Rows are locked in key order, so that concurrent upserts cannot deadlock.
        choice, order = "", f"ORDER BY {place}"
        if conflict:
            # Sorting what is in order still costs 17 ms for 100,000 rows.
            order = "" if plan.ascends() else f"ORDER BY {conflict}"
        if conflict and plan.repeats():
            choice = f"DISTINCT ON ({conflict})"
            order = f"ORDER BY {conflict}, {place}{' DESC' if plan.update else ''}"
        sql = (
            f"WITH written AS (INSERT INTO {self.table_name(plan.table)} AS t "
            f"({', '.join((names, *made))}) "
            f"SELECT {choice} {', '.join((names, *made.values()))} FROM {source} AS s {order} "
            f"{on_conflict(plan, self.quoted)} RETURNING (xmax = 0) AS fresh) "
            "SELECT count(*) FILTER (WHERE fresh) FROM written"
        )
        async with self.room_for_triggers(connection, plan.table, many=place == _STAGED):
            return int((await self.fetch(connection, sql, args))[0][0])

    async def update_rows(self, connection: Any, plan: UpdatePlan, rows: Rows) -> int:
        source, place, args = await self._source(connection, plan.table, plan.columns, rows)
        table = self.table_name(plan.table)
        key = ", ".join(map(self.quoted, plan.key))
        latest = f"SELECT * FROM {source} AS s ORDER BY {key}"
        if plan.repeats():
            choice = f"DISTINCT ON ({key})"
            latest = f"SELECT {choice} * FROM {source} AS s ORDER BY {key}, {place} DESC"
        sets = [f"{self.quoted(c)} = s.{self.quoted(c)}" for c in plan.changed]
        if plan.increment is not None:
            sets.append(f"{self.quoted(plan.increment)} = t.{self.quoted(plan.increment)} + 1")
        match = " AND ".join(f"t.{self.quoted(c)} = s.{self.quoted(c)}" for c in plan.key)
        if plan.live is not None:
            match += f" AND t.{self.quoted(plan.live)} IS NULL"
        # Without hash joins the plan walks the sorted rows, and locks in key order.
        await self.run_plain(connection, "SET LOCAL enable_hashjoin = off")
        change = f"UPDATE {table} AS t SET {', '.join(sets)} FROM ({latest}) AS s WHERE {match}"
        async with self.room_for_triggers(connection, plan.table, many=place == _STAGED):
            count = await self.execute(connection, change, args)
        await self.run_plain(connection, "SET LOCAL enable_hashjoin = on")
        return count

    async def _source(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows
    ) -> tuple[str, str, list[Any]]:
        """Return a FROM item `s` that yields the rows, their order in it, and its arguments."""
        names = ", ".join(map(self.quoted, columns))
        iterator = iter(rows)
        head = list(islice(iterator, UNNEST_ROWS + 1))
        if len(head) <= UNNEST_ROWS and all(map(is_listed, columns)):
            arrays = ", ".join(
                f"${n}::{column.type.compile(self._dialect)}[]"
                for n, column in enumerate(columns, 1)
            )
            source = f"unnest({arrays}) WITH ORDINALITY AS u({names}, dataflow_ord)"
            lists = [list(values) for values in zip(*head, strict=True)]
            args = lists or [[] for _ in columns]
            return f"(SELECT * FROM {source})", "s.dataflow_ord", args
        digest = hashlib.sha256(f"{table.fullname} {names}".encode()).hexdigest()[:16]
        stage = f"dataflow_stage_{digest}"
        await self.run_plain(
            connection,
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ON COMMIT DROP AS "
            f"SELECT {names} FROM {self.table_name(table)} WITH NO DATA; TRUNCATE {stage}",
        )
        await self._copy(connection, stage, columns, chain(head, iterator))
        return stage, _STAGED, []

    def translate(self, error: BaseException) -> DataFlowError | None:
        if isinstance(error, _FOREIGN):
            if self.walled:
                self.name_columns(error)
            return translate_error(error, self.address, self.config)
        return None
