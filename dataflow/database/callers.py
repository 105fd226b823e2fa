"""Who makes the changes of SQLAlchemy's own sessions and connections, and for which tenant."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy import event

from dataflow.context import CLOSED, Caller, Wall, current_caller, wall_of
from dataflow.database.guard import AuditPolicy

__all__ = ["WALL", "watch_sessions"]

_TOLD = "dataflow_caller"
WALL = "dataflow_wall"
"""Where a pooled connection's `info` keeps what its transaction was told; None: in doubt."""


class Tells(Protocol):
    """What a driver does for sessions."""

    audit: AuditPolicy
    first_caller: ClassVar[Caller | None]
    walled: bool

    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        """Tell the triggers who makes the changes from now on."""

    def wall_session(self, connection: sa.Connection, wall: Wall) -> None:
        """Tell the policies whose records are meant from now on."""


def watch_sessions(driver: Tells, engine: sa.Engine, *, joined: bool = False) -> None:
    """Let statements of an engine's connections be preceded by their caller and tenant.

    Args:
        driver: Whose connections they are.
        engine: Where the statements run.
        joined: Whether transactions are open already when they begin here, so that
            someone else may have been named.
    """

    def forget(connection: sa.Connection, *_: Any) -> None:
        connection.info.pop(_TOLD, None)
        connection.info[WALL] = CLOSED

    def doubt(connection: sa.Connection, *_: Any) -> None:
        if not connection.invalidated:
            connection.info[_TOLD] = connection.info[WALL] = None

    def tell(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
        if not driver.audit.used or _goes_back(statement):
            return
        caller = current_caller()
        if caller != connection.info.get(_TOLD, driver.first_caller):
            connection.info[_TOLD] = caller  # first: telling is a statement, too
            driver.tell_session(connection, caller)

    event.listen(engine, "begin", doubt if joined else forget)
    event.listen(engine, "rollback_savepoint", doubt)
    event.listen(engine, "before_cursor_execute", tell)
    if driver.walled:
        _watch_walls(driver, engine)


def _watch_walls(driver: Tells, engine: sa.Engine) -> None:
    def tell(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
        if _goes_back(statement):
            return
        wall = wall_of(connection.get_execution_options().get("dataflow_tenant"))
        if wall != connection.info.get(WALL):
            connection.info[WALL] = wall  # first: telling is a statement, too
            driver.wall_session(connection, wall)

    event.listen(engine, "before_cursor_execute", tell)


def _goes_back(statement: str) -> bool:
    """Whether a statement undoes what is told before it, or comes after a failure."""
    return statement.startswith("ROLLBACK")
