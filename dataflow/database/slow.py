"""Statements that took long: logged, and the last ones kept."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from dataflow.database.driver import Driver
from dataflow.places import awaiting_place

__all__ = ["SlowLog", "SlowStatement"]

_KEPT = 20
_CALLS = (
    "fetch",
    "execute",
    "estimate",
    "insert_rows",
    "insert_generated",
    "upsert_rows",
    "update_rows",
)
_log = logging.getLogger("dataflow.sql.slow")


class SlowStatement(NamedTuple):
    """One of them.

    Attributes:
        statement: Its text without values; for bulk calls what was done to which table.
        seconds: How long the database took, the wait for a connection not included.
        place: `file:line` of the code that awaited it, where that is known.
    """

    statement: str
    seconds: float
    place: str | None


class SlowLog:
    """Times every call of a driver; made only where it is asked for."""

    def __init__(self, driver: Driver, limit_s: float) -> None:
        """Stand before the driver's calls from now on."""
        self.last: deque[SlowStatement] = deque(maxlen=_KEPT)
        self._limit_s = limit_s
        for name in _CALLS:
            setattr(driver, name, self._timed(name, getattr(driver, name)))

    def _timed(
        self, name: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        async def timed(connection: Any, *args: Any) -> Any:
            begun = time.perf_counter()
            try:
                return await call(connection, *args)
            finally:
                seconds = time.perf_counter() - begun
                if seconds >= self._limit_s:
                    self._note(_text(name, args[0]), seconds)

        timed.__name__ = name
        return timed

    def _note(self, statement: str, seconds: float) -> None:
        place = awaiting_place()
        self.last.append(SlowStatement(statement, seconds, place))
        _log.warning("%.3f s: %s%s", seconds, statement, f"  at: {place}" if place else "")


def _text(name: str, subject: Any) -> str:
    if isinstance(subject, str):
        return subject
    table = getattr(subject, "table", subject)
    return f"{name} {table}"
