"""Conversions between validated Python values and the driver's, by column type."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.models.columntypes import Converted, instant_of_text, utc_of

__all__ = ["INLINE_NAMES", "Convert", "bind_processor", "inline_source", "result_processor"]

Convert = Callable[[Any], Any]
_FLOAT8, _NUMERIC = 701, 1700

INLINE_NAMES: dict[str, Any] = {"parse_instant": dt.datetime.fromisoformat}
"""What the sources of `inline_source` refer to, besides the conversion itself."""


def inline_source(convert: Convert, value: str, name: str) -> str:
    """Return the source of a conversion in generated code, without a call where possible.

    Args:
        convert: The conversion, as `result_processor` returned it.
        value: Source of the value, which is not None.
        name: Name of the conversion in the generated code.
    """
    if convert is bool:
        return f"{value} != 0"
    if convert is instant_of_text:  # a Python function: its call costs as much as the parsing
        return f"t if (t := parse_instant({value})).tzinfo is not None else {name}({value})"
    return f"{name}({value})"


def bind_processor(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion of validated values of a type for the driver, or None."""
    if isinstance(kind, sa.Boolean):
        return None  # drivers take True and False as they are
    convert: Convert | None = kind._cached_bind_processor(dialect)  # noqa: SLF001 - what SQLAlchemy itself calls
    if isinstance(kind, sa.DateTime) and not kind.timezone:
        return lambda value: _apply(convert, None if value is None else _naive(value))
    return convert


def result_processor(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion of a value that is not None from the driver, or None."""
    if isinstance(kind, Converted):
        return kind.from_driver(dialect)
    convert: Convert | None = kind._cached_result_processor(dialect, _wire_type(kind))  # noqa: SLF001 - what SQLAlchemy itself calls
    if isinstance(kind, sa.Boolean):
        return None if dialect.supports_native_boolean else bool
    if isinstance(kind, sa.DateTime):
        return lambda value: utc_of(_apply(convert, value))
    if isinstance(kind, sa.Float) and not kind.asdecimal:
        return lambda value: float(_apply(convert, value))
    return convert


def _apply(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def _naive(value: dt.datetime) -> dt.datetime:
    return utc_of(value).replace(tzinfo=None)


def _wire_type(kind: TypeEngine[Any]) -> int | None:
    """Return the type code by which SQLAlchemy tells doubles from decimals on PostgreSQL."""
    if isinstance(kind, sa.ARRAY):
        return _wire_type(kind.item_type)
    if isinstance(kind, sa.Float):
        return _FLOAT8
    return _NUMERIC if isinstance(kind, sa.Numeric) else None
