"""SQLite connections that an application opened itself: they get the functions of ours."""

from __future__ import annotations

import sqlite3
import weakref
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.util import await_only

from dataflow.database.sqlite import SqliteConnection, add_functions

__all__ = ["teach"]

_TAUGHT = "dataflow_functions"
"""Key in a connection's `info`."""
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()
"""Those that teach their connections."""


def teach(engine: sa.Engine) -> None:
    """Let an engine's connections know the functions that our statements call.

    Connections that are open already learn them at their next statement. Nothing else
    of them changes, and engines on other databases need nothing.
    """
    if engine.dialect.name != "sqlite":
        return
    if engine not in _engines:  # event.contains knows them by `id`, which new ones inherit
        _engines.add(engine)
        event.listen(engine, "before_cursor_execute", _teach_connection)


@event.listens_for(sa.Table, "before_create")
def _teach_creator(table: sa.Table, connection: Any, **options: Any) -> None:
    """Teach a connection that makes a table: SQLite asks for its collations then."""
    del table, options
    if isinstance(connection, sa.Connection) and connection.dialect.name == "sqlite":
        _teach_connection(connection)


def _teach_connection(connection: sa.Connection, *statement: Any) -> None:
    del statement
    info = connection.info
    if _TAUGHT in info:
        return
    info[_TAUGHT] = True
    driver: Any = connection.connection.driver_connection
    if isinstance(driver, SqliteConnection):
        return
    if isinstance(driver, sqlite3.Connection):
        add_functions(driver)
    else:  # aiosqlite's, which lives in a thread
        await_only(driver._execute(add_functions, driver._conn))  # noqa: SLF001 - has no aggregates in public
