"""Whether a database answers, and how busy its pool is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from dataflow.database.database import Database
from dataflow.errors import DataFlowError

__all__ = ["Health", "check_health"]


@dataclass(frozen=True, slots=True)
class Health:
    """Result of a health check.

    Attributes:
        status: `"healthy"`, or `"unhealthy"` when no answer came.
        duration_ms: Milliseconds for one round trip, connecting included.
        pool: `{"size", "in_use", "idle", "waiting"}`.
        message: The error's text, or None.
    """

    status: Literal["healthy", "unhealthy"]
    duration_ms: float
    database: str
    pool: dict[str, int]
    message: str | None = None

    def __bool__(self) -> bool:
        """Whether the database answered."""
        return self.status == "healthy"


async def check_health(database: Database) -> Health:
    """Ask the database for one row; errors of ours become the message."""
    begun = time.perf_counter()
    message = None
    try:
        await database.fetch("SELECT 1", ())
    except DataFlowError as error:
        message = str(error)
    return Health(
        status="healthy" if message is None else "unhealthy",
        duration_ms=(time.perf_counter() - begun) * 1_000,
        database=str(database.address),
        pool=database.pool_status(),
        message=message,
    )
