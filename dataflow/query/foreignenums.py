"""Columns of SQLAlchemy's own enums, which hold names, as the columns of ours are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dataflow.models.columntypes import EnumValue

__all__ = ["as_values"]


def as_values(column: sa.Column[Any]) -> sa.ColumnElement[Any] | None:
    """Return an enum's values instead of what SQLAlchemy stores for them.

    Returns:
        None for a column of another type, and where values are neither texts nor numbers.
    """
    kind = column.type
    if not isinstance(kind, sa.Enum) or kind.enum_class is None:
        return None
    members = list(kind.enum_class)
    values = [member.value for member in members]
    if len(kind.enums) != len(members):  # aliases are stored, too
        return None
    if not ({str}.issuperset(map(type, values)) or {int}.issuperset(map(type, values))):
        return None
    stored = sa.cast(column, sa.Text)  # an enum of the server compares with itself alone
    cases = zip(map(_literal, kind.enums), map(_literal, values), strict=True)
    # A text that is no name stays what it is, and cannot be read.
    rest = stored if type(values[0]) is str else None
    found = sa.case(*((stored == name, value) for name, value in cases), else_=rest)
    return sa.type_coerce(found, EnumValue(kind.enum_class))


def _literal(value: Any) -> sa.ColumnElement[Any]:
    """Return a constant as SQL: a parameter would be another one in GROUP BY."""
    text = str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"
    return sa.literal_column(text, sa.Integer() if isinstance(value, int) else sa.Text())
