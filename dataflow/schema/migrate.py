"""Planning and applying migrations between a database and the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.guard import kind_of
from dataflow.errors import DataLossError, ParameterError, SchemaDriftError, did_you_mean
from dataflow.models.spec import ModelSpec
from dataflow.schema.compare import changes_of, compare
from dataflow.schema.create import without_value
from dataflow.schema.plan import Change, ChangeKind, MigrationPlan
from dataflow.schema.statements import (
    altering_statements,
    filling_statements,
    rebuilding_statements,
    rename_statements,
    table_of,
)
from dataflow.schema.triggers import TriggerWork, find_trigger_work
from dataflow.schema.values import check_decimals, check_filled, check_values
from dataflow.schema.work import run_schema_work

__all__ = [
    "apply_migration",
    "check_losses",
    "check_names",
    "check_references",
    "plan_migration",
    "possible_renames",
    "renames_left",
    "trigger_changes",
]

_CREATE: dict[str, ChangeKind] = {"trigger": "create trigger", "policy": "create policy"}
_DROP: dict[str, ChangeKind] = {"trigger": "drop trigger", "policy": "drop policy"}


async def plan_migration(
    database: Database,
    specs: Sequence[ModelSpec],
    renames: Mapping[str, str],
    drop_tables: Sequence[str],
) -> MigrationPlan:
    """Return what makes the database equal to the models; writes nothing.

    Renames are tried in a transaction that is rolled back, to see what is left.
    """
    write = bool(renames)
    return await run_schema_work(
        database,
        lambda connection: _plan(connection, database, specs, renames, drop_tables)[0],
        write=write,
        prelude=database.driver.before_rebuild if write else (),
        keep=False,
    )


async def apply_migration(
    database: Database,
    specs: Sequence[ModelSpec],
    renames: Mapping[str, str],
    drop_tables: Sequence[str],
    *,
    allow_drop: bool,
) -> MigrationPlan:
    """Make the database equal to the models, in one transaction; return what was done.

    Raises:
        DataLossError: If something would be lost and `allow_drop` is not set.
    """

    def work(connection: sa.Connection) -> MigrationPlan:
        for statement in database.driver.migration_prelude:
            connection.exec_driver_sql(statement)
        plan, operations = _plan(connection, database, specs, renames, drop_tables)
        check_losses(plan, allow_drop=allow_drop)
        _check_additions(connection, specs, plan)
        for table, columns in _altered(specs, operations, _is_required).items():
            check_filled(connection, table, [str(c.name) for c in columns if _needs_value(c)])
        rebuilds = bool(database.driver.before_rebuild)
        retyped = _altered(specs, operations, _is_retyped) if rebuilds else {}
        for table, columns in retyped.items():
            check_decimals(connection, table, columns)
        done = sum(change.kind.startswith("rename") for change in plan.changes)
        for statement in plan.statements[done:]:
            connection.exec_driver_sql(statement)
        check_references(connection, database)
        for table, columns in retyped.items():
            check_values(connection, table, columns)
        return plan

    prelude = database.driver.before_rebuild
    return await run_schema_work(database, work, write=True, prelude=prelude)


def check_losses(plan: MigrationPlan, *, allow_drop: bool) -> None:
    """Refuse a plan that loses data, unless it may.

    Raises:
        DataLossError: Naming what would be lost.
    """
    if plan.losses and not allow_drop:
        problem = "; ".join(str(change).partition("  (")[0] for change in plan.losses)
        raise DataLossError(problem=problem, renames=dict(plan.possible_renames))


def _check_additions(
    connection: sa.Connection, specs: Sequence[ModelSpec], plan: MigrationPlan
) -> None:
    """Refuse a new column that needs a value which nothing says for the records there are."""
    for change in plan.changes:
        spec = next((spec for spec in specs if spec.table.fullname == change.table), None)
        if change.kind != "add column" or spec is None:
            continue
        field = next(f for f in spec.fields.values() if f.column.name == change.name)
        missed = without_value(connection, spec, field)
        if missed is not None and field.generated != "database":
            raise SchemaDriftError(problem=f"{missed[0]}.", advise=missed[1])


def _needs_value(column: sa.Column[Any]) -> bool:
    given = column.default is not None or column.server_default is not None
    return not column.nullable and not given


def _altered(
    specs: Sequence[ModelSpec], operations: Sequence[Any], chosen: Callable[[Any], bool]
) -> dict[str, list[sa.Column[Any]]]:
    """Return tables with those of their columns that are altered in some way."""
    tables = {str(spec.table.name): spec.table for spec in specs}
    found: dict[str, list[sa.Column[Any]]] = {}
    for operation in operations:
        if type(operation).__name__ == "AlterColumnOp" and chosen(operation):
            columns = {str(c.name): c for c in tables[operation.table_name].columns}
            column = columns[str(operation.column_name)]
            found.setdefault(operation.table_name, []).append(column)
    return found


def _is_required(operation: Any) -> bool:
    return operation.modify_nullable is False


def _is_retyped(operation: Any) -> bool:
    return operation.modify_type is not None


def _plan(
    connection: sa.Connection,
    database: Database,
    specs: Sequence[ModelSpec],
    renames: Mapping[str, str],
    drop_tables: Sequence[str],
) -> tuple[MigrationPlan, list[Any]]:
    """Return what there is to do, and Alembic's operations that it was made of."""
    renames = renames_left(connection, renames)
    check_names(connection, renames, drop_tables)
    first = rename_statements(renames, connection.dialect)
    for statement in first:
        connection.exec_driver_sql(statement)
    operations = compare(connection, specs, drop_tables)
    touched = {name for operation in operations if (name := table_of(operation)) is not None}
    work = find_trigger_work(connection, database.driver, specs, touched)
    changes = [
        *map(_renamed, renames.items()), *map(changes_of, operations), *trigger_changes(work)
    ]  # fmt: skip
    if database.driver.before_rebuild:
        statements = rebuilding_statements(connection, operations, specs, _gone(work))
    else:
        statements = altering_statements(operations, specs, connection.dialect)
    creates = work.creates(connection.dialect)
    fills = filling_statements(operations, specs, connection.dialect)
    ordered = (*first, *work.obstacles, *fills, *work.other_drops, *statements, *creates)
    plan = MigrationPlan(tuple(changes), ordered, possible_renames(operations))
    return plan, operations


def trigger_changes(work: TriggerWork) -> list[Change]:
    """Return the changes; what watched over records so far is not given up unasked."""
    created = [
        Change(_CREATE[kind_of(name)], table, name) if name else Change("create table", table)
        for table, name in work.missing
    ]
    dropped = [
        Change(_DROP[kind_of(name)], table, name, loses_data=True) for table, name in work.unwanted
    ]
    return [*created, *dropped]


def _gone(work: TriggerWork) -> frozenset[str]:
    return work.stale | {name for _, name in work.unwanted}


def _renamed(pair: tuple[str, str]) -> Change:
    old, new = pair
    table, dot, column = old.rpartition(".")
    if dot:
        return Change("rename column", table, column, f"-> {new.rpartition('.')[2]}")
    return Change("rename table", old, None, f"-> {new}")


def renames_left(connection: sa.Connection, renames: Mapping[str, str]) -> dict[str, str]:
    """Return the renames that nobody has made yet, such as another process just now."""
    if not renames:
        return {}
    inspector = sa.inspect(connection)
    tables = inspector.get_table_names()
    names = {f"{t}.{c['name']}" for t in tables for c in inspector.get_columns(t)} | set(tables)
    moved = {old: new for old, new in renames.items() if "." not in old}

    def made(old: str, new: str) -> bool:
        table, dot, column = old.rpartition(".")
        now = moved.get(table, table)
        places = {f"{place}{dot}{column}" for place in (table, now)} if dot else {old}
        wanted = f"{now}.{new.rpartition('.')[2]}" if dot else new
        return wanted in names and not places & names

    return {old: new for old, new in renames.items() if not made(old, new)}


def check_names(
    connection: sa.Connection, renames: Mapping[str, str], drop_tables: Sequence[str]
) -> None:
    """Check that what is renamed or dropped exists.

    Raises:
        ParameterError: For a rename between a table and a column, or into another table.
        SchemaDriftError: Naming the nearest name that the database has, or a new one that
            is taken.
    """
    inspector = sa.inspect(connection)
    tables = inspector.get_table_names()
    for old, new in renames.items():
        table, _, column = old.rpartition(".") if "." in old else (old, "", "")
        if ("." in old) != ("." in new) or new.count(".") > 1:
            problem = (
                f"a rename goes from table to table or column to column, not {old!r}: {new!r}."
            )
            raise ParameterError(problem=problem)
        place = new.rpartition(".")[0]
        if place not in ("", table, renames.get(table)):
            problem = f"a column stays in its table, which {old!r}: {new!r} does not say."
            raise ParameterError(problem=problem)
        if table not in tables:
            problem = f"there is no table {table!r} to rename."
            raise SchemaDriftError(problem=problem, advise=did_you_mean(table, tables))
        columns = [found["name"] for found in inspector.get_columns(table)]
        if column and column not in columns:
            problem = f"there is no column {old!r} to rename."
            raise SchemaDriftError(problem=problem, advise=did_you_mean(column, columns))
    _check_free(inspector, renames)
    for name in drop_tables:
        if name not in tables:
            problem = f"there is no table {name!r} to drop."
            raise SchemaDriftError(problem=problem, advise=did_you_mean(name, tables))


def _check_free(inspector: sa.Inspector, renames: Mapping[str, str]) -> None:
    """Refuse a rename to a name that something else has when its turn comes.

    Whether names have been swapped before cannot be seen: another process that does the
    same would swap them back.
    """
    tables = inspector.get_table_names()
    named = {old.rpartition(".")[0] for old in renames}.intersection(tables)
    taken = {f"{t}.{c['name']}" for t in named for c in inspector.get_columns(t)} | set(tables)
    for old, new in sorted(renames.items(), key=lambda pair: "." in pair[0]):  # tables first
        place, dot, _ = old.rpartition(".")
        name = f"{place}{dot}{new.rpartition('.')[2]}"
        if name in taken:
            raise SchemaDriftError(
                problem=f"{name!r} exists already, so {old!r} cannot get its name.",
                advise="swap two names in migrations one after another, by way of a free name",
            )
        taken = (taken - {old}) | {name}


def possible_renames(operations: Sequence[object]) -> dict[str, str]:
    """Pair what is dropped with what is added to the same table, where there is one of each."""
    changes = [changes_of(operation) for operation in operations]
    found = {}
    for table in {change.table for change in changes}:
        dropped = [c for c in changes if c.table == table and c.kind == "drop column"]
        added = [c for c in changes if c.table == table and c.kind == "add column"]
        if len(dropped) == len(added) == 1:
            found[f"{table}.{dropped[0].name}"] = f"{table}.{added[0].name}"
    return found


def check_references(connection: sa.Connection, database: Database) -> None:
    """Look for foreign keys that a rebuilt table broke."""
    if not database.driver.before_rebuild:
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        table, _, parent, _ = broken[0]
        problem = f"{len(broken)} record(s) of {table!r} would refer to no record of {parent!r}."
        raise SchemaDriftError(problem=problem)
