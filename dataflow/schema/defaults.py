"""Defaults of columns: in SQL, for records that exist, and beside those that a database has."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from contextvars import Context
from typing import Any

import sqlalchemy as sa

from dataflow.models.fields import MISSING
from dataflow.models.spec import FieldSpec

__all__ = [
    "changed_defaults",
    "default_literal",
    "default_sql",
    "default_value",
    "is_constant",
]

_CAST = r"(?:::[\w .\"\[\](),]+)?"
_NUMBER = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
_CONSTANT = re.compile(
    rf"\(*(?:E?'(?:[^']|'')*'|{_NUMBER}|true|false|null)\)*{_CAST}\)*", re.IGNORECASE
)
_COLLATION = re.compile(r" COLLATE .*")


def default_sql(column: sa.Column[Any], dialect: sa.Dialect) -> str | None:
    """Return a column's own default as a new table has it, or None if it has none."""
    create = sa.schema.CreateTable(column.table)
    return dialect.ddl_compiler(dialect, create).get_column_default_string(column)


def default_literal(field: FieldSpec, dialect: sa.Dialect) -> str | None:
    """Return the SQL of what existing records get in a field, or None if nothing says so."""
    if field.info.server_default:
        return field.info.server_default
    value = default_value(field)
    if value is None:
        return None
    literal = sa.literal(value, field.column.type)
    return str(literal.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def default_value(field: FieldSpec) -> Any:
    """Return a field's default for records that exist, or None if it has none.

    It is not the running call's: what its tenant, actor or correlation id are says
    nothing of records that others have made.
    """
    if field.default_factory is not None:
        return Context().run(field.default_factory)
    return None if field.default is MISSING else field.default


def is_constant(sql: str) -> bool:
    """Whether a default is a literal, perhaps cast; not an expression."""
    return _CONSTANT.fullmatch(sql) is not None


def changed_defaults(
    connection: sa.Connection, table: sa.Table, retyped: Container[str]
) -> Iterator[tuple[sa.Column[Any], str | None]]:
    """Yield the columns whose default is not the model's, with the SQL of what it is.

    A column for which the model gives no default keeps the one that it has. Databases write
    expressions in words of their own, so one expression counts as equal to another.

    Args:
        connection: Where the table is.
        table: As the model has it.
        retyped: Columns that get another type, and with it their default anyway.
    """
    columns = {str(c.name): c for c in table.columns if str(c.name) not in retyped}
    for found in sa.inspect(connection).get_columns(str(table.name), table.schema):
        column, present = columns.get(found["name"]), found.get("default")
        if column is not None and _differs(connection, column, present):
            yield column, present


def _differs(connection: sa.Connection, column: sa.Column[Any], present: str | None) -> bool:
    wanted = default_sql(column, connection.dialect)
    if wanted is None or wanted == present:
        return False
    if present is None:
        return True
    if not is_constant(present):
        return is_constant(wanted)
    # Databases take some expressions for the constants that they are, such as DATE '2020-01-01'.
    counts = "nextval" in wanted.lower()  # whoever only reads may not ask for it
    return counts or not _are_equal(connection, column, wanted, present)


def _are_equal(connection: sa.Connection, column: sa.Column[Any], one: str, other: str) -> bool:
    kind = _COLLATION.sub("", column.type.compile(connection.dialect))
    texts = ", ".join(f"CAST(CAST({sql} AS {kind}) AS TEXT)" for sql in (one, other))
    first, second = connection.exec_driver_sql(f"SELECT {texts}").one()
    return bool(first == second)
