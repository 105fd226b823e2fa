"""A condition in parentheses that SQLAlchemy does not take apart."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

__all__ = ["Grouped"]


class Grouped(sa.ColumnElement[bool]):
    """Keeps its parentheses, so that long conditions can be nested instead of flat."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 - SQLAlchemy declares it so
        ("condition", InternalTraversal.dp_clauseelement),
    ]
    type = sa.Boolean()

    def __init__(self, condition: sa.ColumnElement[bool]) -> None:
        """Wrap a condition."""
        self.condition = condition


@compiles(Grouped)
def _compile_grouped(element: Grouped, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.condition, **options)})"
