"""Foreign keys that lead to tables which no model has."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table

from dataflow.errors import AnnotationError, did_you_mean
from dataflow.models.spec import ModelSpec

__all__ = ["check_foreign_keys"]


def check_foreign_keys(spec: ModelSpec, tables: Mapping[str, Table]) -> None:
    """Check that every foreign key of a model leads to a known column.

    Raises:
        AnnotationError: Naming the nearest table or column.
    """
    for key in spec.table.foreign_keys:
        table, _, column = str(key.target_fullname).rpartition(".")
        field = next(f.name for f in spec.fields.values() if f.column is key.parent)
        if table not in tables:
            raise AnnotationError(
                field=field,
                model=spec.name,
                problem=f"its foreign key leads to table {table!r}, which no model has.",
                advise=did_you_mean(table, tables),
                at=spec.location,
            )
        if column not in tables[table].c:
            raise AnnotationError(
                field=field,
                model=spec.name,
                problem=f"its foreign key leads to {table}.{column}, which does not exist.",
                advise=did_you_mean(column, tables[table].c.keys()),
                at=spec.location,
            )
