"""Creation of missing tables and columns, under a lock that processes can race for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.sql.elements import quoted_name

from dataflow.database.database import Database
from dataflow.errors import LoopError, SchemaDriftError, did_you_mean
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.models.tenancy import TENANT
from dataflow.schema.defaults import default_literal, default_sql, is_constant
from dataflow.schema.difference import Difference, find_difference
from dataflow.schema.links import links_of, mark_late
from dataflow.schema.triggers import TriggerWork, describe, find_trigger_work
from dataflow.schema.work import run_schema_work, schema_engine

__all__ = [
    "bare_column",
    "check_schema",
    "ensure_schema",
    "reflect_tables",
    "without_value",
]


async def ensure_schema(database: Database, specs: Sequence[ModelSpec]) -> None:
    """Create the tables, columns and triggers that are missing.

    A check without a lock comes first. Then one transaction takes the database's
    schema lock, looks again, and makes all changes or none.

    Raises:
        SchemaDriftError: If a required column without a default would have to be added,
            or if revision files change this schema.
    """

    def is_due(connection: sa.Connection) -> bool:
        return _is_due(connection, database, specs)

    async with schema_engine(database) as engine:
        if not await run_schema_work(database, is_due, write=False, engine=engine):
            return
        if database.current() is not None and database.driver.serial_writes:
            raise LoopError(
                problem="tables are missing, and this transaction holds the only writer.",
                advise="declare all models before the transaction begins",
            )
        await run_schema_work(
            database, lambda c: _create(c, database, specs), write=True, engine=engine
        )


def _compared(
    connection: sa.Connection, database: Database, specs: Sequence[ModelSpec]
) -> tuple[Difference, TriggerWork]:
    return find_difference(connection, specs), find_trigger_work(connection, database.driver, specs)


def _is_due(connection: sa.Connection, database: Database, specs: Sequence[ModelSpec]) -> bool:
    """Whether something is to be created, and revision files do not do it.

    A table with another version of a trigger is watched over, as during an upgrade.
    """
    missing, guards = _compared(connection, database, specs)
    if not missing and not guards.missing:
        return False
    if not _has_revisions(connection, database):
        return True
    if missing or guards.unwatched:
        raise SchemaDriftError(
            problem=_described(missing, () if missing else guards.unwatched),
            advise="revision files change this schema: run db.migrations.upgrade(), after "
            "db.migrations.revision(message) for what is new in the models",
        )
    return False


def _described(missing: Difference, guards: Sequence[tuple[str, str]]) -> str:
    return f"{'; '.join(filter(None, (missing.describe(), describe(guards))))}."


def _has_revisions(connection: sa.Connection, database: Database) -> bool:
    """Whether the database, or the program, is one that revision files change."""
    if any(Path(database.config.migrations_path, "versions").glob("*.py")):
        return True
    return sa.inspect(connection).has_table("alembic_version")


async def check_schema(database: Database, specs: Sequence[ModelSpec]) -> None:
    """Compare the models with the database and write nothing.

    Raises:
        SchemaDriftError: Naming every missing table, column and trigger.
    """
    missing, guards = await run_schema_work(
        database, lambda c: _compared(c, database, specs), write=False
    )
    if missing or guards.missing:
        raise SchemaDriftError(
            problem=_described(missing, guards.missing),
            advise="existing_schema_mode never writes schema: create it, or correct the models",
        )


async def reflect_tables(database: Database, metadata: sa.MetaData, names: Sequence[str]) -> None:
    """Read existing tables into a metadata collection.

    Raises:
        SchemaDriftError: For a table that does not exist.
    """

    def reflect(connection: sa.Connection) -> None:
        inspector = sa.inspect(connection)
        known = [*inspector.get_table_names(), *inspector.get_view_names()]
        for name in names:
            if name not in known:
                raise SchemaDriftError(
                    problem=f"there is no table {name!r}.", advise=did_you_mean(name, known)
                )
        with _quoted_names(metadata):
            metadata.reflect(connection, only=list(names), views=True)

    await run_schema_work(database, reflect, write=False)


@contextmanager
def _quoted_names(metadata: sa.MetaData) -> Iterator[None]:
    """Let names that are read be quoted: not all words that databases reserve are known."""

    def quote(inspector: Any, table: sa.Table, column: Any) -> None:
        del inspector, table
        column["key"], column["name"] = column["name"], quoted_name(column["name"], quote=True)

    event.listen(metadata, "column_reflect", quote)
    try:
        yield
    finally:
        event.remove(metadata, "column_reflect", quote)


def _create(connection: sa.Connection, database: Database, specs: Sequence[ModelSpec]) -> None:
    missing = find_difference(connection, specs)
    _refuse_impossible(connection, missing)
    _create_tables(connection, [spec.table for spec in missing.tables])
    for spec, name in missing.columns:
        field = spec.fields[name]
        default = _default_in_place(connection, field)
        for statement in _add_column(spec, field, connection.dialect, default):
            connection.exec_driver_sql(statement)
    work = find_trigger_work(connection, database.driver, specs)
    for statement in (*work.drops, *work.creates(database.driver.dialect)):
        connection.exec_driver_sql(statement)


def _create_tables(connection: sa.Connection, tables: Sequence[sa.Table]) -> None:
    late = mark_late(tables)
    for table in sa.sql.ddl.sort_tables(tables):
        table.create(connection)
    if connection.dialect.supports_alter:
        for link in late:
            connection.execute(sa.schema.AddConstraint(link, isolate_from_table=False))


def _refuse_impossible(connection: sa.Connection, missing: Difference) -> None:
    for spec, name in missing.columns:
        field = spec.fields[name]
        problem = _impossible(connection, spec, field)
        if problem is not None:
            missed = f"column {spec.table.fullname}.{field.column.name} is missing, and"
            raise SchemaDriftError(problem=f"{missed} {problem[0]}.", advise=problem[1])


def _impossible(
    connection: sa.Connection, spec: ModelSpec, field: FieldSpec
) -> tuple[str, str] | None:
    """Return why a column cannot be added, and what to do instead; or None."""
    if field.required or field.generated == "database":
        problem = f"field {field.name!r} of {spec.name!r} is required and has no default"
        return problem, f"give {spec.name}.{field.name} a default, or allow None"
    if field.column.primary_key:
        return f"is a part of the key of {spec.name!r}", "run db.migrations.apply()"
    others = {column.name for link in _links(field) for column in link.columns} - {
        field.column.name
    }
    if others - {TENANT}:
        problem = "is one of several that make a foreign key together"
        return problem, "run db.migrations.apply()"
    if others and not connection.dialect.supports_alter:
        return "leads to records of the same tenant", "run db.migrations.apply()"
    if field.info.server_default and _default_in_place(connection, field) is None:
        problem = f"has the default {field.info.server_default}, which a table with records"
        return f"{problem} cannot get here", "run db.migrations.apply()"
    return without_value(connection, spec, field)


def _is_empty(connection: sa.Connection, table: sa.Table) -> bool:
    return not connection.scalar(sa.select(sa.exists().select_from(table)))


def _default_in_place(connection: sa.Connection, field: FieldSpec) -> str | None:
    """Return the column's own default if the table can get it without being built anew."""
    own = default_sql(field.column, connection.dialect)
    takes = own is None or is_constant(own) or connection.dialect.supports_alter
    return own if takes or _is_empty(connection, field.column.table) else None


def without_value(
    connection: sa.Connection, spec: ModelSpec, field: FieldSpec
) -> tuple[str, str] | None:
    """Return that existing records have no value for a new column, and what to do; or None."""
    known = field.nullable or default_literal(field, connection.dialect) is not None
    if known or _is_empty(connection, spec.table):
        return None
    problem = f"nothing says what {field.name!r} of the existing records of {spec.name!r} is"
    return problem, "add the column by a revision file of db.migrations, which says so"


def _links(field: FieldSpec) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys that a field's column is a part of, as the database has them."""
    links = links_of(field.column.table)
    return [link for link in links if field.column in list(link.columns)]


def _add_column(
    spec: ModelSpec, field: FieldSpec, dialect: sa.Dialect, default: str | None
) -> list[str]:
    """Return the statements that add a column with its indexes and foreign keys.

    Args:
        spec: The model.
        field: The field of the column.
        dialect: Whose SQL.
        default: The column's own default; None: existing records get the field's.
    """
    preparer = dialect.identifier_preparer
    table, column = preparer.format_table(spec.table), preparer.format_column(field.column)
    plain, *more = bare_column(spec, field, dialect, default)
    links = _links(field)
    compiler = dialect.ddl_compiler(dialect, sa.schema.CreateTable(spec.table))
    parts = [plain]
    for link in links if not dialect.supports_alter else ():
        target, name = link.elements[0].column, preparer.format_constraint(link)
        reference = f"{preparer.format_table(target.table)} ({preparer.format_column(target)})"
        parts.append(f"CONSTRAINT {name} REFERENCES {reference}")
        parts.append(compiler.define_constraint_cascades(link).strip())
    statements = [" ".join(filter(None, parts)), *more]
    statements += [
        str(sa.schema.CreateIndex(index).compile(dialect=dialect))
        for index in spec.table.indexes
        if field.column in list(index.columns)
    ]
    if field.column.unique:
        name = preparer.quote(f"uq_{spec.table.name}_{field.column.name}"[:63])
        statements.append(f"CREATE UNIQUE INDEX {name} ON {table} ({column})")
    for link in links if dialect.supports_alter else ():
        added = sa.schema.AddConstraint(link, isolate_from_table=False)
        statements.append(str(added.compile(dialect=dialect)))
    return statements


def bare_column(
    spec: ModelSpec, field: FieldSpec, dialect: sa.Dialect, default: str | None
) -> list[str]:
    """Return the statements that add a column alone; see `_add_column`."""
    preparer = dialect.identifier_preparer
    table, column = preparer.format_table(spec.table), preparer.format_column(field.column)
    given = default or default_literal(field, dialect)
    parts = [
        f"ALTER TABLE {table} ADD COLUMN {column} {field.column.type.compile(dialect)}",
        "" if given is None else f"DEFAULT {given}",
        "" if field.nullable else "NOT NULL",
    ]
    statements = [" ".join(filter(None, parts))]
    if given is not None and field.column.server_default is None and dialect.supports_alter:
        statements.append(f"ALTER TABLE {table} ALTER COLUMN {column} DROP DEFAULT")
    return statements
