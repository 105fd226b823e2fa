"""Values that records have, and that their columns cannot take from now on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from dataflow.errors import DataFlowError, DataValueError, SchemaDriftError
from dataflow.models.columntypes import ExactDecimal, ExactFloat, JsonValue
from dataflow.query.processors import bind_processor, result_processor

__all__ = ["check_decimals", "check_filled", "check_values"]

_STRANGE: Mapping[type, tuple[str, str]] = MappingProxyType({
    sa.Integer: ("'text', 'blob', 'real'", "a whole number"),
    sa.Float: ("'text', 'blob'", "a number"),
    ExactFloat: ("'text', 'blob'", "a number"),
    sa.String: ("'blob'", "a text"),
})  # fmt: skip
"""What SQLite calls the values that a type has not, and what it has."""
_ANY_TEXT = (JsonValue, sa.JSON, ExactDecimal, sa.Numeric)
"""Types whose values may be written in several ways."""


def check_filled(
    connection: sa.Connection, table: str, columns: Iterable[str], schema: str | None = None
) -> None:
    """Look for records without a value in columns that are required from now on.

    Raises:
        SchemaDriftError: Saying how many there are, before the database says less.
    """
    place = sa.table(table, schema=schema)
    for column in columns:
        count = sa.select(sa.func.count()).select_from(place).where(sa.column(column).is_(None))
        missing = connection.execute(count).scalar_one()
        if missing:
            records = f"{missing} record(s) of {table!r} have no value for {column!r}"
            raise SchemaDriftError(
                problem=f"{records}, which is required from now on.",
                advise="give the field a default, or these records a value",
            )


def check_values(connection: sa.Connection, table: str, columns: Iterable[sa.Column[Any]]) -> None:
    """Look for values that a column's new type cannot read.

    Only where the database does not do so itself, because its columns take what they get.

    Raises:
        DataValueError: Naming one of them.
    """
    for column in columns:
        for kind, (strange, wanted) in _STRANGE.items():
            if isinstance(column.type, kind):
                name = connection.dialect.identifier_preparer.quote(str(column.name))
                _refuse_any(connection, table, column, f"typeof({name}) IN ({strange})", wanted)
        if not isinstance(column.type, _ANY_TEXT):
            _refuse_misread(connection, table, column)


def _refuse_any(
    connection: sa.Connection, table: str, column: sa.Column[Any], condition: str, wanted: str
) -> None:
    quote = connection.dialect.identifier_preparer.quote
    name = quote(str(column.name))
    sql = f"SELECT {name} FROM {quote(table)} WHERE {condition} LIMIT 1"
    found = connection.exec_driver_sql(sql).first()
    if found is not None:
        raise DataValueError(detail=f"{found[0]!r} of {table}.{column.name} is not {wanted}")


def _refuse_misread(connection: sa.Connection, table: str, column: sa.Column[Any]) -> None:
    """Refuse what the type cannot read, or would write in another way: no filter finds it."""
    read = result_processor(column.type, connection.dialect)
    write = bind_processor(column.type, connection.dialect)
    if read is None or write is None:
        return
    quote = connection.dialect.identifier_preparer.quote
    name = quote(str(column.name))
    sql = f"SELECT {name} FROM {quote(table)} WHERE {name} IS NOT NULL"
    for (value,) in connection.exec_driver_sql(sql):
        try:
            same = write(read(value)) == value
        except (DataFlowError, ArithmeticError, LookupError, TypeError, ValueError):
            same = False
        if not same:
            detail = f"{value!r} of {table}.{column.name} is not how {column.type!r} is stored"
            raise DataValueError(detail=detail)


def check_decimals(
    connection: sa.Connection, table: str, columns: Iterable[sa.Column[Any]]
) -> None:
    """Look for texts that will be no decimals, before an index would compare them as such.

    Raises:
        DataValueError: Naming one of them.
    """
    quote = connection.dialect.identifier_preparer.quote
    for column in columns:
        if not isinstance(column.type, ExactDecimal):
            continue
        name = quote(str(column.name))
        found = connection.exec_driver_sql(f"SELECT {name} FROM {quote(table)}")
        for (value,) in found:
            if value is not None and not _is_decimal(value):
                detail = f"{value!r} of {table}.{column.name} is not a number"
                raise DataValueError(detail=detail)


def _is_decimal(value: Any) -> bool:
    try:
        return Decimal(str(value)).is_finite()
    except InvalidOperation:
        return False
