"""Membership in a list of any length as one parameter, in each database's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.types import TypeDecorator, TypeEngine

from dataflow.models.columntypes import comparable, is_bytes
from dataflow.query.processors import bind_processor

__all__ = ["InList", "ListOf"]


class ListOf(TypeDecorator[Any]):
    """A list parameter: an array on PostgreSQL, JSON text elsewhere."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        """Keep the type of the items."""
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.ARRAY(self.item.dialect_impl(dialect)))
        return dialect.type_descriptor(sa.Text())

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        item = bind_processor(self.item, dialect)
        pack: Callable[[Any], Any] = list
        if dialect.name != "postgresql":
            pack = _json_text
            item = _hex_of(item) if is_bytes(self.item, dialect) else item
        if item is None:
            return pack
        return lambda values: pack([item(value) for value in values])


def _hex_of(convert: Callable[[Any], Any] | None) -> Callable[[Any], str]:
    if convert is None:
        return bytes.hex
    return lambda value: bytes(convert(value)).hex()


def _json_text(values: list[Any]) -> str:
    return to_json(values).decode()  # a third of the time of json.dumps


class InList(sa.ColumnElement[bool]):
    """`column IN (values)` with all values in one parameter."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("column", InternalTraversal.dp_clauseelement),
        ("values", InternalTraversal.dp_clauseelement),
    ]
    type = sa.Boolean()

    def __init__(self, column: sa.ColumnElement[Any], name: str) -> None:
        """Compare a column with the list bound under `name`."""
        self.column = column
        self.values: sa.BindParameter[Any] = sa.bindparam(
            name, type_=ListOf(comparable(column.type))
        )


@compiles(InList)
def _compile_json(element: InList, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    values = compiler.process(element.values, **options)
    # JSON carries no bytes; the SQLite driver brings the function that restores them.
    restored = is_bytes(element.column.type, compiler.dialect)
    value = "dataflow_unhex(value)" if restored else "value"
    return f"{column} IN (SELECT {value} FROM json_each({values}))"


@compiles(InList, "postgresql")
def _compile_array(element: InList, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    values = compiler.process(element.values, **options)
    return f"{column} = ANY ({values})"
