"""A model as plain data, for inspection."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dataflow.models.fields import MISSING
from dataflow.models.spec import FieldSpec, ModelSpec

__all__ = ["describe_model"]


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """Return name, table, key, fields, relationships, options and place of a model."""
    return {
        "name": spec.name,
        "table": spec.table.fullname,
        "key": list(spec.key),
        "fields": {name: _describe_field(field) for name, field in spec.fields.items()},
        "relationships": {
            link.name: {"target": link.target, "many": link.many}
            for link in spec.relationships.values()
        },
        "options": asdict(spec.options),
        "location": spec.location,
    }


def _describe_field(field: FieldSpec) -> dict[str, Any]:
    keys = [str(key.target_fullname) for key in field.column.foreign_keys]
    return {
        "type": field.type_name,
        "column": field.column.name,
        "sql_type": str(field.column.type),
        "nullable": field.nullable,
        "required": field.required,
        "primary_key": field.info.primary_key,
        "unique": field.info.unique,
        "generated": field.generated,
        "default": None if field.default is MISSING else field.default,
        "foreign_key": keys[0] if keys else None,
        "secret": field.info.secret,
        "description": field.info.description,
    }
