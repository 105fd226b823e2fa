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

__all__ = ["Prepared", "RowReader", "prepare"]

Convert = Callable[[Any], Any]


class RowReader:
    """Turns driver rows into dictionaries with values of the declared types.

    The two functions are generated for the columns, as `dataclasses` generates
    constructors: a list of 100 records takes a third of the time of a loop over
    columns. Names are fields of a model, so they are identifiers.
    """

    __slots__ = ("many", "one")

    def __init__(self, columns: Sequence[tuple[str, TypeEngine[Any]]], dialect: sa.Dialect) -> None:
        """Find the conversions that each column needs, and write the functions."""
        converts: dict[str, Convert] = {}
        items = []
        for number, (name, kind) in enumerate(columns):
            convert = result_processor(kind, dialect)
            value = f"row[{number}]"
            if convert is not None:
                converts[f"c{number}"] = convert
                source = inline_source(convert, value, f"c{number}")
                value = f"None if {value} is None else {source}"
            items.append(f"{name!r}: {value}")
        record = "{" + ", ".join(items) + "}"
        self.one: Callable[[Any], dict[str, Any]] = _function(f"lambda row: {record}", converts)
        self.many: Callable[[Sequence[Any]], list[dict[str, Any]]] = _function(
            f"lambda rows: [{record} for row in rows]", converts
        )


def _function(source: str, names: dict[str, Convert]) -> Any:
    return eval(source, {"__builtins__": {}, **INLINE_NAMES, **names})  # noqa: S307 - written above, from identifiers


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
