"""The SQL of a migration: ALTER where the database can, a new table where it cannot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dataflow.models.spec import ModelSpec
from dataflow.schema.compare import alembic, fills_first, steps_of, with_own_implementation
from dataflow.schema.create import bare_column
from dataflow.schema.defaults import default_literal, default_sql, is_constant

__all__ = [
    "altering_statements",
    "filling_statements",
    "rebuilding_statements",
    "rename_statements",
    "table_of",
]

_DIRECT = ("CreateTableOp", "DropTableOp", "CreateIndexOp", "DropIndexOp")


def rename_statements(renames: Mapping[str, str], dialect: sa.Dialect) -> list[str]:
    """Return the statements for `{"users.name": "users.full_name", "people": "persons"}`.

    Tables come first; columns are named by the new name of their table.
    """
    quote = dialect.identifier_preparer.quote
    tables = {old: new for old, new in renames.items() if "." not in old}
    found = [f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}" for old, new in tables.items()]
    for old, new in renames.items():
        table, dot, column = old.rpartition(".")
        if dot:
            target = quote(tables.get(table, table))
            name = new.rpartition(".")[2]
            found.append(f"ALTER TABLE {target} RENAME COLUMN {quote(column)} TO {quote(name)}")
    return found


def altering_statements(
    operations: Sequence[Any], specs: Sequence[ModelSpec], dialect: sa.Dialect
) -> list[str]:
    """Return Alembic's statements; new required columns get their default in old records."""
    found: list[str] = []
    options = {"as_sql": True}
    context = alembic("runtime.migration").MigrationContext.configure(dialect=dialect, opts=options)
    with_own_implementation(context).impl.static_output = lambda text: found.append(
        text.strip().rstrip(";")
    )
    invoke = alembic("operations").Operations(context).invoke
    by_table = {spec.table.name: spec for spec in specs}
    for operation in operations:
        added = _added_field(operation, by_table)
        if added is not None:
            spec, name = added
            field = spec.fields[name]
            found += bare_column(spec, field, dialect, default_sql(field.column, dialect))
            continue
        for step in steps_of(operation):
            if not fills_first(operation):
                found += _filled(step, by_table, dialect)
            invoke(step)
    return [text for text in found if text]


def filling_statements(
    operations: Sequence[Any], specs: Sequence[ModelSpec], dialect: sa.Dialect
) -> list[str]:
    """Return what gives records their default in columns that become required, before all else."""
    by_table = {spec.table.name: spec for spec in specs}
    early = filter(fills_first, operations)
    return [text for operation in early for text in _filled(operation, by_table, dialect)]


def _filled(operation: Any, by_table: Mapping[str, ModelSpec], dialect: sa.Dialect) -> list[str]:
    """Return what gives records their default before a column becomes required."""
    if type(operation).__name__ != "AlterColumnOp" or operation.modify_nullable is not False:
        return []
    spec = by_table[operation.table_name]
    fields = [f for f in spec.fields.values() if f.column.name == operation.column_name]
    default = default_literal(fields[0], dialect)
    if default is None:
        return []
    quote = dialect.identifier_preparer.quote
    column = quote(operation.column_name)
    table = dialect.identifier_preparer.format_table(spec.table)
    return [f"UPDATE {table} SET {column} = {default} WHERE {column} IS NULL"]


def _added_field(operation: Any, by_table: Mapping[str, ModelSpec]) -> tuple[ModelSpec, str] | None:
    if type(operation).__name__ != "AddColumnOp":
        return None
    spec = by_table[operation.table_name]
    for name, field in spec.fields.items():
        if field.column.name == operation.column.name:
            return spec, name
    return None


# ------------------------------------------------------------------- new tables


def rebuilding_statements(
    connection: sa.Connection,
    operations: Sequence[Any],
    specs: Sequence[ModelSpec],
    gone: Collection[str] = (),
) -> list[str]:
    """Return the statements for a database that can alter little.

    A table that changes in another way than by new columns and indexes is built anew
    under another name, filled, and put in the old one's place, as
    https://www.sqlite.org/lang_altertable.html#otheralter describes. Its triggers come
    back, except those that are `gone`.
    """
    dialect = connection.dialect
    by_table = {spec.table.name: spec for spec in specs}
    rebuilt = {
        str(table_of(operation))
        for operation in operations
        if not _is_direct(operation, by_table, dialect)
    }
    direct = [operation for operation in operations if table_of(operation) not in rebuilt]
    found = altering_statements(direct, specs, dialect)
    for name in sorted(rebuilt):
        found += _rebuild(connection, by_table[name], gone)
    return found


def table_of(operation: Any) -> str | None:
    """Return the name of the table that one of Alembic's operations is about."""
    name = getattr(operation, "table_name", None) or getattr(operation, "source_table", None)
    return None if name is None else str(name)


def _is_direct(operation: Any, by_table: Mapping[str, ModelSpec], dialect: sa.Dialect) -> bool:
    if type(operation).__name__ in _DIRECT:
        return True
    added = _added_field(operation, by_table)
    if added is None:
        return False
    column = added[0].fields[added[1]].column
    default = default_sql(column, dialect)
    constant = default is None or is_constant(default)
    return constant and not column.unique and not column.primary_key


def _rebuild(connection: sa.Connection, spec: ModelSpec, gone: Collection[str]) -> Iterator[str]:
    dialect, table = connection.dialect, spec.table
    preparer = dialect.identifier_preparer
    old, new = preparer.format_table(table), preparer.quote(f"dataflow_new_{table.name}"[:63])
    create = str(sa.schema.CreateTable(table).compile(dialect=dialect)).strip()
    yield create.replace(f"CREATE TABLE {old}", f"CREATE TABLE {new}", 1)
    # Without a column in common, records get a generated key, or are refused for theirs.
    nothing = [(preparer.format_column(spec.fields[spec.key[0]].column), "NULL")]
    targets, sources = zip(*(list(_copied(connection, spec)) or nothing), strict=True)
    yield f"INSERT INTO {new} ({', '.join(targets)}) SELECT {', '.join(sources)} FROM {old}"
    if "AUTOINCREMENT" in create and "AUTOINCREMENT" in _definition(connection, table.name):
        yield f"DELETE FROM sqlite_sequence WHERE name = {_text(_bare(new))}"
        yield (
            f"INSERT INTO sqlite_sequence (name, seq) SELECT {_text(_bare(new))}, seq "
            f"FROM sqlite_sequence WHERE name = {_text(table.name)}"
        )
    triggers = _triggers(connection, table.name, gone)
    yield f"DROP TABLE {old}"
    yield f"ALTER TABLE {new} RENAME TO {old}"
    for index in table.indexes:
        yield str(sa.schema.CreateIndex(index).compile(dialect=dialect))
    yield from triggers


def _copied(connection: sa.Connection, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Yield columns with where their values come from: the old column, else the default."""
    dialect = connection.dialect
    quote = dialect.identifier_preparer.quote
    existing = {
        column["name"]: column for column in sa.inspect(connection).get_columns(spec.table.name)
    }
    for field in spec.fields.values():
        name, default = field.column.name, default_literal(field, dialect)
        if name in existing:
            source = quote(name)
            if not field.nullable and existing[name]["nullable"] and default is not None:
                source = f"coalesce({source}, {default})"
            yield quote(name), source
        elif default is not None:
            yield quote(name), default


def _definition(connection: sa.Connection, table: str) -> str:
    sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    return str(connection.exec_driver_sql(sql, (table,)).scalar())


def _triggers(connection: sa.Connection, table: str, gone: Collection[str]) -> list[str]:
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    rows = connection.exec_driver_sql(sql, (table,))
    return [statement for name, statement in rows if name not in gone]


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


def _bare(quoted: str) -> str:
    return quoted.strip('"').replace('""', '"')
