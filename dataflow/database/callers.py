"""Who makes the changes of SQLAlchemy's own sessions and connections."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import sqlalchemy as sa
from sqlalchemy import event

from dataflow.context import Caller, current_caller
from dataflow.database.guard import AuditPolicy

__all__ = ["watch_sessions"]

_TOLD = "dataflow_caller"


class Tells(Protocol):
    """What a driver does for sessions."""

    audit: AuditPolicy
    first_caller: ClassVar[Caller | None]

    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        """Tell the triggers who makes the changes from now on."""


def watch_sessions(driver: Tells, engine: sa.Engine, *, joined: bool = False) -> None:
    """Let statements of an engine's connections be preceded by their caller's name.

    Args:
        driver: Whose connections they are.
        engine: Where the statements run.
        joined: Whether transactions are open already when they begin here, so that
            someone else may have been named.
    """

    def forget(connection: sa.Connection, *_: Any) -> None:
        connection.info.pop(_TOLD, None)

    def doubt(connection: sa.Connection, *_: Any) -> None:
        connection.info[_TOLD] = None

    def tell(connection: sa.Connection, *_: Any) -> None:
        if not driver.audit.used:
            return
        caller = current_caller()
        if caller != connection.info.get(_TOLD, driver.first_caller):
            connection.info[_TOLD] = caller  # first: telling is a statement, too
            driver.tell_session(connection, caller)

    event.listen(engine, "begin", doubt if joined else forget)
    event.listen(engine, "rollback_savepoint", doubt)
    event.listen(engine, "before_cursor_execute", tell)
