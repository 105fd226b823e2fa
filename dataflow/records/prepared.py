"""Compiled statements: SQL text, the order of its parameters, and how to read its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.models.spec import ModelSpec
from dataflow.query.processors import (
    INLINE_NAMES,
    bind_processor,
    inline_source,
    result_processor,
)
from dataflow.records.unreadable import unreadable

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
    columns. Names are fields of a model, so they are identifiers. Where a value cannot be
    converted, the row is read again to say which.
    """

    __slots__ = ("many", "one")

    def __init__(
        self, columns: Columns, dialect: sa.Dialect, spec: ModelSpec | None = None
    ) -> None:
        """Find the conversions that each column needs, and write the functions.

        Args:
            columns: What a row holds.
            dialect: Whose rows.
            spec: The model that errors name.
        """
        writer = _Writer(dialect)
        record = writer.record(columns)
        names = {**writer.names, "Error": Exception, "told": partial(_told, spec, writer.converts)}
        self.one: Callable[[Any], dict[str, Any]] = _function(
            _SOURCE.format(given="row", made=record, rows="[row]"), names
        )
        self.many: Callable[[Sequence[Any]], list[dict[str, Any]]] = _function(
            _SOURCE.format(given="rows", made=f"[{record} for row in rows]", rows="rows"), names
        )


_SOURCE = """
def read({given}):
    try:
        return {made}
    except Error as error:
        raise told({rows}, error) from None
"""


class _Writer:
    """Writes the expression that makes a record of a row."""

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = dialect
        self.converts: list[tuple[str, Convert | None]] = []
        self.names: dict[str, Any] = {**INLINE_NAMES, "drop": _without_missing, "MISSING": _MISSING}

    def record(self, columns: Columns, path: str = "") -> str:
        items = [f"{name!r}: {self._value(kind, path + name)}" for name, kind in columns]
        record = "{" + ", ".join(items) + "}"
        absent = any(getattr(kind, "missing", False) for _, kind in columns)
        return f"drop({record})" if absent else record

    def _value(self, kind: Any, path: str) -> str:
        if not isinstance(kind, TypeEngine):
            return self.record(kind, f"{path}.")
        value = f"row[{len(self.converts)}]"
        convert = result_processor(kind, self._dialect)
        absent = "MISSING" if getattr(kind, "missing", False) else "None"
        self.converts.append((path, convert))
        if convert is None:
            return value
        name = f"c{len(self.converts)}"
        self.names[name] = convert
        return f"{absent} if {value} is None else {inline_source(convert, value, name)}"


def _without_missing(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not _MISSING}


def _function(source: str, names: dict[str, Any]) -> Any:
    found: dict[str, Any] = {"__builtins__": {}, **names}
    exec(source, found)  # noqa: S102 - written above, from identifiers
    return found["read"]


def _told(
    spec: ModelSpec | None,
    converts: Sequence[tuple[str, Convert | None]],
    rows: Sequence[Any],
    error: Exception,
) -> Exception:
    """Return the error that names the value which cannot be converted."""
    if spec is None:
        return error
    for row in rows:
        for (name, convert), value in zip(converts, row, strict=False):
            if convert is None or value is None:
                continue
            try:
                convert(value)
            except Exception as found:  # noqa: BLE001 - whatever a type raises
                return unreadable(found, spec, name)
    return error


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
    spec: ModelSpec | None = None,
) -> Prepared:
    """Compile a statement.

    Args:
        statement: A SQLAlchemy Core statement; unbound parameters are filled per call.
        dialect: For which database.
        columns: Name and type of each column that it returns, in order.
        reader: Reads these columns, if one was made before.
        spec: The model that errors in reading name.
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
    reader = reader or RowReader(columns, dialect, spec)
    if own:
        return ScopedPrepared(compiled.string, tuple(binds), reader, own)
    return Prepared(compiled.string, tuple(binds), reader)
