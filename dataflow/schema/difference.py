"""What a database lacks, compared with the models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from dataflow.models.spec import ModelSpec

__all__ = ["Difference", "find_difference"]


class Difference(NamedTuple):
    """Tables and columns that the models have and the database has not."""

    tables: tuple[ModelSpec, ...]
    columns: tuple[tuple[ModelSpec, str], ...]

    def __bool__(self) -> bool:
        """Whether anything is missing."""
        return bool(self.tables or self.columns)

    def describe(self) -> str:
        """Return what is missing, as a phrase."""
        parts = [f"table {spec.table.fullname!r} is missing" for spec in self.tables]
        parts += [
            f"column {spec.table.fullname}.{spec.fields[name].column.name} is missing"
            for spec, name in self.columns
        ]
        return "; ".join(parts)


def find_difference(connection: sa.Connection, specs: Sequence[ModelSpec]) -> Difference:
    """Compare the models with the database; reads catalogs only."""
    inspector = sa.inspect(connection)
    schemas = {spec.table.schema for spec in specs}
    present = {
        (schema, name)
        for schema in schemas
        for name in (*inspector.get_table_names(schema), *inspector.get_view_names(schema))
    }
    missing = tuple(s for s in specs if (s.table.schema, s.table.name) not in present)
    existing = [spec for spec in specs if spec not in missing]
    columns = [
        (spec, name)
        for schema in schemas
        for spec, name in _missing_columns(inspector, schema, existing)
    ]
    return Difference(missing, tuple(columns))


def _missing_columns(
    inspector: sa.Inspector, schema: str | None, specs: Sequence[ModelSpec]
) -> list[tuple[ModelSpec, str]]:
    mine = [spec for spec in specs if spec.table.schema == schema]
    if not mine:
        return []
    found = inspector.get_multi_columns(
        schema=schema,
        filter_names=[spec.table.name for spec in mine],
        kind=sa.engine.reflection.ObjectKind.ANY,
    )
    return [
        (spec, name)
        for spec in mine
        for name, field in spec.fields.items()
        if field.column.name not in {c["name"] for c in found.get((schema, spec.table.name), ())}
    ]
