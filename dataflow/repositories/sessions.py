"""Sessions in the style of one module per application: `async with get_session() as session`.

The functions share one `DataFlow` per process. It is made at the first call from the
environment (`DATABASE_URL`, `DATABASE_POOL_SIZE`, `DATABASE_MAX_OVERFLOW`,
`DATABASE_ECHO`, or the same with `DATAFLOW_`), or is the one that `use_database` names.
A variable for the URL that is set but empty is a `ConfigurationError`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from dataflow.app import DataFlow
from dataflow.config import DataFlowConfig
from dataflow.errors import ParameterError, shown
from dataflow.records.sessions import SessionBlock
from dataflow.repositories.manager import DatabaseManager

__all__ = [
    "async_session_factory",
    "check_db_connection",
    "close_db",
    "create_tables",
    "dispose_engine",
    "get_database",
    "get_db",
    "get_engine",
    "get_session",
    "shared_database",
    "use_database",
]

_URL_VARIABLES = ("DATAFLOW_DATABASE_URL", "DATABASE_URL")


class _Shared:
    """The manager that all functions of the module use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._manager: DatabaseManager | None = None

    def get(self) -> DatabaseManager:
        with self._lock:
            if self._manager is None:
                self._manager = DatabaseManager(_given_url())
            return self._manager

    @property
    def known(self) -> DatabaseManager | None:
        return self._manager

    def put(self, manager: DatabaseManager | None) -> DatabaseManager | None:
        with self._lock:
            before, self._manager = self._manager, manager
            return before


def _given_url() -> str | None:
    """Return the empty text where the environment names no database but is meant to."""
    if "database_url" in DataFlowConfig().model_fields_set:
        return None
    emptied = any(os.environ.get(name) == "" for name in _URL_VARIABLES)
    return "" if emptied else None


_shared = _Shared()


def use_database(database: DatabaseManager | DataFlow) -> DatabaseManager:
    """Let the functions of this module use a database from now on, and return its manager.

    Raises:
        ParameterError: For what is neither a `DatabaseManager` nor a `DataFlow`.
    """
    manager = DatabaseManager(db=database) if isinstance(database, DataFlow) else database
    if not isinstance(manager, DatabaseManager):
        raise ParameterError(
            problem=f"use_database takes a DatabaseManager or a DataFlow, not {shown(database)}.",
            advise="for a URL, write use_database(DatabaseManager(url))",
        )
    _shared.put(manager)
    return manager


def shared_database() -> DataFlow | None:
    """Return the database that the functions of this module use, if they use one already."""
    return None if _shared.known is None else _shared.known.db


def get_database() -> DatabaseManager:
    """Return the manager that the functions of this module use."""
    return _shared.get()


async def create_tables() -> None:
    """Create the tables and columns that are missing."""
    await _shared.get().create_tables()


async def get_engine() -> AsyncEngine:
    """Return SQLAlchemy's engine of the running loop; statements on it have no scope."""
    return await _shared.get().get_engine()


def get_session(tenant_id: Any = None, *, read_only: bool = False) -> SessionBlock:
    """Return a block, `async with`, around a session; its user commits.

    Args:
        tenant_id: Whose records; None: the tenant of the block around it.
        read_only: Refuse writes; on SQLite, do not wait for those who write.
    """
    return _shared.get().get_session(tenant_id, read_only=read_only)


def async_session_factory(tenant_id: Any = None) -> SessionBlock:
    """Return a block around a session: the same as `get_session`."""
    return get_session(tenant_id)


async def get_db() -> AsyncIterator[AsyncSession]:
    """Yield a session for one request: `db: AsyncSession = Depends(get_db)` in FastAPI."""
    async with get_session() as session:
        yield session


async def check_db_connection() -> bool:
    """Return whether the database answers."""
    return bool(await _shared.get().db.aio.health())


async def close_db() -> None:
    """Close all connections; the next call begins anew with the environment's settings."""
    manager = _shared.put(None)
    if manager is not None:
        await manager.close()


async def dispose_engine() -> None:
    """Close all connections: the same as `close_db`."""
    await close_db()
