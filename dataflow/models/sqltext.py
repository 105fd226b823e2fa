"""SQL that a person or a database wrote, as a clause of SQLAlchemy's."""

from __future__ import annotations

import re

import sqlalchemy as sa

__all__ = ["sql_text"]

_PARAMETER = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")  # as SQLAlchemy sees them


def sql_text(sql: str) -> sa.TextClause:
    """Return SQL without the parameters that it seems to have.

    SQLAlchemy takes the `:y` of a default such as `'x :y'` for one.
    """
    return sa.text(_PARAMETER.sub(r"\\:\1", sql))
