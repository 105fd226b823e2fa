"""What PostgreSQL's columns take, and which take part in its fast ways to send many rows."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.database.postgres_words import DIALECT

__all__ = ["is_copied", "is_listed", "own_sequence", "whole_limits"]

_TEXTS_ALONE = frozenset(
    {"citext", "macaddr", "macaddr8", "money", "hstore", "tsvector", "tsquery", "jsonpath"}
)
"""Types that asyncpg knows as texts only, while COPY sends binary values."""


def is_copied(column: sa.Column[Any]) -> bool:
    """Whether COPY takes values of a column; types that are not known may be anything."""
    kind = _plain(column.type)
    if isinstance(kind, sa.ARRAY):
        kind = _plain(kind.item_type)
    unknown = isinstance(kind, sa.types.NullType | sa.types.UserDefinedType)
    name = str(getattr(kind, "__visit_name__", "")).lower()
    return not unknown and name not in _TEXTS_ALONE and not name.startswith(("reg", "domain"))


def is_listed(column: sa.Column[Any]) -> bool:
    """Whether a list of values of a column may be an argument: lists of lists are flat."""
    return is_copied(column) and not isinstance(_plain(column.type), sa.ARRAY)


def own_sequence(column: sa.Column[Any]) -> sa.Sequence | None:
    """Return the sequence that each INSERT names, because the table does not; else None."""
    default = column.default
    if not isinstance(default, sa.Sequence) or default.optional or column.server_default:
        return None
    return default


def whole_limits(kind: TypeEngine[Any]) -> tuple[int, int] | None:
    """Return the least and greatest number of a column narrower than 64 bits; else None."""
    plain = _plain(kind)
    if not isinstance(plain, sa.Integer) or isinstance(plain, sa.BigInteger):
        return None
    bits = 15 if isinstance(plain, sa.SmallInteger) else 31
    return -(1 << bits), (1 << bits) - 1


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return kind.dialect_impl(DIALECT)
