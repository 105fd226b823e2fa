"""SQLite through aiosqlite: one thread per connection, one hop per statement."""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import chain, islice
from operator import itemgetter
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import aiosqlite as aiosqlite_dialect
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool

from dataflow.context import NOBODY, Caller
from dataflow.database.driver import (
    Columns,
    DeletePlan,
    Isolation,
    Row,
    Rows,
    UpdatePlan,
    UpsertPlan,
)
from dataflow.database.sqlite_aggregates import AGGREGATES
from dataflow.database.sqlite_audit import SqliteAudit
from dataflow.database.sqlite_batches import LEAST, BulkAudit
from dataflow.database.sqlite_connection import Patience, open_connection
from dataflow.database.sqlite_errors import translate_error
from dataflow.database.sqlite_functions import FUNCTIONS
from dataflow.database.sqlite_matching import Matched, matching
from dataflow.database.sqlite_statements import (
    ROWS_AT_ONCE,
    has_unique,
    insert_sql,
    many_at_once,
    named,
    table_name,
    update_sql,
    upsert_sql,
)
from dataflow.database.sqlite_transactions import own_transactions
from dataflow.database.sqlite_triggers import AUDIT_FUNCTIONS, AUDITING
from dataflow.errors import ConfigurationError, DataFlowError
from dataflow.models.columntypes import DECIMAL_COLLATION

__all__ = ["SqliteConnection", "SqliteDriver", "add_functions"]

_AGAIN_S = 0.02
_PART_ROWS = 5_000
"""Rows that are changed, and written down, at once."""
_PARTS_TOGETHER = 5
"""Of them, how many go to the connection's thread with one hop, if they are audited."""
_FINDING = frozenset({int, str, bytes})
"""Types of values that are found again as they were given."""
_LEAST_VERSION = (3, 38)
"""RETURNING came with 3.35, the operators -> and ->> with 3.38."""


def _compare_decimals(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


class _Caller:
    """Who makes the changes of a connection; its triggers ask."""

    actor: str | None = None
    correlation_id: str | None = None

    def is_now(self, caller: Caller) -> None:
        self.actor, self.correlation_id = caller[0] or None, caller[1] or None


def add_functions(connection: sqlite3.Connection) -> None:
    """Add what our statements call to a connection, in its own thread."""
    connection.create_collation(DECIMAL_COLLATION, _compare_decimals)
    for name, (count, function) in (FUNCTIONS | AUDIT_FUNCTIONS).items():
        connection.create_function(name, count, function, deterministic=True)
    for name, (count, aggregate) in AGGREGATES.items():
        connection.create_aggregate(name, count, aggregate)


class SqliteConnection(sqlite3.Connection):
    """A connection prepared in its own thread, before anyone uses it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Open it, and set what differs from SQLite's defaults."""
        super().__init__(*args, **options)
        caller = self.caller = _Caller()
        self.read_only = False
        """Whether SQLAlchemy's transactions here only read."""
        self.create_function("dataflow_actor", 0, lambda: caller.actor)
        self.create_function("dataflow_correlation_id", 0, lambda: caller.correlation_id)
        self.create_function(AUDITING, 0, lambda: True)
        add_functions(self)
        self.execute("PRAGMA foreign_keys = ON")
        self.execute("PRAGMA recursive_triggers = ON")  # REPLACE deletes, and must say so
        self.execute("PRAGMA case_sensitive_like = ON")  # as on every other database
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


class SqliteDriver(SqliteAudit):
    """The driver of the embedded database: many readers, one writer at a time.

    A file is in WAL mode. `:memory:` is one database for all threads and event
    loops of the process, and lasts until `close`.
    """

    name: ClassVar[str] = "sqlite"
    serial_writes: ClassVar[bool] = True
    explain_words: ClassVar[str] = "EXPLAIN QUERY PLAN"
    before_rebuild: ClassVar[tuple[str, ...]] = ("PRAGMA foreign_keys = OFF",)

    def __init__(self, *args: Any) -> None:
        """Prepare the dialect; an in-memory database begins to exist."""
        super().__init__(*args)
        if sqlite3.sqlite_version_info < _LEAST_VERSION:
            least, found = ".".join(map(str, _LEAST_VERSION)), sqlite3.sqlite_version
            raise ConfigurationError(
                problem=f"SQLite {least} or later is needed, and this Python brings {found}.",
                advise="use a Python with its own SQLite, such as those of uv",
            )
        self._dialect = aiosqlite_dialect.dialect()
        path = self.address.url.database or ":memory:"
        self.in_memory = path == ":memory:"
        self._forget: Callable[[], Any] | None = None
        self._path = path
        if self.in_memory:
            self._path = f"file:/dataflow-{uuid.uuid4().hex}?vfs=memdb"
            keeper = sqlite3.connect(self._path, uri=True, check_same_thread=False)
            self._forget = weakref.finalize(self, keeper.close)

    @property
    def dialect(self) -> sa.Dialect:
        return self._dialect

    @property
    def slots(self) -> int:
        return 1 if self.in_memory else super().slots

    def create_engine(self, *, pooled: bool = True) -> AsyncEngine:
        config = self.config
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
        if pooled:
            options = {
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
                "factory": SqliteConnection,
                "async_creator_fn": partial(
                    open_connection, Patience(reads_here=not self.in_memory)
                ),
                "cached_statements": 256,
            },
            # Every transaction ends explicitly, here and in SQLAlchemy's own sessions.
            pool_reset_on_return=None,
            poolclass=AsyncAdaptedQueuePool,
            **options,
        )
        self.listen(engine.sync_engine)
        return engine

    def create_sync_engine(self) -> sa.Engine:
        config = self.config
        engine = sa.create_engine(
            URL.create("sqlite+pysqlite", database=self._path, query=self._query()),
            connect_args={
                "timeout": config.busy_timeout_s,
                "isolation_level": None,
                "factory": SqliteConnection,
                "check_same_thread": False,
            },
            poolclass=QueuePool,
            pool_size=config.pool_size,
            max_overflow=config.max_overflow,
            pool_timeout=config.pool_timeout_s,
            pool_reset_on_return=None,
        )
        self.listen(engine)
        return engine

    def listen(self, engine: sa.Engine, *, joined: bool = False) -> None:
        if not joined:
            own_transactions(engine.dialect)
        super().listen(engine, joined=joined)

    def _query(self) -> dict[str, str]:
        given = {key: str(value) for key, value in self.address.url.query.items()}
        return {"uri": "true", **given} if self.in_memory else given

    def is_usable(self, connection: Any) -> bool:
        return connection.open and not connection.left and not connection.in_transaction

    async def fetch(self, connection: Any, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        rows: list[Row] = await connection.fetch(sql, args, self.config.statement_timeout_s)
        return rows

    async def execute(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        return int(await connection.count(sql, args, self.config.statement_timeout_s))

    def stopped(self, connection: Any) -> bool:
        connection.leave()
        return True

    async def begin(self, connection: Any, *, isolation: Isolation | None, read_only: bool) -> None:
        del isolation  # always serializable
        connection.caller.is_now(NOBODY)
        if read_only:
            await self.run_plain(connection, "PRAGMA query_only = ON")
        await self.run_plain(connection, "BEGIN" if read_only else "BEGIN IMMEDIATE")

    async def ended(self, connection: Any, *, read_only: bool) -> None:
        if read_only:
            await self.run_plain(connection, "PRAGMA query_only = OFF")

    async def advance_key(self, connection: Any, table: sa.Table, value: int) -> None:
        """Nothing to do: AUTOINCREMENT goes on above every key."""

    async def run_plain(self, connection: Any, sql: str) -> None:
        await connection.fetch(sql, (), None)

    async def insert_rows(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        await self._insert_all(connection, table, columns, rows)
        return ()

    async def _insert_all(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows
    ) -> int:
        audit = self._bulk_audit(connection, table)
        sql = partial(insert_sql, table, columns)

        def insert(part: list[Row]) -> int:
            change = partial(many_at_once, connection.raw, part, sql)
            keys = _whole_keys(table, columns, part)
            mixed = keys is not None and None in keys  # neither named nor at the end
            if audit is None:
                change()
            elif mixed:
                audit.by_triggers(change)
            else:
                audit.insert(columns, part, keys, change)
            return len(part)

        return await _run_parts(connection, audit, insert, rows)

    def _bulk_audit(
        self, connection: Any, table: sa.Table, changed: Columns = ()
    ) -> BulkAudit | None:
        """Return what audits rows at once, where the table is audited."""
        guard = self.audit.guard_of(self.audit.specs[table]) if self.audit.watches(table) else None
        if guard is None or not {*guard.key, guard.tenant}.isdisjoint(changed):
            return None
        return BulkAudit(connection.raw, guard, changed)

    async def insert_generated(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        # The transaction holds the write lock, so the generated keys have no gaps.
        total = await self._insert_all(connection, table, columns, rows)
        (key,) = table.primary_key.columns
        sql = f"SELECT max({named(key)}) FROM {table_name(table)}"
        ((last,),) = await connection.fetch(sql, (), None)
        return range(last - total + 1, last + 1)

    async def upsert_rows(self, connection: Any, plan: UpsertPlan, rows: Rows) -> int:
        audit = self._bulk_audit(connection, plan.table, plan.touched)
        raw, sql = connection.raw, partial(upsert_sql, plan)

        def upsert(part: list[Row]) -> int:
            keys = _conflicting(plan, part)
            last = list(keys.values()) if plan.update else part  # the later of two wins
            change = partial(many_at_once, raw, last, sql)
            return self._upsert_part(raw, plan, keys, change, audit)

        return await _run_parts(connection, audit, upsert, rows)

    def _upsert_part(
        self,
        raw: sqlite3.Connection,
        plan: UpsertPlan,
        rows: Mapping[Any, Row],
        upsert: Callable[[], int],
        audit: BulkAudit | None,
    ) -> int:
        """Insert or update records, audited or not, and return how many are new."""
        existing = self._existing(plan, rows)
        new = 0
        if plan.update:
            source = existing.source
            found = raw.execute(f"SELECT count(*) {source.sql}", source.arguments).fetchone()
            new = len(rows) - int(found[0])
        if audit is not None and _decides(plan, rows):
            changed = audit.upsert(list(rows.values()), existing, upsert)
        else:
            changed = upsert() if audit is None else audit.by_triggers(upsert)
        return new if plan.update else changed

    def _existing(self, plan: UpsertPlan, keys: Collection[Any]) -> Matched:
        """Return the records that conflict with some keys."""
        matched = matching(plan.table, plan.conflict, list(keys))
        if plan.among is None:
            return matched
        return matched.but(f"t.{named(plan.among)} IS NULL")

    async def update_rows(self, connection: Any, plan: UpdatePlan, rows: Rows) -> int:
        key = itemgetter(*(plan.columns.index(column) for column in plan.key))
        order = [plan.columns.index(column) for column in (*plan.changed, *plan.key)]
        move, sql = itemgetter(*order), partial(update_sql, plan)
        # A statement for many rows takes them in its own order, which unique values may not bear.
        at_once = 1 if has_unique(plan.table, plan.changed) else ROWS_AT_ONCE
        shifting = plan.live in set(plan.changed)
        audit = None if shifting else self._bulk_audit(connection, plan.table, plan.touched)

        def update(part: list[Row]) -> int:
            latest = {key(row): row for row in part}
            moved = [move(row) for row in latest.values()]
            change = partial(many_at_once, connection.raw, moved, sql, at_once)
            if audit is None:
                return change()
            if not _finds(plan.key, latest):
                return audit.by_triggers(change)
            return audit.update(moved, self._found(plan, list(latest)), plan, change)

        return await _run_parts(connection, audit, update, rows)

    def _found(self, plan: UpdatePlan, keys: Sequence[Any]) -> Matched:
        """Return the records that an update finds."""
        matched = matching(plan.table, plan.key, keys)
        return matched if plan.live is None else matched.but(f"t.{named(plan.live)} IS NULL")

    def least_by_key(self, table: sa.Table) -> int | None:
        return LEAST if self.audit.watches(table) else None  # so that they share entries

    async def delete_found(self, connection: Any, plan: DeletePlan) -> int:
        audit = self._bulk_audit(connection, plan.table)
        keys = [key for (key,) in plan.keys] if len(plan.key) == 1 else plan.keys
        if audit is None or not _finds(plan.key, keys):
            return await self.execute(connection, plan.sql, plan.args)
        starts = range(0, len(keys), _PART_ROWS)
        parts = [matching(plan.table, plan.key, keys[n : n + _PART_ROWS]) for n in starts]
        change = partial(_changed, connection.raw, plan.sql, plan.args)
        delete = partial(audit.delete, plan.keys, parts, change)
        return int(await connection.work(audit.together, [delete]))

    def translate(self, error: BaseException) -> DataFlowError | None:
        if isinstance(error, sqlite3.Error | ValueError | OverflowError):
            return translate_error(error, self.address, self.config)
        return None

    async def close(self) -> None:
        if self._forget is not None:
            self._forget()


async def _run_parts(
    connection: Any, audit: BulkAudit | None, change: Callable[[list[Row]], int], rows: Rows
) -> int:
    """Make a change to parts of rows in the connection's thread, and return its sum.

    Some audited parts go there together; others go one by one, and the writer can be left.
    """
    iterator, total = iter(rows), 0
    changes: list[Callable[[], int]] = []
    while part := list(islice(iterator, _PART_ROWS)):
        if audit is None:
            total += await connection.work(change, part)
            continue
        changes.append(partial(change, part))
        if len(changes) == _PARTS_TOGETHER:
            total += await connection.work(audit.together, changes)
            changes = []
        else:
            await asyncio.sleep(0)  # making rows takes a while
    return total + (await connection.work(audit.together, changes) if audit and changes else 0)


def _changed(raw: sqlite3.Connection, sql: str, args: Sequence[Any]) -> int:
    return max(int(raw.execute(sql, args).rowcount), 0)


def _conflicting(plan: UpsertPlan, rows: Sequence[Row]) -> dict[Any, Row]:
    """Return the last row of each key; a tuple, if several columns decide."""
    places = [plan.columns.index(column) for column in plan.conflict]
    return dict(zip(map(itemgetter(*places), rows), rows, strict=True)) if places else {}


def _finds(columns: Columns, keys: Collection[Any]) -> bool:
    """Whether values find records wherever they are; JSON might change others."""
    parts = keys if len(columns) == 1 else chain.from_iterable(keys)
    return _FINDING.issuperset(map(type, parts))


def _decides(plan: UpsertPlan, keys: Collection[Any]) -> bool:
    """Whether what conflicts surely finds its records."""
    simple = all(isinstance(c.type, sa.Integer | sa.String | sa.Uuid) for c in plan.conflict)
    return bool(plan.conflict) and simple and _finds(plan.conflict, keys)


def _whole_keys(table: sa.Table, columns: Columns, rows: Sequence[Row]) -> list[Any] | None:
    """Return the keys of rows that bring whole numbers; all others are added at the end.

    What a key means does not matter: a duration is a whole number, too, and then the
    number of its row.
    """
    (key, *more) = table.primary_key.columns
    if more or key not in set(columns):
        return None
    place = list(columns).index(key)
    keys = [row[place] for row in rows]
    return keys if any(type(value) is int for value in keys) else None
