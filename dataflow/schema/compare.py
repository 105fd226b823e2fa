"""The differences between a database and the models, found by Alembic."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from dataflow.models.spec import ModelSpec
from dataflow.schema.plan import Change

__all__ = ["alembic", "changes_of", "compare"]

Operations = list[Any]


def alembic(part: str) -> Any:
    """Return a module of Alembic, loaded at first use: it is slow to import."""
    return importlib.import_module(f"alembic.{part}")


def _options(tables: Sequence[sa.Table], dropped: Sequence[str]) -> dict[str, Any]:
    """Return Alembic's options for a comparison that sees these tables alone."""
    known = {table.name for table in tables} | set(dropped)

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        del parents
        return kind != "table" or name in known

    return {"compare_type": True, "compare_server_default": False, "include_name": include_name}


def compare(
    connection: sa.Connection, specs: Sequence[ModelSpec], dropped: Sequence[str]
) -> Operations:
    """Return Alembic's operations that make the database equal to the models.

    Tables without a model are left alone, except those that are named in `dropped`.
    """
    tables = [spec.table for spec in specs]
    target = list(dict.fromkeys(table.metadata for table in tables))
    options = {**_options(tables, dropped), "target_metadata": target}
    migration = alembic("runtime.migration").MigrationContext.configure(connection, opts=options)
    found = alembic("autogenerate").produce_migrations(migration, target)
    return list(_flat(found.upgrade_ops.ops))


def _flat(operations: Sequence[Any]) -> Iterator[Any]:
    for operation in operations:
        if hasattr(operation, "ops"):
            yield from _flat(operation.ops)
        else:
            yield operation


def changes_of(operation: Any) -> Change:
    """Return what one of Alembic's operations means."""
    rule = _CHANGES[type(operation).__name__]
    return rule(operation)


def _create_table(operation: Any) -> Change:
    return Change("create table", operation.table_name)


def _drop_table(operation: Any) -> Change:
    return Change("drop table", operation.table_name, loses_data=True)


def _add_column(operation: Any) -> Change:
    column = operation.column
    null = "" if column.nullable else ", required"
    return Change("add column", operation.table_name, column.name, f"{column.type!r}{null}")


def _drop_column(operation: Any) -> Change:
    return Change("drop column", operation.table_name, operation.column_name, loses_data=True)


def _alter_column(operation: Any) -> Change:
    details, loses = [], False
    if operation.modify_type is not None:
        old, new = operation.existing_type, operation.modify_type
        details.append(f"{old!r} -> {new!r}")
        loses = not _is_wider(old, new)
    if operation.modify_nullable is not None:
        details.append("may be null" if operation.modify_nullable else "required")
    detail = ", ".join(details) or "comment or default"
    return Change(
        "alter column", operation.table_name, operation.column_name, detail, loses_data=loses
    )


def _is_wider(old: Any, new: Any) -> bool:
    """Whether every value of one type has its place in the other."""
    plain = new.impl if isinstance(new, sa.types.TypeDecorator) else new
    if isinstance(plain, sa.String) and isinstance(old, sa.String):
        length = getattr(plain, "length", None)
        return length is None or (old.length is not None and old.length <= length)
    widths = [sa.SmallInteger, sa.Integer, sa.BigInteger]
    ranks = [
        max((n for n, width in enumerate(widths) if isinstance(kind, width)), default=None)
        for kind in (old, plain)
    ]
    return None not in ranks and ranks[0] <= ranks[1]  # type: ignore[operator]  # neither is None


def _index(kind: str) -> Callable[[Any], Change]:
    def rule(operation: Any) -> Change:
        return Change(kind, str(operation.table_name), operation.index_name)  # type: ignore[arg-type]  # one of two kinds

    return rule


def _constraint(kind: str) -> Callable[[Any], Change]:
    def rule(operation: Any) -> Change:
        table = getattr(operation, "table_name", None) or operation.source_table
        return Change(kind, table, operation.constraint_name)  # type: ignore[arg-type]  # one of two kinds

    return rule


_CHANGES: dict[str, Callable[[Any], Change]] = {
    "CreateTableOp": _create_table,
    "DropTableOp": _drop_table,
    "AddColumnOp": _add_column,
    "DropColumnOp": _drop_column,
    "AlterColumnOp": _alter_column,
    "CreateIndexOp": _index("create index"),
    "DropIndexOp": _index("drop index"),
    "CreateUniqueConstraintOp": _constraint("add constraint"),
    "CreateForeignKeyOp": _constraint("add constraint"),
    "CreateCheckConstraintOp": _constraint("add constraint"),
    "CreatePrimaryKeyOp": _constraint("add constraint"),
    "DropConstraintOp": _constraint("drop constraint"),
}
