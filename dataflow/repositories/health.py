"""`DatabaseHealthChecker`: whether a database answers, how fast, and how busy its pool is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, overload

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dataflow.app import AsyncFace, DataFlow
from dataflow.database.database import Database
from dataflow.database.deadline import DeadlineBlock
from dataflow.errors import ConfigurationError, DataFlowError, ParameterError, shown
from dataflow.portal import sync_call

__all__ = ["DatabaseHealthChecker", "HealthCheckResult", "HealthStatus"]

_PING = "SELECT 1"
_FAILURES = (DataFlowError, SQLAlchemyError, OSError)


class HealthStatus(StrEnum):
    """What a check found."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class HealthCheckResult:
    """Result of one check.

    Attributes:
        status: Degraded: it answers, but slowly, or calls wait for a connection.
        message: One sentence for people.
        duration_ms: Milliseconds that the check took.
        details: `"pool"`, the figures of the pool, and `"slow"`, the last slow
            statements, where they are known.
    """

    status: HealthStatus
    message: str
    duration_ms: float
    details: dict[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether the database answered."""
        return self.status is not HealthStatus.UNHEALTHY


class DatabaseHealthChecker:
    """Checks a `DataFlow`, or the database behind a SQLAlchemy session.

    For `db` and a `Session` a check returns its result, for `db.aio` and an
    `AsyncSession` a coroutine. A session itself is left as it is: the check asks on
    a connection of its own. A `Session` cannot be stopped from outside, so that its
    check lasts as long as its driver waits; all others end in time.

    Args:
        connection_timeout: Seconds in which the first answer must come.
        query_timeout: Seconds in which a query on an open connection must end.
        slow_query_threshold: Seconds above which an answer counts as slow.

    Raises:
        ConfigurationError: If a limit is no number of seconds from 0 on.
    """

    def __init__(
        self,
        connection_timeout: float = 5.0,
        query_timeout: float = 10.0,
        slow_query_threshold: float = 1.0,
    ) -> None:
        """Check and keep the limits."""
        for limit in (connection_timeout, query_timeout, slow_query_threshold):
            if not isinstance(limit, int | float) or isinstance(limit, bool) or not limit >= 0:
                raise ConfigurationError(
                    problem="DatabaseHealthChecker takes numbers of seconds from 0 on, "
                    f"not {shown(limit)}."
                )
        self.connection_timeout = connection_timeout
        self.query_timeout = query_timeout
        self.slow_query_threshold = slow_query_threshold

    @overload
    def check_connectivity(self, target: DataFlow | Session) -> HealthCheckResult: ...

    @overload
    def check_connectivity(
        self, target: AsyncFace | AsyncSession
    ) -> Awaitable[HealthCheckResult]: ...

    def check_connectivity(self, target: Any) -> Any:
        """Return whether an answer comes within the connection timeout."""
        return self._check(target, 1)

    @overload
    def check_health(self, target: DataFlow | Session) -> HealthCheckResult: ...

    @overload
    def check_health(self, target: AsyncFace | AsyncSession) -> Awaitable[HealthCheckResult]: ...

    def check_health(self, target: Any) -> Any:
        """Return whether answers come, how fast, and how busy the pool is."""
        return self._check(target, 2)

    def _check(self, target: Any, rounds: int) -> Any:
        if isinstance(target, DataFlow):
            name = "DatabaseHealthChecker.check_health(db)"
            return sync_call(
                name, "….check_health(db.aio)", self._database, target.database, rounds
            )
        if isinstance(target, AsyncFace):
            return self._database(target.database, rounds)
        if isinstance(target, AsyncSession):
            return self._async_session(target, rounds)
        if not hasattr(target, "get_bind"):  # a scoped_session is no Session, but has it, too
            raise ParameterError(
                problem=f"a check takes db, db.aio or a SQLAlchemy session, not {shown(target)}."
            )
        return self._session(target, rounds)

    # ------------------------------------------------------------- the asking

    async def _database(self, database: Database, rounds: int) -> HealthCheckResult:
        times = _Times()
        try:
            for limit in self._limits(rounds):
                async with DeadlineBlock(limit):
                    await database.fetch(_PING, ())
                times.mark()
        except DataFlowError as error:
            times.error = error
        details: dict[str, Any] = {"pool": database.pool_status()}
        if database.slow is not None:
            details["slow"] = [entry._asdict() for entry in database.slow.last]
        return self._judge(times, details)

    async def _async_session(self, session: AsyncSession, rounds: int) -> HealthCheckResult:
        times = _Times()
        try:
            async with asyncio.timeout(sum(self._limits(rounds))):
                await session.run_sync(lambda inner: _ask(inner, times, rounds))
        except (*_FAILURES, TimeoutError) as error:
            times.error = error
        return self._judge(times, {"pool": _pool_of(session.sync_session)})

    def _session(self, session: Session, rounds: int) -> HealthCheckResult:
        times = _Times()
        try:
            _ask(session, times, rounds)
        except _FAILURES as error:
            times.error = error
        return self._judge(times, {"pool": _pool_of(session)})

    def _limits(self, rounds: int) -> tuple[float, ...]:
        return (self.connection_timeout, self.query_timeout)[:rounds]

    def _judge(self, times: _Times, details: dict[str, Any]) -> HealthCheckResult:
        last_s, total_ms = times.last_s, times.total_s * 1_000
        status, message = HealthStatus.HEALTHY, f"the database answers in {last_s * 1_000:.1f} ms."
        if times.error is not None:
            status, message = HealthStatus.UNHEALTHY, _told(times.error)
        elif last_s > self.slow_query_threshold:
            status = HealthStatus.DEGRADED
            message = f"the database is slow: {last_s:.1f} s for the simplest query."
        elif details["pool"].get("waiting"):
            status = HealthStatus.DEGRADED
            message = f"{details['pool']['waiting']} calls wait for a connection."
        return HealthCheckResult(status, message, total_ms, details)


class _Times:
    """What one check measured."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self.last_s = 0.0
        self.error: BaseException | None = None

    def mark(self) -> None:
        now = time.perf_counter()
        self.last_s, self._last = now - self._last, now

    @property
    def total_s(self) -> float:
        return time.perf_counter() - self._begun


def _ask(session: Session, times: _Times, rounds: int) -> None:
    bind = session.get_bind()
    if isinstance(bind, sa.Connection):
        for _ in range(rounds):
            bind.exec_driver_sql(_PING)
            times.mark()
        return
    with bind.connect().execution_options(dataflow_read_only=True) as connection:
        for _ in range(rounds):
            connection.exec_driver_sql(_PING)
            times.mark()


def _pool_of(session: Session) -> dict[str, int]:
    pool: Any = session.get_bind().engine.pool
    if not isinstance(pool, sa.QueuePool) and not hasattr(pool, "checkedout"):
        return {}
    return {"size": pool.size(), "in_use": pool.checkedout(), "idle": pool.checkedin()}


def _told(error: BaseException) -> str:
    """Return an error's text, without the statement and values that SQLAlchemy adds."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return str(cause) or f"no answer in time ({type(cause).__name__})."
