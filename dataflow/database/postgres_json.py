"""Values as PostgreSQL's `row_to_json` writes them, as the driver would return them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
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


def _single(value: Any) -> float:
    """Return a number of 32 bits as one of 64, as the driver does: with more digits."""
    found: float = struct.unpack("f", struct.pack("f", value))[0]
    return found


def _address(text: str) -> Any:
    return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


def _day(text: str) -> dt.date:
    end = _ENDS.get(text)
    return dt.date.fromisoformat(text) if end is None else end.date()


_READERS: Mapping[type[TypeEngine[Any]], Callable[[Any], Any]] = MappingProxyType({
    sa.REAL: _single,
    ExactFloat: float,
    sa.Float: float,
    ExactDecimal: Decimal,
    sa.Numeric: Decimal,
    sa.Date: _day,
    sa.Time: dt.time.fromisoformat,
    sa.Uuid: uuid.UUID,
    postgresql.INET: _address,
    postgresql.CIDR: ipaddress.ip_network,
    postgresql.OID: int,
})  # fmt: skip
"""How values are read, by type; the first that fits counts."""


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
    if isinstance(kind, Microseconds | sa.Interval | postgresql.INTERVAL):
        return _interval(value)
    if isinstance(kind, sa.ARRAY):
        item = kind.item_type
        return [None if one is None else _element(item, one, dialect) for one in value]
    if is_bytes(kind):
        return bytes.fromhex(value.removeprefix("\\x"))
    return _plain(kind, value, dialect)


def _element(kind: TypeEngine[Any], value: Any, dialect: sa.Dialect) -> Any:
    """Return an element of an array, which is a list in an array of several dimensions."""
    if isinstance(value, list) and not isinstance(kind, JsonValue | sa.JSON):
        return [None if one is None else _element(kind, one, dialect) for one in value]
    return from_json(kind, value, dialect)


def _plain(kind: TypeEngine[Any], value: Any, dialect: sa.Dialect) -> Any:
    for known, read in _READERS.items():
        if isinstance(kind, known):
            return read(value)
    if isinstance(kind, TypeDecorator):
        return from_json(kind.type_engine(dialect), value, dialect)
    return value


def _interval(text: str) -> dt.timedelta:
    found = _INTERVAL.fullmatch(text)
    if found is None:
        raise ValueError(text)
    days, sign, hours, minutes, seconds = found.groups()
    microseconds = int(Decimal(seconds or 0) * 1_000_000)
    time = dt.timedelta(hours=int(hours or 0), minutes=int(minutes or 0), microseconds=microseconds)
    return dt.timedelta(days=int(days or 0)) + (-time if sign == "-" else time)
