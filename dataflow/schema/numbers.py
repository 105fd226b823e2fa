"""Texts that SQLite would keep in a column that holds numbers from now on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from dataflow.errors import DataValueError
from dataflow.models.columntypes import ExactDecimal, ExactFloat

__all__ = ["check_decimals", "check_numbers"]

_STRANGE: Mapping[type, tuple[str, str]] = MappingProxyType({
    sa.Integer: ("'text', 'blob', 'real'", "a whole number"),
    sa.Float: ("'text', 'blob'", "a number"),
    ExactFloat: ("'text', 'blob'", "a number"),
})  # fmt: skip
"""What SQLite calls the values that a type has not, and what it has."""


def check_numbers(connection: sa.Connection, table: str, columns: Iterable[sa.Column[Any]]) -> None:
    """Look for values that the new type of a column cannot take; other databases do so themselves.

    Raises:
        DataValueError: Naming one of them.
    """
    quote = connection.dialect.identifier_preparer.quote
    for column in columns:
        for kind, (strange, wanted) in _STRANGE.items():
            if not isinstance(column.type, kind):
                continue
            name = quote(str(column.name))
            sql = f"SELECT {name} FROM {quote(table)} WHERE typeof({name}) IN ({strange}) LIMIT 1"
            found = connection.exec_driver_sql(sql).first()
            if found is not None:
                detail = f"{found[0]!r} of {table}.{column.name} is not {wanted}"
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
