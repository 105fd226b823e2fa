"""A session inside an open transaction: on its connection, in a part that can fail alone."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection

from dataflow.database.transaction import Level, Savepoint

__all__ = ["Joined", "leave_transactions_alone"]


def leave_transactions_alone(dialect: Any) -> None:
    """Let a dialect neither begin, commit nor roll back: its transaction is someone else's."""
    dialect.do_begin = dialect.do_commit = dialect.do_rollback = _nothing


def _nothing(connection: Any) -> None:
    del connection


class _Lent(PoolProxiedConnection):
    """A connection that is not given back to the pool by whoever it is lent to."""

    def __init__(self, part: Savepoint) -> None:
        self._part = part
        self._fairy = fairy = part.lend()
        self.dbapi_connection = fairy.dbapi_connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fairy, name)

    @property
    def is_valid(self) -> bool:
        return bool(self._fairy.is_valid)

    @property
    def is_detached(self) -> bool:
        return False

    @property
    def info(self) -> Any:
        return self._fairy.info

    @property
    def record_info(self) -> Any:
        return self._fairy.record_info

    def invalidate(self, e: BaseException | None = None, soft: bool = False) -> None:  # noqa: FBT001, FBT002 - SQLAlchemy's own signature
        """Let the transaction end with its connection: a statement is lost, or left alone."""
        del soft
        lost = e or RuntimeError("the session gave up its connection")
        self._part.failure = self._part.failure or lost
        self._part.spoil()

    def detach(self) -> None:
        """Do nothing: the connection belongs to the transaction."""

    def close(self) -> None:
        """Do nothing: the transaction goes on."""

    def _close_special(self, **options: Any) -> None:
        """Do nothing, likewise: SQLAlchemy's way to close after a transaction."""


class Joined:
    """What a session inside a transaction holds from its beginning to its end."""

    def __init__(self, level: Level) -> None:
        """Keep the transaction; nothing is sent."""
        self._part = level.savepoint()
        self._adapter: AbstractContextManager[None] | None = None
        self._connection: sa.Connection | None = None

    async def open(self, engine: sa.Engine) -> tuple[Level, AsyncConnection]:
        """Set a savepoint; return the part after it, and its connection for a session."""
        await self._part.__aenter__()
        lent = _Lent(self._part)
        self._adapter = self._part.lane.driver.lent(lent.dbapi_connection)
        self._adapter.__enter__()
        self._connection = sa.Connection(engine, connection=lent)
        self._connection.begin()
        return self._part, AsyncConnection(AsyncEngine(engine), self._connection)

    async def close(self, error: BaseException | None) -> None:
        """Keep what the session has committed, or nothing of it after an error."""
        try:
            if self._connection is not None:
                self._connection.close()
            if self._adapter is not None:
                self._adapter.__exit__(None, None, None)
        finally:
            await self._part.__aexit__(type(error) if error else None, error, None)
