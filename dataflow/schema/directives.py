"""What a generated revision does: Alembic's operations, made to work on tables with records.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.operations import ops

from dataflow.database.driver import Driver
from dataflow.models.columntypes import Converted, EnumValue, JsonValue
from dataflow.models.naming import NAMING
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.schema.compare import changes_of, completed, fills_first, flat, steps_of
from dataflow.schema.defaults import default_value
from dataflow.schema.guardsteps import guard_steps
from dataflow.schema.migrate import check_losses, possible_renames, trigger_changes
from dataflow.schema.plan import MigrationPlan
from dataflow.schema.rendering import render_type, render_value
from dataflow.schema.statements import table_of
from dataflow.schema.triggers import find_trigger_work

__all__ = ["directives"]

Fields = Mapping[tuple[str, str], FieldSpec]
_GROUPED = (
    ops.AddColumnOp, ops.AlterColumnOp, ops.DropColumnOp, ops.AddConstraintOp,
    ops.DropConstraintOp,
)  # fmt: skip


class FillOp(ops.MigrateOperation):
    """Gives a value to the records that have none, before their column requires one."""

    def __init__(self, table_name: str, column: str, kind: Any, value: Any) -> None:
        """Keep what is set."""
        self.table_name = table_name
        self.column = column
        self.kind = kind
        self.value = value

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("fill", self.table_name, self.column, self.value)


class RenameOp(ops.MigrateOperation):
    """Gives a table another name, or one of its columns."""

    def __init__(self, table_name: str | None, old: str, new: str) -> None:
        """Keep the names; without a table they are those of a table."""
        self.table_name = table_name
        self.old = old
        self.new = new

    def reverse(self) -> RenameOp:
        """Return the way back."""
        return RenameOp(self.table_name, self.new, self.old)


class TableChanges(ops.ModifyTableOps):
    """The changes of one table, which SQLite carries out by building it anew."""


def directives(
    driver: Driver,
    specs: Sequence[ModelSpec],
    renames: Mapping[str, str],
    *,
    allow_drop: bool,
    afresh: bool = False,
) -> Callable[[Any, Any, list[Any]], None]:
    """Return what prepares a generated revision, for Alembic's option of this kind.

    Args:
        driver: Writes the triggers.
        specs: The models.
        renames: What has another name from now on.
        allow_drop: Whether data may be lost.
        afresh: Whether the file is for databases that have nothing yet, unlike this one.

    Raises:
        DataLossError: From the function, if something would be lost and may not.
    """

    def prepare(context: Any, _: Any, scripts: list[Any]) -> None:
        if not context.opts["revision_context"].command_args["autogenerate"]:
            return
        found = flat(scripts[0].upgrade_ops.ops)
        operations = completed(context.connection, specs, found)
        touched = {name for item in operations if (name := table_of(item)) is not None}
        work = find_trigger_work(context.connection, driver, specs, touched, afresh=afresh)
        guards = guard_steps(context.connection, driver, work)
        changes = (*map(changes_of, operations), *trigger_changes(work))
        plan = MigrationPlan(changes, (), possible_renames(operations))
        check_losses(plan, allow_drop=allow_drop)
        fields = {
            (spec.table.name, field.column.name): field
            for spec in specs
            for field in spec.fields.values()
        }
        backwards = [operation.reverse() for operation in reversed(operations)]
        forth, back = _renamings(renames)
        filled, upgrade = _upgrading(operations, fields)
        downgrade = [step for item in backwards for step in _backwards(item, fields)]
        scripts[0].upgrade_ops.ops[:] = [
            *forth, *guards.first, *filled, *guards.before, *_grouped(upgrade), *guards.after
        ]  # fmt: skip
        scripts[0].downgrade_ops.ops[:] = [
            *guards.undo_after, *_grouped(downgrade), *guards.undo_before, *back
        ]  # fmt: skip

    return prepare


def _upgrading(operations: Iterable[Any], fields: Fields) -> tuple[list[Any], list[Any]]:
    """Return the steps of operations, with those apart that come before all others."""
    early, rest = list[Any](), list[Any]()
    for operation in operations:
        first = fills_first(operation)
        for step in _forwards(operation, fields):
            (early if first and isinstance(step, FillOp) else rest).append(step)
    return early, rest


def _renamings(renames: Mapping[str, str]) -> tuple[list[RenameOp], list[RenameOp]]:
    """Return the renames, tables first, and the way back."""
    tables = {old: new for old, new in renames.items() if "." not in old}
    forth = [RenameOp(None, old, new) for old, new in tables.items()]
    for old, new in renames.items():
        table, dot, column = old.rpartition(".")
        if dot:
            forth.append(RenameOp(tables.get(table, table), column, new.rpartition(".")[2]))
    return forth, [operation.reverse() for operation in reversed(forth)]


# ---------------------------------------------------------- tables with records


def _forwards(operation: Any, fields: Fields) -> Iterator[Any]:
    """Yield an operation with what old records need for it: their field's default."""
    if isinstance(operation, ops.AddColumnOp):
        field = fields[operation.table_name, operation.column.name]
        operation.column = operation.column._copy()  # noqa: SLF001 - the model keeps its own
        if operation.column.server_default is None and not field.nullable:
            operation.column.server_default = _default_clause(field)
    elif isinstance(operation, ops.AlterColumnOp):
        field = fields[operation.table_name, operation.column_name]
        for step in steps_of(operation):
            if step.modify_nullable is False and field.has_default:
                yield _fill(step, field.column.type, _default_of(field))
            yield step
        return
    yield operation


def _backwards(operation: Any, fields: Fields) -> Iterator[Any]:
    """Yield an operation with what records need that never had the former column.

    Its own values are gone; where it has no default they are empty ones.
    """
    if isinstance(operation, ops.AddColumnOp):
        yield from _added_again(operation)
    elif isinstance(operation, ops.AlterColumnOp):
        field = fields[operation.table_name, operation.column_name]
        for step in steps_of(operation):
            if step.modify_nullable is False:
                kind = operation.modify_type or field.column.type
                empty = _empty(kind)
                yield _fill(
                    step, kind, empty if operation.modify_type else _default_of(field, empty)
                )
            yield step
    else:
        yield operation


def _added_again(operation: ops.AddColumnOp) -> Iterator[Any]:
    column = operation.column = operation.column._copy()  # noqa: SLF001 - likewise
    if column.nullable or column.server_default is not None:
        yield operation
        return
    column.nullable = True
    yield operation
    required = ops.AlterColumnOp(
        operation.table_name, column.name,
        existing_type=column.type, existing_nullable=True, modify_nullable=False,
    )  # fmt: skip
    yield _fill(required, column.type, _empty(column.type))
    yield required


def _fill(operation: ops.AlterColumnOp, kind: Any, value: Any) -> FillOp:
    plain = JsonValue() if isinstance(kind, JsonValue) and value == {} else kind
    return FillOp(operation.table_name, operation.column_name, plain, value)


def _default_of(field: FieldSpec, otherwise: Any = None) -> Any:
    value = default_value(field)
    return otherwise if value is None else value


def _default_clause(field: FieldSpec) -> Any:
    value = _default_of(field)
    return None if value is None else sa.DefaultClause(sa.literal(value, field.column.type))


_EMPTY: Mapping[type, Any] = {
    bool: False, int: 0, float: 0.0, str: "", bytes: b"", Decimal: Decimal(0),
    dt.date: dt.date(1970, 1, 1), dt.datetime: dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.time: dt.time(), dt.timedelta: dt.timedelta(), uuid.UUID: uuid.UUID(int=0),
    dict: {}, list: [],
}  # fmt: skip


def _empty(kind: Any) -> Any:
    if isinstance(kind, EnumValue):
        return next(iter(kind.members))
    plain = kind.impl_instance if isinstance(kind, Converted) else kind
    try:
        return _EMPTY.get(plain.python_type, "")
    except NotImplementedError:
        return ""


# ------------------------------------------------------------------- as written


def _grouped(operations: Iterable[Any]) -> Iterator[Any]:
    """Put neighbours that change one table together: SQLite builds it anew once."""
    for name, group in groupby(operations, _table_changed):
        if name is None:
            yield from group
        else:
            yield TableChanges(name, list(group))


def _table_changed(operation: Any) -> str | None:
    if not isinstance(operation, _GROUPED):
        return None
    linked = isinstance(operation, ops.CreateForeignKeyOp)
    return str(getattr(operation, "source_table" if linked else "table_name"))


@renderers.dispatch_for(TableChanges)
def _write_changes(context: Any, operation: TableChanges) -> list[str]:
    options = ""
    if any(isinstance(item, ops.DropConstraintOp) for item in operation.ops):
        # Of constraints without a name; a database may have such ones.
        options += f", naming_convention={ {kind: NAMING[kind] for kind in ('fk', 'pk', 'uq')}!r}"
    if any(isinstance(item, ops.CreatePrimaryKeyOp) for item in operation.ops):
        options += ", table_kwargs={'sqlite_autoincrement': True}"  # where the key is one number
    lines = [f"with op.batch_alter_table({operation.table_name!r}{options}) as batch_op:"]
    with context._within_batch():  # noqa: SLF001 - as Alembic's own writer of these operations
        for item in operation.ops:
            written = renderers.dispatch(item)(context, item)
            lines += [written] if isinstance(written, str) else written
    return [*lines, ""]


@renderers.dispatch_for(ops.CreatePrimaryKeyOp, replace=True)  # Alembic's own is not implemented
def _write_key(context: Any, operation: ops.CreatePrimaryKeyOp) -> str:
    place = "" if context._has_batch else f"{operation.table_name!r}, "  # noqa: SLF001 - likewise
    prefix = "batch_op" if context._has_batch else "op"  # noqa: SLF001 - likewise
    columns = [str(column) for column in operation.columns]
    return (
        f"{prefix}.create_primary_key(op.f({str(operation.constraint_name)!r}), {place}{columns})"
    )


@renderers.dispatch_for(FillOp)
def _write_fill(context: Any, operation: FillOp) -> str:
    kind = render_type(operation.kind, context)
    value = render_value(operation.value, operation.kind, context)
    name = str(operation.column)
    return (
        f"op.execute(\n    sa.table({operation.table_name!r}, sa.column({name!r}, {kind}))\n"
        f"    .update()\n    .where(sa.column({name!r}).is_(None))\n"
        f"    .values({{{name!r}: {value}}})\n)"
    )


@renderers.dispatch_for(RenameOp)
def _write_rename(_: Any, operation: RenameOp) -> str:
    if operation.table_name is None:
        return f"op.rename_table({operation.old!r}, {operation.new!r})"
    return (
        f"op.alter_column({operation.table_name!r}, {operation.old!r}, "
        f"new_column_name={operation.new!r})"
    )
