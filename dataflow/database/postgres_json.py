"""Values as PostgreSQL's `row_to_json` writes them, as the driver would return them."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator, TypeEngine

from dataflow.models.columntypes import (
    ExactDecimal,
    ExactFloat,
    JsonValue,
    Microseconds,
    UtcDateTime,
    is_bytes,
    utc_of,
)

__all__ = ["from_json"]

_ENDS = {"infinity": dt.datetime.max, "-infinity": dt.datetime.min}  # noqa: DTZ901 - of UTC, as all
"""What asyncpg reads and writes as the first and the last moment and day."""
_INTERVAL = re.compile(r"(?:(-?\d+) days?)? ?(?:([-+])?(\d+):(\d\d):(\d\d(?:\.\d+)?))?")


def from_json(kind: TypeEngine[Any], value: Any, dialect: sa.Dialect) -> Any:
    """Return a value that is not None; numbers with a point come as Decimals.

    Args:
        kind: The column's type.
        value: What JSON holds.
        dialect: Says what types of other libraries are here.

    Raises:
        ValueError: If the value does not fit the type.
    """
    if isinstance(kind, JsonValue):
        return json.loads(json.dumps(value, default=float))
    if isinstance(kind, UtcDateTime | sa.DateTime):
        return utc_of(_ENDS.get(value) or dt.datetime.fromisoformat(value))
    if isinstance(kind, Microseconds | sa.Interval):
        return _interval(value)
    if is_bytes(kind):
        return bytes.fromhex(value.removeprefix("\\x"))
    return _plain(kind, value, dialect)


def _plain(kind: TypeEngine[Any], value: Any, dialect: sa.Dialect) -> Any:
    if isinstance(kind, ExactFloat | sa.Float):
        return float(value)
    if isinstance(kind, ExactDecimal | sa.Numeric):
        return Decimal(value)
    if isinstance(kind, sa.Date):
        end = _ENDS.get(value)
        return dt.date.fromisoformat(value) if end is None else end.date()
    if isinstance(kind, sa.Time):
        return dt.time.fromisoformat(value)
    if isinstance(kind, TypeDecorator):
        return from_json(kind.type_engine(dialect), value, dialect)
    return uuid.UUID(value) if isinstance(kind, sa.Uuid) else value


def _interval(text: str) -> dt.timedelta:
    found = _INTERVAL.fullmatch(text)
    if found is None:
        raise ValueError(text)
    days, sign, hours, minutes, seconds = found.groups()
    microseconds = int(Decimal(seconds or 0) * 1_000_000)
    time = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0), microseconds=microseconds)
    return dt.timedelta(days=int(days or 0)) + (-time if sign == "-" else time)
