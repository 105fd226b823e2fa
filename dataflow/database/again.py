"""Which failed calls are made again, and after which pauses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from sqlalchemy.exc import DBAPIError

from dataflow.config import DataFlowConfig
from dataflow.context import deadline
from dataflow.database.driver import Driver
from dataflow.errors import DataFlowError, ExecutionError

__all__ = ["Repeats", "is_passing", "pauses", "repeat"]

T = TypeVar("T")
_STATES = ("40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")


def is_passing(error: BaseException) -> bool:
    """Whether a function that failed with this error may be called again.

    Of ours, what is `retryable` and left no write's outcome unknown; of SQLAlchemy's,
    lost connections, serialization failures, deadlocks and locks.
    """
    if isinstance(error, DataFlowError):
        return error.retryable and error.outcome != "unknown"
    if not isinstance(error, DBAPIError):
        return isinstance(error, ConnectionError)
    cause = error.orig
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
    locked = str(getattr(cause, "sqlite_errorname", "")).startswith(_LOCKED)
    return error.connection_invalidated or state in _STATES or locked


def pauses(config: DataFlowConfig) -> Iterator[float]:
    """Yield the seconds to wait before each further try.

    Each is a random part, from none to all, of a limit that doubles: of many callers
    who failed together, none meets all the others again.
    """
    limit_s = config.retry_delay_s
    for _ in range(config.retry_attempts - 1):
        yield random.uniform(0, limit_s)  # noqa: S311 - not a secret
        limit_s = min(2 * limit_s, config.retry_max_delay_s)


class Repeats:
    """Decides after each failure of one call whether it is made again."""

    def __init__(self, driver: Driver) -> None:
        """Begin with all tries left."""
        self._passing = driver.passing
        self._pauses = pauses(driver.config)

    def pause_after(self, error: ExecutionError) -> float:
        """Return the seconds to wait before the next try.

        Raises:
            ExecutionError: The given one, where another try is of no use, or not safe.
        """
        pause_s = next(self._pauses, None)
        if pause_s is None or not self._is_passing(error) or not _fits(pause_s):
            raise error
        return pause_s

    def _is_passing(self, error: ExecutionError) -> bool:
        # Who has waited for a time limit is not made to wait for it again.
        safe = error.retryable and error.outcome != "unknown"
        return (
            safe
            and isinstance(error, self._passing)
            and not isinstance(error.__cause__, TimeoutError)
        )


def _fits(pause_s: float) -> bool:
    limit = deadline.get()
    return limit is None or limit.left_s > pause_s


async def repeat(
    driver: Driver, error: ExecutionError, call: Callable[..., Awaitable[T]], *args: Any
) -> T:
    """Make a failed call again where that is safe and of use; otherwise raise its error."""
    repeats = Repeats(driver)
    while True:
        await asyncio.sleep(repeats.pause_after(error))
        try:
            return await call(*args)
        except ExecutionError as found:
            error = found
