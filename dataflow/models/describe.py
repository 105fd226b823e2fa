"""A model as plain data, for inspection."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import RelationshipProperty, registry

from dataflow.models.fields import MISSING
from dataflow.models.spec import FieldSpec, ModelSpec, RelationshipSpec

__all__ = ["describe_model"]


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """Return name, table, key, fields, relationships, options and place of a model."""
    return {
        "name": spec.name,
        "table": spec.table.fullname,
        "key": list(spec.key),
        "fields": {name: _describe_field(field) for name, field in spec.fields.items()},
        "relationships": {
            link.name: {"target": link.target, "many": _leads_to_many(spec, link)}
            for link in spec.relationships.values()
        },
        "options": asdict(spec.options),
        "location": spec.location,
    }


def _leads_to_many(spec: ModelSpec, link: RelationshipSpec) -> bool:
    """Whether a link leads to a list; of mapped ones SQLAlchemy knows when it has seen all."""
    mapper: Any = sa.inspect(spec.model)
    if link.mapped and _is_complete(mapper.registry):
        with suppress(SQLAlchemyError):
            return bool(mapper.relationships[link.name].uselist)
    return link.many


def _is_complete(mapping: registry) -> bool:
    """Whether all links lead to classes that are there; else SQLAlchemy gives up for good."""
    known = mapping._class_registry  # noqa: SLF001 - resolving a name any other way configures
    links = [
        link
        for mapper in mapping.mappers
        for link in mapper._props.values()  # noqa: SLF001 - public access configures, too
        if isinstance(link, RelationshipProperty)
    ]
    names = [link.argument for link in links if isinstance(link.argument, str)]
    return all(name.rpartition(".")[2] in known for name in names)


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
