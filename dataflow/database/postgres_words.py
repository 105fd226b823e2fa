"""PostgreSQL's names and texts, for statements that are written by hand."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg

__all__ = ["DIALECT", "quote", "text_literal"]

DIALECT: sa.Dialect = asyncpg.dialect()  # type: ignore[no-untyped-call]  # untyped in SQLAlchemy
quote = DIALECT.identifier_preparer.quote


def text_literal(value: str) -> str:
    """Return a text as SQL has it."""
    return "'" + value.replace("'", "''") + "'"
