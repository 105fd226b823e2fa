"""The part of PostgreSQL's driver that keeps tenants apart: row-level security.

What the policies are told are settings of a transaction. They end with it, so that
nothing is left on a pooled connection, and without them no tenant's record is seen.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import sqlalchemy as sa

from dataflow.context import CLOSED, Wall, tenant, wall_of
from dataflow.database.guard import POLICIES, PREFIX, Guard, is_policy, trigger_name
from dataflow.database.postgres_audit import PostgresAudit

__all__ = ["PostgresWalls"]

_TELL = (
    "SELECT set_config('dataflow.tenant', $1, true), set_config('dataflow.all_tenants', $2, true)"
)
_TEXTS = ("VARCHAR", "TEXT", "CHAR")
_WITH_COLUMNS = (sa.Index, sa.schema.ColumnCollectionConstraint)
_GUARDED = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
_OPEN = "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"


class PostgresWalls(PostgresAudit):
    """Policies, and whose records they are told are meant: a setting of the transaction."""

    has_policies: ClassVar[bool] = True
    bypass_query: ClassVar[str] = (
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    triggers_query: ClassVar[str] = (
        f"{PostgresAudit.triggers_query} UNION ALL "
        "SELECT n.nspname, c.relname, p.polname FROM pg_policy AS p "
        "JOIN pg_class AS c ON c.oid = p.polrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        f"WHERE starts_with(p.polname::text, '{PREFIX}') "
        "AND c.relrowsecurity AND c.relforcerowsecurity"
    )
    sources_query: ClassVar[str] = (
        f"{PostgresAudit.sources_query} UNION ALL "
        "SELECT p.polname, unnest(ARRAY["
        "format('CREATE POLICY %I ON %s', p.polname, p.polrelid::regclass) "
        "|| CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' ELSE '' END "
        "|| format(' USING (%s)', pg_get_expr(p.polqual, p.polrelid)) "
        "|| coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''), "
        f"format('ALTER TABLE %s {_GUARDED}', p.polrelid::regclass)]) "
        f"FROM pg_policy AS p WHERE starts_with(p.polname::text, '{PREFIX}')"
    )

    def triggers(self, guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
        found = super().triggers(guard, schema)
        return found if guard.wall is None else found | self._policies(guard.table, guard.wall)

    def _policies(self, table: sa.Table, column: sa.Column[Any]) -> dict[str, tuple[str, ...]]:
        """Return the policies: a tenant's own records, and those of all, to be read."""
        preparer = self.dialect.identifier_preparer
        of, kind = preparer.format_table(table), column.type.compile(self.dialect)
        cast = "" if kind.startswith(_TEXTS) else f"::{kind}"
        own = (
            f"{preparer.format_column(column)} = "
            f"nullif(current_setting('dataflow.tenant', true), ''){cast}"
        )
        terms = (
            f"USING ({own}) WITH CHECK ({own})",
            "FOR SELECT USING (current_setting('dataflow.all_tenants', true) = 'on')",
        )
        names = [trigger_name(f"{of} {terms}", ending) for ending in POLICIES]
        return {
            name: (
                f"DROP POLICY IF EXISTS {name} ON {of}",
                f"CREATE POLICY {name} ON {of} {term}",
                f"ALTER TABLE {of} {_GUARDED}",
            )
            for name, term in zip(names, terms, strict=True)
        }

    def trigger_drop(self, name: str, table: sa.Table) -> str:
        if not is_policy(name):
            return super().trigger_drop(name, table)
        of = self.dialect.identifier_preparer.format_table(table)
        # One statement, as no policy at all would let nothing through.
        drop = f"DROP POLICY IF EXISTS {name} ON {of}; ALTER TABLE {of} {_OPEN}"
        return f"DO $dataflow$ BEGIN {drop}; END $dataflow$"

    def is_walled(self, table: sa.Table) -> bool:
        """Whether policies watch over a table, which COPY then cannot write."""
        return self.walled and table in self.audit.shared

    async def run_walled(
        self, connection: Any, call: Callable[..., Awaitable[Any]], *args: Any
    ) -> Any:
        wall = wall_of(tenant.get())
        if wall == CLOSED:
            return await call(connection, *args)
        await self._plain(connection, f"BEGIN; {_settings(wall)}")
        try:
            result = await call(connection, *args)
        except OSError:  # also a time limit: who takes the connection back rolls back
            raise
        except Exception:
            with suppress(Exception):  # a connection that is still in it is discarded
                await self._plain(connection, "ROLLBACK")
            raise
        await self._plain(connection, "COMMIT")
        return result

    async def _plain(self, connection: Any, sql: str) -> None:
        await connection.execute(sql, timeout=self.config.statement_timeout_s)

    def walled_begin(self, sql: str) -> str:
        """Return a statement that begins a transaction, and then tells the caller's tenant."""
        wall = wall_of(tenant.get())
        return sql if wall == CLOSED else f"{sql}; {_settings(wall)}"

    async def tell_wall(self, connection: Any, wall: Wall) -> None:
        await self._plain(connection, _settings(wall))

    def wall_session(self, connection: sa.Connection, wall: Wall) -> None:
        connection.exec_driver_sql(_TELL, wall)

    def name_columns(self, error: Any) -> None:
        """Add the columns to an error; the server leaves them out where it has policies."""
        names = (getattr(error, "table_name", None), getattr(error, "constraint_name", None))
        detail = getattr(error, "detail", None) or "Key already exists."
        if None in names or "(" in detail or "still" in detail:
            return
        for table in self.audit.shared:
            for part in (*table.indexes, *table.constraints):
                if isinstance(part, _WITH_COLUMNS) and (table.name, part.name) == names:
                    columns = ", ".join(str(column.name) for column in part.columns)
                    error.detail = f"Key ({columns})=(){detail.removeprefix('Key')}"


def _settings(wall: Wall) -> str:
    """Return the statements that set both; unlike a SELECT, they take no snapshot yet."""
    mine, everyone = map(_literal, wall)
    return f"SET LOCAL dataflow.tenant = {mine}; SET LOCAL dataflow.all_tenants = {everyone}"


def _literal(text: str) -> str:
    """Return a text as SQL, in which whatever is not a plain letter is a number."""
    return "E'" + re.sub(r"[^A-Za-z0-9_.-]", lambda one: f"\\U{ord(one[0]):08X}", text) + "'"
