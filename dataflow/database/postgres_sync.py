"""PostgreSQL for SQLAlchemy's sync sessions: asyncpg on the portal's loop.

Threads get SQLAlchemy's own adapter of asyncpg; each of its calls is made on the loop
of the portal and waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from dataflow.portal import portal

__all__ = ["PortalDialect", "create_portal_engine"]

NAME = "dataflow_portal"


class PortalDialect(PGDialect_asyncpg):
    """The dialect of asyncpg, told that its connections are those of a thread."""

    is_async = False
    supports_statement_cache = True
    supports_server_side_cursors = False

    @classmethod
    def get_pool_class(cls, url: sa.URL) -> type[sa.Pool]:
        """Return the pool for threads."""
        del url
        return QueuePool

    def connect(self, *args: Any, **options: Any) -> Any:
        """Open a connection on the portal's loop."""
        return _Connection(_on_portal(super().connect, *args, **options))

    def on_connect(self) -> Any:
        """Return what prepares a new connection, on the portal's loop."""
        prepare = super().on_connect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
        if prepare is None:
            return None
        return lambda connection: _on_portal(prepare, connection.inner)

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close a connection without waiting for the server."""
        dbapi_connection.terminate()


def _on_portal(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return portal.call(greenlet_spawn(call, *args, **options))


class _Forward:
    """Forwards attributes to an object of the adapter, and its calls to the portal."""

    _calls: frozenset[str] = frozenset()

    def __init__(self, inner: Any) -> None:
        object.__setattr__(self, "inner", inner)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in self._calls:
            return found
        return lambda *args, **options: _on_portal(found, *args, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.inner, name, value)


class _Cursor(_Forward):
    """A cursor whose statements run on the portal's loop."""

    _calls = frozenset({"execute", "executemany", "close", "fetchone", "fetchmany", "fetchall"})


class _Connection(_Forward):
    """A connection whose work runs on the portal's loop."""

    _calls = frozenset({"commit", "rollback", "close", "terminate", "ping", "set_isolation_level"})

    def cursor(self, **options: Any) -> _Cursor:
        return _Cursor(self.inner.cursor(**options))


def create_portal_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """Return an engine for threads on PostgreSQL."""
    registry.register(f"postgresql.{NAME}", __name__, "PortalDialect")
    return sa.create_engine(url.set(drivername=f"postgresql+{NAME}"), **options)
