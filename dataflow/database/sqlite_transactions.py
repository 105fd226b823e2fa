"""The transactions of SQLAlchemy's connections to SQLite."""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.engine.characteristics import ConnectionCharacteristic
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only

from dataflow.database.sqlite_connection import Connection

__all__ = ["own_transactions"]


class _ReadOnly(ConnectionCharacteristic):
    """The execution option of connections whose transactions only read."""

    transactional: ClassVar[bool] = True

    def get_characteristic(self, dialect: sa.Dialect, dbapi_conn: Any) -> bool:
        return bool(dialect.get_driver_connection(dbapi_conn).read_only)

    def set_characteristic(self, dialect: sa.Dialect, dbapi_conn: Any, value: Any) -> None:
        dialect.get_driver_connection(dbapi_conn).read_only = bool(value)

    def reset_characteristic(self, dialect: sa.Dialect, dbapi_conn: Any) -> None:
        self.set_characteristic(dialect, dbapi_conn, value=False)


def own_transactions(dialect: Any) -> None:
    """Let a dialect send BEGIN itself, at once: its driver would wait for the first change.

    What is listened to on engines costs every connection more than this.
    """
    commit, roll_back = dialect.do_commit, dialect.do_rollback

    def do_commit(connection: PoolProxiedConnection) -> None:
        _end(connection)
        commit(connection)

    def do_rollback(connection: PoolProxiedConnection) -> None:
        _end(connection)
        roll_back(connection)

    dialect.do_begin, dialect.do_commit, dialect.do_rollback = _begin, do_commit, do_rollback
    dialect.connection_characteristics = dialect.connection_characteristics.union(
        {"dataflow_read_only": _ReadOnly()}
    )


def _begin(connection: PoolProxiedConnection) -> None:
    """Begin as a writer, who waits here for others; as a reader where no one writes."""
    driver: Any = connection.driver_connection
    if driver.read_only:
        _run_plain(driver, "PRAGMA query_only = ON", "BEGIN")
    else:
        _run_plain(driver, "BEGIN IMMEDIATE")


def _end(connection: PoolProxiedConnection) -> None:
    driver: Any = connection.driver_connection
    if driver.read_only:
        _run_plain(driver, "PRAGMA query_only = OFF")


def _run_plain(driver: Any, *statements: str) -> None:
    """Run statements without rows, with one hop to the connection's thread for all.

    A cursor of SQLAlchemy's takes four: to be made, to execute, to be asked, to close.
    """
    if isinstance(driver, Connection):
        await_only(driver.run_plain(statements))
        return
    for statement in statements:
        driver.execute(statement)
