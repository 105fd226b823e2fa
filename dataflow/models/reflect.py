"""Models of tables that exist already."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Table
from sqlalchemy.orm import registry

from dataflow.errors import OptionError
from dataflow.models.columntypes import JsonValue
from dataflow.models.declare import spec_of_mapped
from dataflow.models.hints import Hints
from dataflow.models.naming import class_name
from dataflow.models.spec import ModelOptions, ModelSpec

__all__ = ["model_for_table"]


def model_for_table(table: Table, mapping: registry) -> ModelSpec:
    """Return the specification of a new class mapped to a reflected table.

    Raises:
        OptionError: If the table has no primary key.
    """
    name = class_name(table.name)
    if not table.primary_key.columns:
        raise OptionError(model=name, problem=f"table {table.name!r} has no primary key.")
    for column in table.columns:
        if isinstance(column.type, JSON) and not _is_text_json(column.type):
            column.type = JsonValue()
    model: Any = type(name, (), {"__module__": "dataflow.reflected"})
    mapping.map_imperatively(model, table)
    hints = Hints(model, {}, {}, f"table {table.name}")
    return spec_of_mapped(model, ModelOptions(timestamps=False), hints)


def _is_text_json(kind: JSON) -> bool:
    """Whether it is PostgreSQL's `json`, which keeps a text, and not its `jsonb`."""
    ours = type(kind).__module__.startswith("sqlalchemy.dialects.postgresql")
    return ours and type(kind).__visit_name__ == "JSON"
