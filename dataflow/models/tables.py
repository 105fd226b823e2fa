"""From fields and options to a table with its constraints and indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from dataflow.errors import OptionError, did_you_mean
from dataflow.models.columntypes import JsonValue
from dataflow.models.naming import index_name
from dataflow.models.spec import FieldSpec, ModelOptions
from dataflow.models.tenancy import TENANT, add_tenant_key

__all__ = ["table_of"]

Columns = Mapping[str, sa.Column[Any]]


def table_of(
    name: str,
    metadata: sa.MetaData,
    fields: Mapping[str, FieldSpec],
    options: ModelOptions,
    model: str,
) -> sa.Table:
    """Return the table of a plain model.

    Values that are unique are so within a tenant, and among records that are not deleted.

    Raises:
        OptionError: If an option names a field that does not exist.
    """
    columns = {field.name: field.column for field in fields.values()}
    extra: list[sa.schema.SchemaItem] = []
    for names in options.unique_together:
        chosen = _columns_named(model, names, columns)
        extra.append(_unique(name, chosen, columns, options))
    for names in options.indexes:
        chosen = _within_tenant(_columns_named(model, names, columns), options)
        extra.append(sa.Index(index_name("ix", name, tuple(chosen)), *chosen))
    for field in fields.values():
        if field.info.index:
            extra.append(_index_of(name, field, options))
        if field.info.unique and _has_own_rules(options):
            field.column.unique = None
            extra.append(_unique(name, [field.column.name], columns, options))
    extra += _tenant_first(columns, options)
    table = sa.Table(
        quoted_name(name, quote=True),
        metadata,
        *columns.values(),
        *extra,
        sqlite_autoincrement=True,
    )
    if options.multi_tenant:
        add_tenant_key(table, columns[TENANT])
    return table


def _has_own_rules(options: ModelOptions) -> bool:
    return options.multi_tenant or options.soft_delete


def _unique(
    table: str, names: list[str], columns: Columns, options: ModelOptions
) -> sa.schema.SchemaItem:
    chosen = _within_tenant(names, options)
    name = index_name("uq", table, tuple(chosen))
    if not _has_own_rules(options):
        return sa.UniqueConstraint(*chosen, name=name)
    where = columns["deleted_at"].is_(None) if options.soft_delete else None
    return sa.Index(name, *chosen, unique=True, postgresql_where=where, sqlite_where=where)


def _tenant_first(columns: Columns, options: ModelOptions) -> Sequence[sa.schema.SchemaItem]:
    """Return the key with the tenant in front, where the tenant is a part of it."""
    if not options.multi_tenant or not columns[TENANT].primary_key:
        return ()
    keys = [column.name for column in columns.values() if column.primary_key]
    return (sa.PrimaryKeyConstraint(TENANT, *(key for key in keys if key != TENANT)),)


def _within_tenant(names: list[str], options: ModelOptions) -> list[str]:
    if not options.multi_tenant or TENANT in names:
        return names
    return [TENANT, *names]


def _index_of(table: str, field: FieldSpec, options: ModelOptions) -> sa.Index:
    """Return the index of one field; for JSON, the kind that filters on paths use."""
    column = field.column.name
    if isinstance(field.column.type, JsonValue):
        return sa.Index(
            index_name("ix", table, (column,)),
            column,
            postgresql_using="gin",
            postgresql_ops={column: "jsonb_path_ops"},
        )
    names = _within_tenant([column], options)
    return sa.Index(index_name("ix", table, tuple(names)), *names)


def _columns_named(model: str, names: tuple[str, ...], columns: Columns) -> list[str]:
    for name in names:
        if name not in columns:
            raise OptionError(
                model=model,
                problem=f"an index names the field {name!r}, which does not exist.",
                advise=did_you_mean(name, columns),
            )
    return [columns[name].name for name in names]
