"""Compiled statements: SQL text, the order of its parameters, and how to read its rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.models.columntypes import utc_of

__all__ = ["Prepared", "RowReader", "bind_processor", "prepare", "result_processor"]

Convert = Callable[[Any], Any]
_FLOAT8, _NUMERIC = 701, 1700


def bind_processor(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion of validated values of a type for the driver, or None."""
    if isinstance(kind, sa.Boolean):
        return None  # drivers take True and False as they are
    convert: Convert | None = kind._cached_bind_processor(dialect)  # noqa: SLF001 - what SQLAlchemy itself calls
    if isinstance(kind, sa.DateTime) and not kind.timezone:
        return lambda value: _apply(convert, None if value is None else _naive(value))
    return convert


def result_processor(kind: TypeEngine[Any], dialect: sa.Dialect) -> Convert | None:
    """Return the conversion of values of a type from the driver, or None."""
    convert: Convert | None = kind._cached_result_processor(dialect, _wire_type(kind))  # noqa: SLF001 - what SQLAlchemy itself calls
    if isinstance(kind, sa.DateTime):
        return lambda value: None if value is None else utc_of(_apply(convert, value))
    if isinstance(kind, sa.Float) and not kind.asdecimal:
        return lambda value: None if value is None else float(_apply(convert, value))
    return convert


def _apply(convert: Convert | None, value: Any) -> Any:
    return value if convert is None else convert(value)


def _naive(value: dt.datetime) -> dt.datetime:
    return utc_of(value).replace(tzinfo=None)


def _wire_type(kind: TypeEngine[Any]) -> int | None:
    """Return the type code by which SQLAlchemy tells doubles from decimals on PostgreSQL."""
    if isinstance(kind, sa.Float):
        return _FLOAT8
    return _NUMERIC if isinstance(kind, sa.Numeric) else None


class RowReader:
    """Turns driver rows into dictionaries with values of the declared types."""

    __slots__ = ("_converted", "names")

    def __init__(self, columns: Sequence[tuple[str, TypeEngine[Any]]], dialect: sa.Dialect) -> None:
        """Find the conversions that each column needs."""
        self.names = tuple(name for name, _ in columns)
        found = ((name, result_processor(kind, dialect)) for name, kind in columns)
        self._converted = tuple((name, convert) for name, convert in found if convert is not None)

    def one(self, row: Any) -> dict[str, Any]:
        """Return one row as a dictionary."""
        record = dict(zip(self.names, row, strict=False))
        for name, convert in self._converted:
            record[name] = convert(record[name])
        return record

    def many(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Return rows as dictionaries, in order."""
        names = self.names
        records = [dict(zip(names, row, strict=False)) for row in rows]
        for name, convert in self._converted:
            for record in records:
                record[name] = convert(record[name])
        return records


class Prepared:
    """A statement compiled once for a shape."""

    __slots__ = ("_binds", "reader", "sql")

    def __init__(
        self, sql: str, binds: tuple[tuple[str, Convert | None, Any], ...], reader: RowReader
    ) -> None:
        """Keep the text and `(name, conversion, constant)` of each parameter."""
        self.sql = sql
        self._binds = binds
        self.reader = reader

    def args(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the driver's arguments for values by parameter name."""
        return [
            (values[name] if convert is None else convert(values[name]))
            if constant is _GIVEN
            else constant
            for name, convert, constant in self._binds
        ]


_GIVEN: Any = object()


def prepare(
    statement: Any, dialect: sa.Dialect, columns: Sequence[tuple[str, TypeEngine[Any]]] = ()
) -> Prepared:
    """Compile a statement.

    Args:
        statement: A SQLAlchemy Core statement; unbound parameters are filled per call.
        dialect: For which database.
        columns: Name and type of each column that it returns, in order.
    """
    compiled: Any = statement.compile(dialect=dialect)
    binds = []
    for name in compiled.positiontup or ():
        bind = compiled.binds[name]
        convert = bind_processor(bind.type, dialect)
        constant = _GIVEN
        if not bind.required:
            value = bind.effective_value
            constant = value if convert is None else convert(value)
        binds.append((bind.key, convert, constant))
    return Prepared(compiled.string, tuple(binds), RowReader(columns, dialect))
