"""The differences between a database and the models, found by Alembic."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

import sqlalchemy as sa

from dataflow.models.spec import ModelSpec
from dataflow.models.sqltext import sql_text
from dataflow.schema.defaults import changed_defaults
from dataflow.schema.links import mark_late
from dataflow.schema.plan import Change

__all__ = [
    "alembic",
    "changes_of",
    "compare",
    "comparison_options",
    "completed",
    "fills_first",
    "flat",
    "is_wider",
    "migration_context",
    "steps_of",
    "with_own_implementation",
]

Operations = list[Any]


def alembic(part: str) -> Any:
    """Return a module of Alembic, loaded at first use: it is slow to import."""
    return importlib.import_module(f"alembic.{part}")


def comparison_options(specs: Sequence[ModelSpec], dropped: Sequence[str] = ()) -> dict[str, Any]:
    """Return Alembic's options for a comparison that sees the models' tables alone.

    Tables without a model are invisible, in the database and in the metadata, except those
    that are named in `dropped`.
    """
    known = {spec.table.name for spec in specs} | set(dropped)
    mark_late(spec.table for spec in specs)  # before Alembic puts the tables in order

    def include_name(name: str | None, kind: str, parents: Any) -> bool:
        del parents
        return kind != "table" or name in known

    def include_object(item: Any, name: str | None, kind: str, *rest: Any) -> bool:
        del item, rest
        return kind != "table" or name in known

    return {
        "target_metadata": list(dict.fromkeys(spec.table.metadata for spec in specs)),
        "compare_type": True,
        "compare_server_default": False,
        "include_name": include_name,
        "include_object": include_object,
    }


def migration_context(connection: sa.Connection, options: Mapping[str, Any]) -> Any:
    """Return Alembic's context for a connection, with our implementation of its operations."""
    context = alembic("runtime.migration").MigrationContext.configure(connection, opts=options)
    return with_own_implementation(context)


def with_own_implementation(context: Any) -> Any:
    """Let a context of Alembic keep what its own implementations would lose."""
    importlib.import_module("dataflow.schema.implementations").install(context)
    return context


def compare(
    connection: sa.Connection, specs: Sequence[ModelSpec], dropped: Sequence[str]
) -> Operations:
    """Return Alembic's operations that make the database equal to the models.

    Tables without a model are left alone, except those that are named in `dropped`.
    """
    options = comparison_options(specs, dropped)
    context = migration_context(connection, options)
    found = alembic("autogenerate").produce_migrations(context, options["target_metadata"])
    return completed(connection, specs, flat(found.upgrade_ops.ops))


def flat(operations: Iterable[Any]) -> Iterator[Any]:
    """Yield operations one by one, without the groups in which Alembic puts them."""
    for operation in operations:
        if hasattr(operation, "ops"):
            yield from flat(operation.ops)
        else:
            yield operation


# --------------------------------------------------------- what Alembic leaves out


def completed(
    connection: sa.Connection, specs: Sequence[ModelSpec], operations: Iterable[Any]
) -> Operations:
    """Add what Alembic does not compare: primary keys, and the defaults of new types.

    Foreign keys hang on keys, so where both change, all operations are put in an order in
    which foreign keys go first and come back last.
    """
    operations = [item for item in operations if "TableComment" not in type(item).__name__]
    operations += _late_links(connection, specs, operations)
    tables = {spec.table.name: spec.table for spec in specs}
    for operation in operations:
        if getattr(operation, "modify_type", None) is not None:
            column = tables[operation.table_name].c[operation.column_name]
            operation.existing_server_default = operation.existing_server_default or None
            operation.modify_server_default = column.server_default
    inspector = sa.inspect(connection)
    present = inspector.get_table_names()
    there = [spec.table for spec in specs if spec.table.name in present]
    operations += _default_changes(connection, there, operations)
    changes = [
        change
        for table in there
        for change in _key_changes(table, inspector.get_pk_constraint(table.name))
    ]
    if not changes and not _hang_together(operations):
        return operations
    return sorted([*operations, *changes], key=_phase)


def _late_links(
    connection: sa.Connection, specs: Sequence[ModelSpec], operations: Operations
) -> Iterator[Any]:
    """Take foreign keys that must wait out of new tables, and yield them as operations."""
    late = mark_late(spec.table for spec in specs) if connection.dialect.supports_alter else []
    ops = alembic("operations.ops")
    for operation in operations:
        if isinstance(operation, ops.CreateTableOp):
            taken = [link for link in late if link.table.name == operation.table_name]
            operation.columns = [item for item in operation.columns if item not in set(taken)]
            yield from map(ops.CreateForeignKeyOp.from_constraint, taken)


def _default_changes(
    connection: sa.Connection, tables: Iterable[sa.Table], operations: Operations
) -> Operations:
    """Write defaults that differ into the changes of their columns; return further changes."""
    known = {
        (operation.table_name, operation.column_name): operation
        for operation in operations
        if type(operation).__name__ == "AlterColumnOp"
    }
    made = alembic("operations.ops").AlterColumnOp
    more = []
    for table in tables:
        retyped = [
            name for (place, name), o in known.items() if place == table.name and o.modify_type
        ]
        for column, present in changed_defaults(connection, table, retyped):
            name, nullable = str(column.name), column.nullable
            operation = known.get((table.name, name))
            if operation is None:
                operation = made(
                    table.name, name, existing_type=column.type, existing_nullable=nullable
                )
                more.append(operation)
            former = None if present is None else sa.DefaultClause(sql_text(present))
            operation.existing_server_default = former
            operation.modify_server_default = column.server_default
    return more


def _hang_together(operations: Sequence[Any]) -> bool:
    """Whether a foreign key may lead to columns that become unique, or cease to be."""
    names = {type(operation).__name__ for operation in operations}
    linked = "CreateForeignKeyOp" in names or any(map(_drops_link, operations))
    return linked and bool(names & {"CreateIndexOp", "CreateUniqueConstraintOp", "DropIndexOp"})


def _drops_link(operation: Any) -> bool:
    dropped = type(operation).__name__ == "DropConstraintOp"
    return dropped and operation.constraint_type == "foreignkey"


def _key_changes(table: sa.Table, found: Any) -> Iterator[Any]:
    ops = alembic("operations.ops")
    wanted = [column.name for column in table.primary_key.columns]
    existing = found["constrained_columns"]
    if set(wanted) == set(existing):
        return
    name = found["name"] or f"pk_{table.name}"
    if existing:
        former = ops.CreatePrimaryKeyOp(name, table.name, existing)
        yield ops.DropConstraintOp(name, table.name, type_="primary", _reverse=former)
    own = table.primary_key.name
    yield ops.CreatePrimaryKeyOp(own if isinstance(own, str) else name, table.name, wanted)


_PHASES = (
    "drop foreign key", "DropIndexOp", "DropTableOp", "DropConstraintOp", "AddColumnOp",
    "AlterColumnOp", "CreatePrimaryKeyOp", "CreateUniqueConstraintOp",
    "CreateCheckConstraintOp", "CreateTableOp", "CreateIndexOp", "CreateForeignKeyOp",
    "DropColumnOp",
)  # fmt: skip


def _phase(operation: Any) -> int:
    return 0 if _drops_link(operation) else _PHASES.index(type(operation).__name__)


def fills_first(operation: Any) -> bool:
    """Whether records get a value before all else, so that the audit's triggers write it down.

    A value of a new type can only come after the type.
    """
    required = getattr(operation, "modify_nullable", None) is False
    return required and operation.modify_type is None


def steps_of(operation: Any) -> list[Any]:
    """Return a change of a column in steps between which its records can be given a value.

    The type comes first, so that the value is one of the new type.
    """
    both = getattr(operation, "modify_nullable", None) is False and operation.modify_type
    if both is None or both is False:
        return [operation]
    retyped, required = copy(operation), copy(operation)
    retyped.modify_nullable = None
    required.existing_type, required.modify_type = operation.modify_type, None
    required.modify_server_default = required.existing_server_default = False
    return [retyped, required]


# ---------------------------------------------------------------------- changes


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
        loses = not is_wider(old, new)
    if operation.modify_nullable is not None:
        details.append("may be null" if operation.modify_nullable else "required")
    if operation.modify_type is None and operation.modify_server_default is not False:
        defaults = operation.existing_server_default, operation.modify_server_default
        details.append("default " + " -> ".join(map(_default_text, defaults)))
    detail = ", ".join(details) or "comment"
    return Change(
        "alter column", operation.table_name, operation.column_name, detail, loses_data=loses
    )


def _default_text(default: Any) -> str:
    """Return a default as it is shown."""
    if default is None:
        return "none"
    if isinstance(default.arg, sa.BindParameter):
        return repr(default.arg.value)
    return repr(default.arg) if isinstance(default.arg, str) else str(default.arg)


def is_wider(old: Any, new: Any) -> bool:
    """Whether every value of one type has its place in the other."""
    plain = new.impl if isinstance(new, sa.types.TypeDecorator) else new
    if isinstance(plain, sa.String) and isinstance(old, sa.String):
        length = getattr(plain, "length", None)
        return length is None or (old.length is not None and old.length <= length)
    if _is_exact(plain) and _is_exact(old):
        return _has_digits_of(old, plain)
    widths = [sa.SmallInteger, sa.Integer, sa.BigInteger]
    ranks = [
        max((n for n, width in enumerate(widths) if isinstance(kind, width)), default=None)
        for kind in (old, plain)
    ]
    return None not in ranks and ranks[0] <= ranks[1]  # type: ignore[operator]  # neither is None


def _is_exact(kind: Any) -> bool:
    return isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float)


def _has_digits_of(old: Any, new: Any) -> bool:
    """Whether decimals of one type have enough digits in the other, before and after the point."""
    if new.precision is None or old.precision is None:
        return new.precision is None
    had, has = old.scale or 0, new.scale or 0
    return bool(had <= has and old.precision - had <= new.precision - has)


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
