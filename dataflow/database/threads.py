"""The engine from which threads take connections for SQLAlchemy's sessions."""

from __future__ import annotations

import threading
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as TimedOut

from dataflow.database.database import Database
from dataflow.database.lane import not_connected
from dataflow.errors import DataFlowError, PoolExhaustedError

__all__ = ["thread_engine"]


def thread_engine(database: Database) -> sa.Engine:
    """Return an engine for threads, which is connected.

    The first connection tells the dialect what the server can do.
    """
    engine = database.driver.create_sync_engine()
    pool: Any = _ThreadPool(database, engine.pool)
    engine.pool = pool
    with engine.connect():
        return engine


class _ThreadPool:
    """SQLAlchemy's pool for threads, which fails in the words of DataFlow."""

    def __init__(self, database: Database, pool: Any) -> None:
        self._database = database
        self._pool = pool
        self._lock = threading.Lock()
        self._asking = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def connect(self) -> Any:
        self._database.check_open()
        self._count(1)
        try:
            return self._pool.connect()
        except Exception as error:
            found = self._translated(error)
            if found is None:
                raise
            raise found from error
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self._asking += change

    def _translated(self, error: Exception) -> DataFlowError | None:
        driver = self._database.driver
        if not isinstance(error, TimedOut):
            return not_connected(driver, error)
        return PoolExhaustedError(
            waited_s=driver.config.pool_timeout_s,
            size=self._pool.checkedout(),
            waiting=self._asking - 1,
            holder="",
        )
