"""Compiled statements: SQL text, the order of its parameters, and how to read its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.query.processors import (
    INLINE_NAMES,
    bind_processor,
    inline_source,
    result_processor,
)

__all__ = ["Columns", "Prepared", "RowReader", "prepare"]

Convert = Callable[[Any], Any]
Columns = Sequence[tuple[str, Any]]
"""Name and type of each column; for a dictionary in the record, its own columns."""
_MISSING: Any = object()


class RowReader:
    """Turns driver rows into dictionaries with values of the declared types.

    A column whose type is a sequence of columns becomes a dictionary of its own. A type
    that is `missing` leaves its key out where the row has NULL.

    The two functions are generated for the columns, as `dataclasses` generates
    constructors: a list of 100 records takes a third of the time of a loop over
    columns. Names are fields of a model, so they are identifiers.
    """

    __slots__ = ("many", "one")

    def __init__(self, columns: Columns, dialect: sa.Dialect) -> None:
        """Find the conversions that each column needs, and write the functions."""
        writer = _Writer(dialect)
        record = writer.record(columns)
        converts = writer.names
        self.one: Callable[[Any], dict[str, Any]] = _function(f"lambda row: {record}", converts)
        self.many: Callable[[Sequence[Any]], list[dict[str, Any]]] = _function(
            f"lambda rows: [{record} for row in rows]", converts
        )


class _Writer:
    """Writes the expression that makes a record of a row."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self._count = 0
        self.names: dict[str, Any] = {**INLINE_NAMES, "drop": _without_missing, "MISSING": _MISSING}

    def record(self, columns: Columns) -> str:
        items = [f"{name!r}: {self._value(kind)}" for name, kind in columns]
        record = "{" + ", ".join(items) + "}"
        absent = any(getattr(kind, "missing", False) for _, kind in columns)
        return f"drop({record})" if absent else record

    def _value(self, kind: Any) -> str:
        if not isinstance(kind, TypeEngine):
            return self.record(kind)
        value = f"row[{self._count}]"
        convert = result_processor(kind, self._dialect)
        absent = "MISSING" if getattr(kind, "missing", False) else "None"
        self._count += 1
        if convert is None:
            return value
        name = f"c{self._count}"
        self.names[name] = convert
        return f"{absent} if {value} is None else {inline_source(convert, value, name)}"


def _without_missing(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not _MISSING}


def _function(source: str, names: dict[str, Any]) -> Any:
    return eval(source, {"__builtins__": {}, **names})  # noqa: S307 - written above, from identifiers


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


class ScopedPrepared(Prepared):
    """A statement with values that come from the running call instead of its arguments."""

    __slots__ = ("_own",)

    def __init__(
        self,
        sql: str,
        binds: tuple[tuple[str, Convert | None, Any], ...],
        reader: RowReader,
        own: Mapping[str, Callable[[], Any]],
    ) -> None:
        """Keep the functions that return these values."""
        super().__init__(sql, binds, reader)
        self._own = own

    def args(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the driver's arguments for values by parameter name."""
        return super().args({**values, **{name: own() for name, own in self._own.items()}})


_GIVEN: Any = object()


def prepare(
    statement: Any,
    dialect: sa.Dialect,
    columns: Columns = (),
    reader: RowReader | None = None,
) -> Prepared:
    """Compile a statement.

    Args:
        statement: A SQLAlchemy Core statement; unbound parameters are filled per call.
        dialect: For which database.
        columns: Name and type of each column that it returns, in order.
        reader: Reads these columns, if one was made before.
    """
    compiled: Any = statement.compile(dialect=dialect)
    binds, own = [], {}
    for name in compiled.positiontup or ():
        bind = compiled.binds[name]
        convert = bind_processor(bind.type, dialect)
        constant = _GIVEN
        if bind.callable is not None:
            own[bind.key] = bind.callable
        elif not bind.required:
            value = bind.effective_value
            constant = value if convert is None else convert(value)
        binds.append((bind.key, convert, constant))
    reader = reader or RowReader(columns, dialect)
    if own:
        return ScopedPrepared(compiled.string, tuple(binds), reader, own)
    return Prepared(compiled.string, tuple(binds), reader)
