"""Who makes the changes of SQLAlchemy's own sessions and connections, and for which tenant."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import PoolProxiedConnection

from dataflow.context import CLOSED, Caller, Wall, current_caller, wall_of
from dataflow.database.guard import AuditPolicy

__all__ = ["WALL", "precede_statements", "unwatched", "watch_sessions"]

_TOLD = "dataflow_caller"
WALL = "dataflow_wall"
"""Where a pooled connection's `info` keeps what its transaction was told; None: in doubt."""
_GOING_BACK = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*+(?:ROLLBACK|ABORT)\b", re.IGNORECASE | re.DOTALL
)
"""A statement that undoes what was told before it, and may come after a failure."""


class Tells(Protocol):
    """What a driver does for sessions."""

    audit: AuditPolicy
    first_caller: ClassVar[Caller | None]
    walled: bool

    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        """Tell the triggers who makes the changes from now on."""

    def wall_session(self, connection: sa.Connection, wall: Wall) -> None:
        """Tell the policies whose records are meant from now on."""


def unwatched(dialect: Any) -> Any:
    """Return a copy of a dialect that is not watched, for another engine.

    SQLAlchemy caches statements per dialect, so what a copy compiles stays its own.
    """
    own = copy.copy(dialect)
    for name in ("dispatch", "do_begin", "do_commit", "do_rollback"):
        vars(own).pop(name, None)
    return own


def precede_statements(dialect: sa.Dialect, call: Callable[[Any, str], None]) -> None:
    """Let every statement be preceded by a call with its execution context and its text.

    Listeners of engines would be joined anew for every connection, which takes as long
    as a tenth of a read by key; those of dialects are there already.
    """

    def before(cursor: Any, statement: str, *rest: Any) -> None:
        del cursor
        call(rest[-1], statement)

    for way in ("do_execute", "do_executemany", "do_execute_no_params"):
        event.listen(dialect, way, before)


def watch_sessions(driver: Tells, engine: sa.Engine, *, joined: bool = False) -> None:
    """Let statements of an engine's connections be preceded by their caller and tenant.

    Args:
        driver: Whose connections they are.
        engine: Where the statements run.
        joined: Whether transactions are open already when they begin here, so that
            someone else may have been named; they are not begun again.
    """
    dialect = engine.dialect
    begin = dialect.do_begin

    def forget(connection: PoolProxiedConnection) -> None:
        connection.info.pop(_TOLD, None)
        connection.info[WALL] = CLOSED
        begin(connection)

    def tell(context: Any, statement: str) -> None:
        connection: sa.Connection = context.root_connection
        # Outside of transactions, SQLAlchemy asks a new server what it can do.
        if not (driver.audit.used or driver.walled) or not connection.in_transaction():
            return
        if _GOING_BACK.match(statement):
            _doubt(connection.connection)
            return
        if driver.audit.used:
            _tell_caller(driver, connection)
        if driver.walled:
            _tell_wall(driver, connection)

    dialect.do_begin = _doubt if joined else forget  # type: ignore[assignment,method-assign]  # of this dialect alone
    precede_statements(dialect, tell)


def _doubt(connection: PoolProxiedConnection) -> None:
    connection.info[_TOLD] = connection.info[WALL] = None


def _tell_caller(driver: Tells, connection: sa.Connection) -> None:
    caller = current_caller()
    if caller != connection.info.get(_TOLD, driver.first_caller):
        connection.info[_TOLD] = caller  # first: telling is a statement, too
        driver.tell_session(connection, caller)


def _tell_wall(driver: Tells, connection: sa.Connection) -> None:
    wall = wall_of(connection.get_execution_options().get("dataflow_tenant"))
    if wall != connection.info.get(WALL):
        connection.info[WALL] = wall  # first: telling is a statement, too
        driver.wall_session(connection, wall)
