"""SQLAlchemy sessions on the pool, in which models keep their scope."""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Token
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from dataflow.context import ALL_TENANTS, tenant
from dataflow.database.callers import precede_statements, unwatched
from dataflow.database.current import OpenTransactions, activate, open_transactions
from dataflow.database.database import Database
from dataflow.database.lane import Lane
from dataflow.database.threads import thread_engine
from dataflow.database.transaction import Level
from dataflow.errors import DataFlowError, ParameterError, UnscopedStatementError
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG
from dataflow.models.tenancy import checked_tenant
from dataflow.records.flushing import ScopedSession
from dataflow.records.joined import Joined, leave_transactions_alone
from dataflow.records.scope import Scope
from dataflow.records.scoped_sql import Rules, scoped_compiler, scoped_execution

__all__ = ["SessionBlock", "Sessions"]


class Kind(NamedTuple):
    """What a session sees, and whether it only reads."""

    one_tenant: bool
    live: bool
    read_only: bool


class Sessions:
    """Makes the sessions of one database, for coroutines and for threads."""

    def __init__(
        self,
        database: Database,
        scopes: Callable[[], Mapping[str, Scope]],
        prepare_schema: Callable[[], Awaitable[None]],
    ) -> None:
        """Keep the parts; engines are made at first use.

        Args:
            database: Where statements run.
            scopes: Returns the scope of each model by its table's full name.
            prepare_schema: Awaited before a session opens.
        """
        self._database = database
        self.scopes = scopes
        self.prepare_schema = prepare_schema
        self._engines: weakref.WeakKeyDictionary[Any, dict[Kind, Any]] = weakref.WeakKeyDictionary()
        self._joining: weakref.WeakKeyDictionary[Lane, dict[Kind, sa.Engine]]
        self._joining = weakref.WeakKeyDictionary()
        self._left: weakref.WeakSet[Lane] = weakref.WeakSet()
        self._sync: sa.Engine | None = None
        self._lock = threading.Lock()

    def kind(self, chosen: Any, *, include_deleted: bool, read_only: bool) -> Kind:
        """Return what a session for a tenant, or for all, sees."""
        current = tenant.get() if chosen is None else chosen
        return Kind(current is not ALL_TENANTS, not include_deleted, read_only)

    def current(self) -> Level | None:
        """Return the transaction that the caller runs in, or None."""
        return self._database.current()

    def activate(self, level: Level) -> Token[OpenTransactions]:
        """Make a part of a transaction the caller's current one; the token undoes it."""
        return activate(self._database, level)

    def refuse_nested(self) -> None:
        """Refuse a thread's session inside a transaction, whose changes it would not see.

        Raises:
            ParameterError: Saying what to do instead.
        """
        if self.current() is not None:
            raise ParameterError(
                problem="a thread's session has a transaction of its own, and one is open here.",
                advise="open the session outside of db.transaction(), use the verbs inside, or "
                "write a coroutine: db.aio.session() joins the transaction",
            )

    def block(
        self, chosen: Any, *, include_deleted: bool = False, read_only: bool = False
    ) -> SessionBlock:
        """Return a session for `async with`, or to be opened for a thread."""
        return SessionBlock(self, chosen, include_deleted=include_deleted, read_only=read_only)

    async def engine(self, kind: Kind) -> AsyncEngine:
        """Return the engine of the running loop whose statements are scoped."""
        lane = await self._database.lane()
        engines = self._engines.setdefault(lane, {})
        if kind not in engines:
            engines[kind] = await self._scoped(lane, kind)
        found: AsyncEngine = engines[kind]
        return found

    async def joining_engine(self, kind: Kind) -> sa.Engine:
        """Return an engine whose statements are scoped, for a lent connection."""
        lane = await self._database.lane()
        engines = self._joining.setdefault(lane, {})
        if kind not in engines:
            inner = lane.engine.sync_engine
            dialect = self._dialect(inner.dialect, kind)
            leave_transactions_alone(dialect)
            engine = sa.Engine(inner.pool, dialect, inner.url, hide_parameters=True)
            self._listen(engine, kind, joined=True)
            engines[kind] = engine
        return engines[kind]

    async def _scoped(self, lane: Lane, kind: Kind) -> AsyncEngine:
        # The first connection tells the dialect what the server can do.
        lane.give(await lane.take(write=False), write=False)
        inner = lane.engine.sync_engine
        pool: Any = _GatedPool(lane)
        if lane not in self._left:  # event.contains knows pools by `id`, which new ones inherit
            self._left.add(lane)
            event.listen(inner.pool, "checkin", _leave_lane)
        dialect = self._dialect(inner.dialect, kind)
        engine = sa.Engine(pool, dialect, inner.url, hide_parameters=True)
        self._listen(engine, kind)
        return AsyncEngine(_reading(engine) if kind.read_only else engine)

    def sync_engine(self, kind: Kind) -> sa.Engine:
        """Return the engine for threads whose statements are scoped."""
        self._database.check_open()
        with self._lock:
            if self._sync is None:
                self._sync = thread_engine(self._database)
            inner = self._sync
            engines = self._engines.setdefault(self._database, {})
            if kind not in engines:
                dialect = self._dialect(inner.dialect, kind)
                engine = sa.Engine(inner.pool, dialect, inner.url, hide_parameters=True)
                self._listen(engine, kind)
                engines[kind] = _reading(engine) if kind.read_only else engine
        found: sa.Engine = engines[kind]
        return found

    def close(self) -> None:
        """Close the connections of threads."""
        if self._sync is not None:
            self._sync.dispose()

    def _dialect(self, dialect: sa.Dialect, kind: Kind) -> sa.Dialect:
        own: sa.Dialect = unwatched(dialect)
        own.statement_compiler = scoped_compiler(dialect.statement_compiler, self._rules(kind))
        own.execution_ctx_cls = scoped_execution(dialect.execution_ctx_cls)
        return own

    def _rules(self, kind: Kind) -> Rules:
        def scope_of(table: str) -> Scope | None:
            return self.scopes().get(table)

        def shared() -> list[str]:
            scopes = list(self.scopes().items())  # a thread may declare a model meanwhile
            found = [name for name, scope in scopes if scope.tenant is not None]
            return [*found, AUDIT_LOG.name, AUDIT_HEADS.name] if found else []

        return Rules(scope_of, shared, kind.one_tenant, kind.live)

    def _listen(self, engine: sa.Engine, kind: Kind, *, joined: bool = False) -> None:
        self._database.driver.listen(engine, joined=joined)
        rules = self._rules(kind)

        def check(context: Any, statement: str) -> None:
            if context.compiled is None or context.isddl:
                rules.refuse_text(statement)
            elif context.isinsert and "dataflow_checked" not in vars(context):
                _check_owner(context, rules.scope_of)
                context.dataflow_checked = True  # of all its rows, which may come in many parts

        event.listen(engine, "handle_error", _keep_own)
        if kind.one_tenant:
            precede_statements(engine.dialect, check)


def _reading(engine: sa.Engine) -> sa.Engine:
    """Return an engine whose transactions only read."""
    return engine.execution_options(dataflow_read_only=True, postgresql_readonly=True)


class _GatedPool:
    """The lane's pool for SQLAlchemy: whoever asks waits in the lane's queue."""

    def __init__(self, lane: Lane) -> None:
        self._lane = weakref.ref(lane)
        self._pool = lane.engine.sync_engine.pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def connect(self) -> Any:
        lane = self._lane()
        if lane is None:  # its loop has ended
            return self._pool.connect()
        fairy = await_only(lane.take(write=False))
        fairy._connection_record.record_info["dataflow_lane"] = lane  # noqa: SLF001 - shown nowhere else
        return fairy


def _leave_lane(connection: Any, record: Any) -> None:
    lane: Lane | None = record.record_info.pop("dataflow_lane", None)
    if lane is None:
        return
    if connection is not None and not lane.driver.is_usable(record.driver_connection):
        record.invalidate()  # its session was cancelled
    lane.gate.leave()


def _itself(value: Any) -> Any:
    return value


def _keep_own(context: Any) -> BaseException | None:
    """Let our errors through as they are, instead of wrapped in SQLAlchemy's."""
    error: BaseException = context.original_exception
    return error if isinstance(error, DataFlowError) else None


def _check_owner(context: Any, scope_of: Callable[[str], Scope | None]) -> None:
    """Refuse an INSERT of another tenant's records, however its values came about.

    Raises:
        UnscopedStatementError: If a value is another tenant's, or is an expression.
    """
    table = context.compiled.compile_state.dml_table
    scope = scope_of(table.fullname)
    if scope is None or scope.tenant is None:
        return
    name, mine = scope.tenant.column.key, scope.tenant.of_session()
    key, rows = getattr(table.autoincrement_column, "key", None), context.compiled_parameters
    owners, keys = _names_of(name, rows), [] if key is None else _names_of(key, rows)
    same = str if isinstance(mine, str) else _itself
    for values in rows:
        given = [values[owner] for owner in owners]
        if not given or any(owner is None or same(owner) != mine for owner in given):
            raise UnscopedStatementError(
                problem=f"{scope.tenant.name!r} of a new record of {table.fullname!r} is not "
                "the session's tenant."
            )
        if any(values[part] is not None for part in keys):
            raise UnscopedStatementError(
                problem=f"the database generates {key!r} of {table.fullname!r}, whose "
                "conflicts would tell of other tenants."
            )


def _names_of(column: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of a column's parameters; in an INSERT of many VALUES there are many."""
    numbered = re.compile(rf"{re.escape(column)}(_m\d+)?")
    return list(filter(numbered.fullmatch, rows[0])) if rows else []


class SessionBlock:
    """A session for `with` or `async with`; it is closed at the end, and never commits."""

    def __init__(
        self, sessions: Sessions, chosen: Any, *, include_deleted: bool, read_only: bool
    ) -> None:
        """Keep what is asked for; nothing is opened before the block begins."""
        if chosen is not None and chosen is not ALL_TENANTS:
            checked_tenant(chosen)
        self._sessions = sessions
        self._info = {"tenant": chosen, "scopes": sessions.scopes}
        self._include_deleted = include_deleted
        self._read_only = read_only
        self._open: AsyncSession | None = None
        self._joined: Joined | None = None
        self._token: Token[OpenTransactions] | None = None

    def _kind(self) -> Kind:
        if tenant.get() is ALL_TENANTS and self._info["tenant"] is None:
            self._info["tenant"] = ALL_TENANTS  # what it sees is decided now, and stays
        return self._sessions.kind(
            self._info["tenant"],
            include_deleted=self._include_deleted,
            read_only=self._read_only,
        )

    async def _begin(self) -> AsyncSession:
        level = self._sessions.current()
        if level is not None:
            return await self._join(level)
        await self._sessions.prepare_schema()
        return AsyncSession(
            await self._sessions.engine(self._kind()),
            sync_session_class=ScopedSession,
            expire_on_commit=False,
            info=dict(self._info),
        )

    async def _join(self, level: Level) -> AsyncSession:
        """Return a session on the transaction's connection; its commits are savepoints."""
        engine = await self._sessions.joining_engine(self._kind())
        self._joined = Joined(level)
        part, connection = await self._joined.open(engine)
        self._token = self._sessions.activate(part)
        return AsyncSession(
            connection,
            sync_session_class=ScopedSession,
            join_transaction_mode="create_savepoint",
            expire_on_commit=False,
            info=dict(self._info),
        )

    async def open(self) -> AsyncSession:
        """Return an open session, which the caller closes; refused inside a transaction."""
        self._sessions.refuse_nested()
        return await self._begin()

    async def __aenter__(self) -> AsyncSession:
        if self._open is not None:
            raise ParameterError(
                problem="the block of a session is open already.",
                advise="call db.aio.session() anew for another session",
            )
        self._open = await self._begin()
        return self._open

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._token is not None:
            open_transactions.reset(self._token)
            self._token = None
        session, joined = self._open, self._joined
        self._open = self._joined = None
        try:
            if session is not None:
                await session.close()
        finally:
            if joined is not None:
                await joined.close(error)

    def open_sync(self) -> Session:
        """Return an open session for threads, which the caller closes."""
        self._sessions.refuse_nested()
        engine = self._sessions.sync_engine(self._kind())
        return ScopedSession(engine, expire_on_commit=False, info=dict(self._info))
