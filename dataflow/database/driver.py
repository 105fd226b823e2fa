"""What the rest of DataFlow asks of a database driver; one subclass per database.

Connections here are the driver's own (asyncpg's, aiosqlite's), taken from
SQLAlchemy's pool. Rows come back as the driver makes them: anything with values in
the order of the statement's columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import TypeEngine

from dataflow.config import DataFlowConfig
from dataflow.context import Caller, Wall
from dataflow.database.callers import watch_sessions
from dataflow.database.guard import AuditPolicy, Guard
from dataflow.database.url import Address
from dataflow.errors import (
    ConfigurationError,
    ConnectionLostError,
    DataFlowError,
    DeadlockError,
    SerializationFailureError,
)
from dataflow.models.auditlog import prepare_for

__all__ = ["Columns", "Driver", "Isolation", "Row", "Rows", "Support", "UpdatePlan", "UpsertPlan"]

Row = Any
Columns = Sequence[sa.Column[Any]]
Rows = Iterable[tuple[Any, ...]]
Isolation = Literal["read_committed", "repeatable_read", "serializable"]


def _never() -> bool:
    return False


class UpsertPlan(NamedTuple):
    """How a bulk upsert resolves conflicts.

    Attributes:
        columns: Columns of the given rows, in their order.
        conflict: Columns that decide whether a record exists.
        update: Columns set on a conflict; empty: existing records stay as they are.
        repeats: Tells, once the rows are read, whether some of them have the same key.
        increment: A version column that grows by one with each update.
        revive: A soft-delete column that an update sets to NULL.
        ascends: Tells, once the rows are read, whether they came in the order in which
            the database sorts their keys.
        among: A soft-delete column; only records where it is NULL conflict.
    """

    table: sa.Table
    columns: tuple[sa.Column[Any], ...]
    conflict: tuple[sa.Column[Any], ...]
    update: tuple[sa.Column[Any], ...]
    repeats: Callable[[], bool]
    increment: sa.Column[Any] | None = None
    revive: sa.Column[Any] | None = None
    ascends: Callable[[], bool] = _never
    among: sa.Column[Any] | None = None

    @property
    def touched(self) -> tuple[sa.Column[Any], ...]:
        """The columns that are set on a conflict, the maintained ones included."""
        more = (self.increment, self.revive) if self.update else ()
        return (*self.update, *(column for column in more if column is not None))


class UpdatePlan(NamedTuple):
    """How a bulk update finds and changes records.

    Attributes:
        columns: Columns of the given rows, in their order, the key included.
        key: Columns that name a record.
        repeats: Tells, once the rows are read, whether some of them have the same key.
        increment: A version column that grows by one.
        live: A soft-delete column that must be NULL.
    """

    table: sa.Table
    columns: tuple[sa.Column[Any], ...]
    key: tuple[sa.Column[Any], ...]
    repeats: Callable[[], bool]
    increment: sa.Column[Any] | None = None
    live: sa.Column[Any] | None = None

    @property
    def changed(self) -> tuple[sa.Column[Any], ...]:
        """The columns that are set; versions that rows bring are those that they were read with."""
        kept = {*self.key, self.increment}
        return tuple(column for column in self.columns if column not in kept)

    @property
    def touched(self) -> tuple[sa.Column[Any], ...]:
        """The columns that are set, the maintained one included."""
        return self.changed if self.increment is None else (*self.changed, self.increment)


class DeletePlan(NamedTuple):
    """A bulk delete of records that were found before, in the same transaction.

    Attributes:
        key: Columns that name a record.
        keys: Their values in the records.
        sql: The statement that deletes them.
        args: Its arguments.
    """

    table: sa.Table
    key: tuple[sa.Column[Any], ...]
    keys: Sequence[Row]
    sql: str
    args: Sequence[Any]


class Support(NamedTuple):
    """Something that triggers need in the database.

    Attributes:
        source: What tells one version from another.
        create: The statement that creates it, or puts it in the place of another version.
        drop: The statement that removes it; empty where it goes with something else.
    """

    source: str
    create: str
    drop: str


class Driver(ABC):
    """Operations on one kind of database."""

    name: ClassVar[str]
    serial_writes: ClassVar[bool] = False
    """Whether one writer at a time is all the database can do."""

    estimates: ClassVar[bool] = False
    """Whether the planner can tell about how many records a query returns."""

    explain_words: ClassVar[str]
    """What stands before a statement whose plan is wanted."""

    passing: ClassVar[tuple[type[DataFlowError], ...]] = (
        ConnectionLostError,
        DeadlockError,
        SerializationFailureError,
    )
    """Errors after which the same call may succeed at once."""

    before_rebuild: ClassVar[tuple[str, ...]] = ()
    """Statements before the transaction in which tables are built anew; empty where the
    database can alter them."""

    migration_prelude: ClassVar[tuple[str, ...]] = ()
    """Statements at the beginning of a migration's transaction."""

    schema_lock: ClassVar[str | None] = None
    """Statement that serialises schema changes until its transaction ends; None where
    beginning a transaction does so already."""

    def __init__(self, address: Address, config: DataFlowConfig) -> None:
        """Keep the address; opens nothing.

        Raises:
            ConfigurationError: If the database cannot keep tenants apart, and should.
        """
        prepare_for(self.name)
        self.address = address
        self.config = config
        self.walled = config.row_level_security
        if self.walled and not self.has_policies:
            raise ConfigurationError(
                problem=f"row_level_security needs PostgreSQL; {self.name} has no policies.",
                advise="leave the setting out here: models keep tenants apart without it, too",
            )
        self.audit = AuditPolicy(walled=self.walled)

    @property
    @abstractmethod
    def dialect(self) -> sa.Dialect:
        """The dialect that compiles statements; usable without a connection."""

    @abstractmethod
    def create_engine(self, *, pooled: bool = True) -> AsyncEngine:
        """Return a new engine for the running loop; of one connection if it is not pooled."""

    @abstractmethod
    def create_sync_engine(self) -> sa.Engine:
        """Return a new engine for threads, for SQLAlchemy's sync sessions."""

    def listen(self, engine: sa.Engine, *, joined: bool = False) -> None:
        """Add what every engine on this database needs to hear.

        Args:
            engine: The engine.
            joined: Whether its connections are in someone else's transaction.
        """
        watch_sessions(self, engine, joined=joined)

    @contextmanager
    def lent(self, adapter: Any) -> Iterator[None]:
        """Keep SQLAlchemy's adapter of a connection from beginning a transaction of its own."""
        yield

    @property
    def slots(self) -> int:
        """How many connections of one loop may be in use at once."""
        return self.config.pool_size + self.config.max_overflow

    @abstractmethod
    def is_usable(self, connection: Any) -> bool:
        """Whether an idle connection may be used: open, and in no transaction."""

    @abstractmethod
    async def fetch(self, connection: Any, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        """Run one statement and return its rows."""

    @abstractmethod
    async def execute(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        """Run one statement and return how many records it touched."""

    async def estimate(self, connection: Any, sql: str, args: Sequence[Any]) -> int:
        """Return about how many records a query returns; see `estimates`."""
        raise NotImplementedError

    def whole_limits(self, kind: TypeEngine[Any]) -> tuple[int, int] | None:
        """Return the least and greatest number of a column narrower than 64 bits; else None."""
        return None

    @abstractmethod
    def stopped(self, connection: Any) -> bool:
        """Stop what a cancelled call left running; return whether to discard the connection."""

    def is_stale_plan(self, error: BaseException | None) -> bool:
        """Whether a statement failed because a table was altered since it was prepared."""
        return False

    async def settle(self, connection: Any) -> bool:
        """Stop what a late call left running; return, in short time, whether all is well again."""
        return not self.stopped(connection)

    @abstractmethod
    async def begin(self, connection: Any, *, isolation: Isolation | None, read_only: bool) -> None:
        """Open a transaction on the server."""

    @abstractmethod
    async def ended(self, connection: Any, *, read_only: bool) -> None:
        """Undo what `begin` set on the connection, after the transaction's end."""

    @abstractmethod
    async def advance_key(self, connection: Any, table: sa.Table, value: int) -> None:
        """Let generated keys go on above a key that a caller gave."""

    @abstractmethod
    async def run_plain(self, connection: Any, sql: str) -> None:
        """Run a statement without parameters or rows, such as COMMIT."""

    # Triggers, and what they must be told.

    caller_terms: ClassVar[tuple[sa.ColumnElement[Any], ...]] = ()
    """Expressions in a statement that tell the triggers who makes its changes."""

    first_caller: ClassVar[Caller | None] = None
    """Who makes changes when a transaction begins; None: whoever did before."""

    @abstractmethod
    def triggers(self, guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
        """Return `{trigger: statements that create it}`; names change with definitions."""

    @abstractmethod
    def trigger_support(self, schema: str, *, audited: bool) -> dict[str, Support]:
        """Return what triggers need, by name; some only audit needs."""

    @abstractmethod
    def support_there(self, connection: sa.Connection) -> dict[str, Support]:
        """Return what the database has of it."""

    @abstractmethod
    def trigger_drop(self, name: str, table: sa.Table) -> str:
        """Return the statement that removes a trigger."""

    triggers_query: ClassVar[str]
    """Query for the triggers of all tables: schema, table, name."""

    sources_query: ClassVar[str]
    """Query for the definitions of triggers: name, and one row for each statement."""

    @abstractmethod
    async def tell_caller(self, connection: Any, caller: Caller) -> None:
        """Tell the triggers who makes the changes of the open transaction from now on."""

    @abstractmethod
    def note_caller(self, connection: Any) -> None:
        """Tell the triggers who makes the changes of the one statement that follows."""

    @abstractmethod
    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        """Tell the triggers who makes the changes of a SQLAlchemy session from now on."""

    @abstractmethod
    async def record_entry(self, connection: Any, values: Mapping[str, Any]) -> None:
        """Add an entry to the audit log, in an open transaction."""

    @abstractmethod
    def from_json(self, kind: TypeEngine[Any], value: Any) -> Any:
        """Return a value of a record in the audit log as the driver would return it."""

    @abstractmethod
    def key_text(self, kind: TypeEngine[Any], value: Any) -> str:
        """Return a key, as the driver takes it, in the form in which triggers write it."""

    # Policies of tables that tenants share, and what they must be told.

    has_policies: ClassVar[bool] = False
    """Whether the database can keep tenants apart by itself."""

    bypass_query: ClassVar[str] = ""
    """Query whose one value says whether the user is above all policies."""

    async def run_walled(
        self, connection: Any, call: Callable[..., Awaitable[Any]], *args: Any
    ) -> Any:
        """Await `call(connection, *args)`, one statement, behind the wall of its tenant."""
        raise NotImplementedError

    async def tell_wall(self, connection: Any, wall: Wall) -> None:
        """Tell the policies whose records the open transaction means from now on."""
        raise NotImplementedError

    def wall_session(self, connection: sa.Connection, wall: Wall) -> None:
        """Tell the policies whose records a SQLAlchemy session means from now on."""
        raise NotImplementedError

    # Bulk: all run inside an open transaction; rows are encoded for the driver, and lazy.

    @abstractmethod
    async def insert_rows(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        """Insert rows as they come; any conflict is an error. Returns nothing of use."""

    @abstractmethod
    async def insert_generated(
        self, connection: Any, table: sa.Table, columns: Columns, rows: Rows, room: int
    ) -> Sequence[int]:
        """Insert at most `room` rows without their generated key.

        Returns:
            Keys in the order of the rows; there may be more than rows.
        """

    @abstractmethod
    async def upsert_rows(self, connection: Any, plan: UpsertPlan, rows: Rows) -> int:
        """Insert or update rows; return how many are new.

        Of rows with the same key the last wins, or the first if nothing is updated.
        """

    @abstractmethod
    async def update_rows(self, connection: Any, plan: UpdatePlan, rows: Rows) -> int:
        """Change the records named by rows; return how many exist. The last row wins."""

    async def delete_found(self, connection: Any, plan: DeletePlan) -> int:
        """Delete records; return how many."""
        return await self.execute(connection, plan.sql, plan.args)

    def least_by_key(self, table: sa.Table) -> int | None:
        """Return how many records are better changed by their keys than by a filter, or None."""
        del table
        return None

    @abstractmethod
    def translate(self, error: BaseException) -> DataFlowError | None:
        """Return our error for the driver's, or None if it is not the driver's."""

    async def close(self) -> None:
        """Release what the driver itself holds."""
        return
