"""The database's errors in the model's words: fields instead of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflow.errors import DatabaseError, ForeignKeyViolationError
from dataflow.models.spec import ModelSpec

__all__ = ["explain_fields", "fault_field"]


def explain_fields(error: DatabaseError, spec: ModelSpec) -> None:
    """Name the model's table and fields in an error that names columns, or nothing."""
    names = {str(field.column.name): name for name, field in spec.fields.items()}
    facts: dict[str, Any] = vars(error)
    if "table" in facts and facts["table"] is None:
        error.set_fact("table", spec.table.name)
    if isinstance(facts.get("fields"), str):
        columns: list[str] = facts["fields"].split(", ")
        error.set_fact("fields", ", ".join(names.get(column, column) for column in columns))
    if isinstance(facts.get("field"), str):
        error.set_fact("field", names.get(facts["field"], facts["field"]))


def fault_field(error: DatabaseError, spec: ModelSpec, row: Mapping[str, Any]) -> str:
    """Return the field at fault, or `"record"` where several could be."""
    found = getattr(error, "fields", None) or getattr(error, "field", None)
    if found is not None and found in spec.fields:
        return str(found)
    if isinstance(error, ForeignKeyViolationError):
        keys = [
            n for n, f in spec.fields.items() if f.column.foreign_keys and row.get(n) is not None
        ]
        if len(keys) == 1:  # SQLite names no column; here only one can be meant
            error.set_fact("detail", f"the value of {keys[0]} refers to no record.")
            return keys[0]
        return "record"
    return str(found or "record")
