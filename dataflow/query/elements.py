"""The elements of a JSON array as rows, in each database's words."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["Elements"]


class Elements(FunctionElement[Any]):
    """A table of `value`, `type` and `key` (from 0) of an array's elements."""

    name = "elements"
    inherit_cache = False

    def rows(self, name: str) -> Any:
        """Return the table under a name; the array may come from the tables before it."""
        columns: Any = (sa.column("value"), sa.column("type"), sa.column("key", sa.BigInteger()))
        return self.table_valued(*columns, name=name)


@compiles(Elements)
def _each(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(Elements, "postgresql")
def _lateral(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    array = compiler.process(element.clauses, **options)
    return (
        "LATERAL (SELECT e.value AS value, CAST(NULL AS text) AS type, e.place - 1 AS key "
        f"FROM jsonb_array_elements({array}) WITH ORDINALITY AS e(value, place))"
    )
