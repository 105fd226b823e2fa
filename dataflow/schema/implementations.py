"""Alembic's operations and comparisons as they are made here: nothing is lost on the way.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.ddl.impl import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.ddl.sqlite import SQLiteImpl

from dataflow.models.columntypes import DECIMAL_COLLATION, ExactDecimal
from dataflow.schema.compare import is_wider
from dataflow.schema.plan import Change
from dataflow.schema.rendering import literal_text
from dataflow.schema.values import check_decimals, check_filled, check_values

__all__ = ["OwnPostgres", "OwnSqlite", "install"]

_BOUNDED = re.compile(r"(?:VARCHAR|NUMERIC|DECIMAL)\((\d+)(?:, *(-?\d+))?\)(?!\[)", re.IGNORECASE)
_COLLATED = re.compile(r'"?(\w+)"?\s+TEXT\s+COLLATE\s+"?(\w+)"?', re.IGNORECASE)


class Guarded:
    """Tells of each loss of data before it happens, so that it can be refused."""

    before_loss: Callable[[Change], None] = staticmethod(lambda _: None)

    def compare_indexes(
        self, metadata_index: sa.Index, reflected_index: sa.Index
    ) -> ComparisonResult:
        """Compare indexes; one over all records is another than one over some of them.

        What the conditions say is not compared: databases tell them in words of their own.
        """
        found: ComparisonResult = super().compare_indexes(metadata_index, reflected_index)  # type: ignore[misc]  # a method of Alembic's class
        wanted, present = map(self._is_partial, (metadata_index, reflected_index))
        if wanted is present or found.is_different:
            return found
        return ComparisonResult.Different("condition")

    def _is_partial(self, index: sa.Index) -> bool:
        dialect: sa.Dialect = self.dialect  # type: ignore[attr-defined]  # of Alembic's class
        options = index.dialect_options[dialect.name]
        return options.get("where") is not None

    def drop_table(self, table: sa.Table, **options: Any) -> None:
        """Drop a table."""
        self.before_loss(Change("drop table", table.name))
        super().drop_table(table, **options)  # type: ignore[misc]  # a method of Alembic's class

    def drop_column(self, table_name: str, column: sa.Column[Any], **options: Any) -> None:
        """Drop a column."""
        self.before_loss(Change("drop column", table_name, column.name))
        super().drop_column(table_name, column, **options)  # type: ignore[misc]  # likewise

    def changes_type(self, table_name: str, name: str, old: Any, new: Any) -> None:
        """Tell of a type that may not have a place for every value of the old one."""
        if old is not None and new is not None and not is_wider(old, new):
            detail = f"{old!r} -> {new!r}"
            self.before_loss(Change("alter column", table_name, name, detail))


class OwnPostgres(Guarded, PostgresqlImpl):
    """PostgreSQL: values are converted to a type of another family, and so are defaults."""

    def compare_type(
        self, inspector_column: sa.Column[Any], metadata_column: sa.Column[Any]
    ) -> bool:
        """Compare types; one with bounds is another than one without."""
        if super().compare_type(inspector_column, metadata_column):
            return True
        return self._bounds(inspector_column) != self._bounds(metadata_column)

    def _bounds(self, column: sa.Column[Any]) -> tuple[int, ...]:
        """Return the bounds of a type that may go without them; else none."""
        found = _BOUNDED.match(column.type.compile(self.dialect))
        if found is None:
            return ()
        digits, places = found.groups()
        return int(digits), int(places or 0)

    def alter_column(self, table_name: str, column_name: str, **options: Any) -> None:
        """Change a column; the old default goes before a type of another family comes."""
        old, new = options.get("existing_type"), options.get("type_")
        self.changes_type(table_name, column_name, old, new)
        if options.get("nullable") is False and self.connection is not None and not self.as_sql:
            check_filled(self.connection, table_name, [column_name], options.get("schema"))
        if _other_family(old, new):
            preparer = self.dialect.identifier_preparer
            # Without its bounds: an explicit cast to varchar(5) would cut what is too long.
            plain = re.sub(r"\(.*?\)", "", sa.types.to_instance(new).compile(self.dialect))
            options.setdefault("postgresql_using", f"{preparer.quote(column_name)}::{plain}")
            if options.get("server_default", False) is not False:
                super().alter_column(table_name, column_name, server_default=None)
        super().alter_column(table_name, column_name, **options)


def _other_family(old: Any, new: Any) -> bool:
    if old is None or new is None:
        return False
    families = [sa.types.to_instance(kind)._type_affinity for kind in (old, new)]  # noqa: SLF001 - SQLAlchemy's only word for it
    return families[0] is not families[1]


def _required(table: sa.Table, columns: Mapping[str, sa.Column[Any]]) -> Iterator[str]:
    """Yield the columns of a table that may be NULL, but not in the one in its place."""
    for column in table.c:
        new = columns.get(column.name)
        if new is not None and column.nullable and not new.nullable:
            yield str(column.name)


class OwnSqlite(Guarded, SQLiteImpl):
    """SQLite: a table that is built anew keeps what Alembic does not read back.

    That is its count of keys, its triggers, its indexes on expressions and the collations of
    its columns.
    """

    transactional_ddl = True
    _rebuilt: sa.Table | None = None
    _retyped: tuple[sa.Column[Any], ...] = ()
    _sequence: int | None = None
    _after: tuple[str, ...] = ()

    def cast_for_batch_migrate(self, existing: Any, existing_transfer: Any, new_type: Any) -> None:
        """Cast nothing: the new column's affinity converts what it can, and loses nothing."""

    def correct_for_autogen_foreignkeys(self, conn_fks: Any, metadata_fks: Any) -> None:
        """Read what ON DELETE and ON UPDATE say where a column says it, as added ones do."""
        super().correct_for_autogen_foreignkeys(conn_fks, metadata_fks)
        for link in conn_fks:
            if link.ondelete is None and link.onupdate is None:
                link.ondelete, link.onupdate = self._actions(link)

    def _actions(self, link: sa.ForeignKeyConstraint) -> list[str | None]:
        columns = "SELECT on_delete, on_update FROM pragma_foreign_key_list(:table)"
        found = self.connection.execute(  # type: ignore[union-attr]  # there is one in a comparison
            sa.text(f'{columns} WHERE "from" = :column'),
            {"table": link.table.name, "column": link.column_keys[0]},
        ).all()
        actions = found[0] if len(found) == 1 else ("NO ACTION", "NO ACTION")
        return [None if action == "NO ACTION" else action for action in actions]

    def autogen_column_reflect(
        self, inspector: sa.Inspector, table: sa.Table, column_info: Any
    ) -> None:
        """Read a column's collation too, and whether the table counts its keys."""
        super().autogen_column_reflect(inspector, table, column_info)
        if self._counts(table.name):
            table.dialect_options["sqlite"]["autoincrement"] = True
        collation = self._collations(table.name).get(column_info["name"])
        if collation is not None:
            ours = collation == DECIMAL_COLLATION
            column_info["type"] = ExactDecimal() if ours else sa.TEXT(collation=collation)

    def compare_type(
        self, inspector_column: sa.Column[Any], metadata_column: sa.Column[Any]
    ) -> bool:
        """Compare types; decimals, whose text sorts by value, are others than texts."""
        if super().compare_type(inspector_column, metadata_column):
            return True
        kinds = (inspector_column.type, metadata_column.type)
        there, wanted = (isinstance(kind, ExactDecimal) for kind in kinds)
        return there is not wanted

    def prep_table_for_batch(self, batch_impl: Any, table: sa.Table) -> None:
        """Note what must be there again when the table was built anew."""
        for column in batch_impl.columns.values():
            default = getattr(column.server_default, "arg", None)
            if isinstance(default, sa.TextClause):
                column.server_default = sa.DefaultClause(literal_text(default))
        retyped = self._retype(batch_impl, table)
        if self.connection is not None and not self.as_sql:
            check_filled(self.connection, table.name, _required(table, batch_impl.columns))
        self._give_nothing(batch_impl, table)
        self._rebuilt = table
        self._retyped = tuple(retyped)
        self._after = tuple(self._unread(table))
        self._sequence = self._sequence_of(table.name)
        key = list(batch_impl.new_table.primary_key.columns)
        if self._counts(table.name) and len(key) == 1:
            batch_impl.new_table.dialect_options["sqlite"]["autoincrement"] = True

    def _retype(self, batch_impl: Any, table: sa.Table) -> list[sa.Column[Any]]:
        """Return the columns that get another type; all others keep theirs."""
        retyped = list[sa.Column[Any]]()
        for column in table.c:
            if column.name not in batch_impl.columns:
                self.before_loss(Change("drop column", table.name, column.name))
                continue
            new = batch_impl.columns[column.name]
            if repr(new.type) != repr(column.type):
                retyped.append(new)
                self.changes_type(table.name, column.name, column.type, new.type)
            elif column.name in self._collations(table.name):
                new.type = sa.TEXT(collation=self._collations(table.name)[column.name])
        if self.connection is not None and not self.as_sql:
            check_decimals(self.connection, table.name, retyped)
        return retyped

    @staticmethod
    def _give_nothing(batch_impl: Any, table: sa.Table) -> None:
        """Give records NULL where a column is required and new: then there must be none."""
        nothing = sa.case((next(iter(table.c)).is_(None), None))
        sources = batch_impl.column_transfers
        for name, column in batch_impl.columns.items():
            if not column.nullable and column.server_default is None:
                sources[name].setdefault("expr", nothing)
        if not any("expr" in source for source in sources.values()):
            next(iter(sources.values()))["expr"] = nothing

    def drop_table(self, table: sa.Table, **options: Any) -> None:
        """Drop a table; one that was built anew loses nothing."""
        ours = self._rebuilt is table or table.name.startswith("_alembic_tmp_")
        if ours:
            SQLiteImpl.drop_table(self, table, **options)
        else:
            super().drop_table(table, **options)

    def rename_table(self, old_table_name: str, new_table_name: str, schema: Any = None) -> None:
        """Rename a table; one that was built anew gets back what was noted."""
        super().rename_table(old_table_name, new_table_name, schema=schema)
        if self._rebuilt is None or self._rebuilt.name != new_table_name:
            return
        if self._sequence is not None:
            self._run("DELETE FROM sqlite_sequence WHERE name = ?", new_table_name)
            self._run("INSERT INTO sqlite_sequence VALUES (?, ?)", new_table_name, self._sequence)
        for statement in self._after:
            self._run(statement)
        if self.connection is not None and not self.as_sql:
            check_values(self.connection, new_table_name, self._retyped)
        self._rebuilt = None

    def _run(self, sql: str, *values: Any) -> list[Any]:
        if self.connection is None or self.as_sql:
            return []
        found = self.connection.exec_driver_sql(sql, values)
        return list(found.fetchall()) if found.returns_rows else []

    def _definition(self, table: str) -> str:
        rows = self._run("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table)
        return rows[0][0] if rows else ""

    def _collations(self, table: str) -> dict[str, str]:
        return dict(_COLLATED.findall(self._definition(table)))

    def _counts(self, table: str) -> bool:
        return "AUTOINCREMENT" in self._definition(table).upper()

    def _sequence_of(self, table: str) -> int | None:
        if not self._counts(table):
            return None
        rows = self._run("SELECT seq FROM sqlite_sequence WHERE name = ?", table)
        return int(rows[0][0]) if rows else None

    def _unread(self, table: sa.Table) -> Iterator[str]:
        sql = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL"
        read = {index.name for index in table.indexes}
        for kind, name, statement in self._run(sql, table.name):
            if kind == "trigger" or (kind == "index" and name not in read):
                yield statement


_KINDS: dict[str, type[OwnPostgres | OwnSqlite]] = {
    "postgresql": OwnPostgres,
    "sqlite": OwnSqlite,
}


def install(context: Any) -> None:
    """Put our implementation in the place of Alembic's own."""
    context.impl = _KINDS[context.dialect.name](
        context.dialect, context.connection, context.as_sql, None,
        context.output_buffer, context.opts,
    )  # fmt: skip
