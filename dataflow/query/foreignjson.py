"""Columns of SQLAlchemy's JSON types and of arrays, as our JSON columns are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from dataflow.models.columntypes import JsonValue

__all__ = ["as_document", "has_parts", "is_document"]


def is_document(type_: Any) -> bool:
    """Whether a column of a type holds JSON."""
    return isinstance(type_, JsonValue | sa.JSON)


def has_parts(type_: Any) -> bool:
    """Whether filters look inside what a column of a type holds: JSON, or an array like it."""
    if not isinstance(type_, sa.ARRAY):
        return is_document(type_)
    item = type_.item_type
    if isinstance(item, sa.Enum) or item.__visit_name__ == "CITEXT":  # other rules than of texts
        return False
    return isinstance(item, sa.String | sa.Integer | sa.Boolean | sa.Float)


def as_document(column: sa.Column[Any], *, nulls: bool = True) -> Any:
    """Return a JSON column as ours are stored; any other column as it is.

    Args:
        column: The column.
        nulls: Whether a document `null` must be NULL; no index serves what makes it so.
    """
    if has_parts(column.type) and isinstance(column.type, sa.ARRAY):
        return sa.type_coerce(sa.func.to_jsonb(column), JsonValue())
    foreign = isinstance(column.type, sa.JSON)
    return _ForeignJson(column, nulls=nulls) if foreign else column


class _ForeignJson(sa.ColumnElement[Any]):
    """A document with `jsonb` and NULL where SQLAlchemy writes `json` and `null`."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("column", InternalTraversal.dp_clauseelement),
        ("nulls", InternalTraversal.dp_boolean),
    ]
    type = JsonValue()

    def __init__(self, column: sa.Column[Any], *, nulls: bool) -> None:
        """Keep the column."""
        self.column = column
        self.nulls = nulls


@compiles(_ForeignJson)
def _text(element: _ForeignJson, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"nullif({column}, 'null')" if element.nulls else column


@compiles(_ForeignJson, "postgresql")
def _jsonb(element: _ForeignJson, compiler: SQLCompiler, **options: Any) -> str:
    # Of a column that is jsonb already, the server drops the cast, and indexes serve it.
    column = f"CAST({compiler.process(element.column, **options)} AS jsonb)"
    return f"nullif({column}, CAST('null' AS jsonb))" if element.nulls else column
