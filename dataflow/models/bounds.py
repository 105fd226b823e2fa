"""Bounds of fields: whether `Field(ge=…)` and its kin mean anything for a type."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field as Constraint
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaError

from dataflow.models.columntypes import utc_of
from dataflow.models.fields import FieldInfo

__all__ = ["bounds_of", "misfit"]

_NAMES = (
    "max_length",
    "min_length",
    "pattern",
    "ge",
    "gt",
    "le",
    "lt",
    "max_digits",
    "decimal_places",
)
_LIMITS = ("ge", "gt", "le", "lt")
_NUMBERS = (int, float, Decimal)
_CONVERTED = (dt.datetime, dt.time, dt.timedelta)
"""Types whose limits are compared with values that were converted before."""
_SAMPLES: dict[Any, Any] = {
    int: 1,
    float: 1.0,
    Decimal: Decimal(1),
    bool: True,
    str: "a",
    bytes: b"a",
    dt.date: dt.date(2000, 1, 1),
    dt.time: dt.time(1),
    dt.datetime: dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
    dt.timedelta: dt.timedelta(1),
    uuid.UUID: uuid.UUID(int=1),
    list: [],
    dict: {},
}


def bounds_of(base: Any, info: FieldInfo) -> dict[str, Any]:
    """Return `{option: bound}` of the bounds given, as pydantic takes them."""
    found = {name: getattr(info, name) for name in _NAMES if getattr(info, name) is not None}
    if base is dt.datetime:
        found |= {n: utc_of(v) for n, v in found.items() if isinstance(v, dt.datetime)}
    return found


def misfit(base: Any, info: FieldInfo) -> str | None:
    """Return the first option whose bound does not fit the type, or None."""
    for name, bound in bounds_of(base, info).items():
        if not _is_sure(base, name, bound) and not _applies(base, name, bound):
            return name
    return None


def _is_sure(base: Any, name: str, bound: Any) -> bool:
    """Whether a bound fits beyond doubt: trying it out takes a tenth of a millisecond."""
    if name in _LIMITS:
        return base in _NUMBERS and type(bound) is int
    return base is (Decimal if name in ("max_digits", "decimal_places") else str)


def _applies(base: Any, name: str, bound: Any) -> bool:
    if base in _NUMBERS and isinstance(bound, str):
        return False
    if base in _CONVERTED and name in _LIMITS:
        return isinstance(bound, base)
    try:
        bounded: Any = Annotated[base, Constraint(**{name: bound})]
        adapter: TypeAdapter[Any] = TypeAdapter(bounded)
        if base in _SAMPLES:
            adapter.validate_python(_SAMPLES[base])
    except ValidationError:
        return True
    except (SchemaError, TypeError, RuntimeError):
        return False
    return True
