"""The part of PostgreSQL's driver that triggers and the audit log need."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.context import NOBODY, Caller, actor, correlation_id
from dataflow.database.driver import Driver, Support
from dataflow.database.guard import PREFIX, Guard
from dataflow.database.postgres_json import from_json
from dataflow.database.postgres_keys import key_text
from dataflow.database.postgres_triggers import RECORDED, support_statements, table_triggers

__all__ = ["PostgresAudit"]

_TELL = (
    "SELECT set_config('dataflow.actor', $1, true), set_config('dataflow.correlation_id', $2, true)"
)
_MORE_MEMORY = """
SELECT current_setting('work_mem'), set_config('work_mem', '64MB', true)
WHERE pg_size_bytes(current_setting('work_mem')) < 64 << 20"""
"""Changed rows are kept for the triggers, and read several times: better not from files."""
_SUPPORT = """
SELECT substr(p.proname, 16), p.prosrc, p.proconfig, p.provolatile = 'i', p.prokind = 'f',
  CASE p.prokind WHEN 'f' THEN pg_get_functiondef(p.oid) ELSE '' END
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = current_schema() AND starts_with(p.proname::text, 'dataflow_audit_')"""
_SETTING = re.compile(r" SET (\w+) = '?([^ ']+)'?")


def _text_of(variable: ContextVar[str | None]) -> str:
    return variable.get() or ""


def _source(body: str, settings: Iterable[str], fixed: object) -> str:
    """Return what tells versions of a function apart: not its indentation, which files change."""
    return " ".join([str(fixed), *sorted(map(str.lower, settings)), *body.split()])


def _wanted_source(create: str) -> str:
    head, _, body = create.partition(" AS $dataflow$")
    if not body:
        return ""
    settings = ("=".join(found) for found in _SETTING.findall(head))
    return _source(body.removesuffix("$dataflow$"), settings, "IMMUTABLE" in head)


class PostgresAudit(Driver):
    """Triggers, and who they are told makes the changes: a setting of the transaction."""

    first_caller: ClassVar[Caller | None] = NOBODY
    caller_terms: ClassVar[tuple[sa.ColumnElement[Any], ...]] = tuple(
        sa.func.set_config(
            sa.literal_column(f"'dataflow.{variable.name.removeprefix('dataflow_')}'"),
            sa.bindparam(variable.name, type_=sa.Text(), callable_=partial(_text_of, variable)),
            sa.true(),
        )
        for variable in (actor, correlation_id)
    )
    triggers_query: ClassVar[str] = (
        "SELECT n.nspname, c.relname, t.tgname FROM pg_trigger AS t "
        "JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        f"WHERE starts_with(t.tgname::text, '{PREFIX}') AND t.tgenabled <> 'D'"
    )

    sources_query: ClassVar[str] = (
        "SELECT t.tgname, unnest(CASE WHEN t.tgname::text ~ '_audit_[a-z]+$' "
        "THEN ARRAY[pg_get_functiondef(t.tgfoid)] ELSE '{}' END || pg_get_triggerdef(t.oid)) "
        f"FROM pg_trigger AS t WHERE starts_with(t.tgname::text, '{PREFIX}')"
    )

    def triggers(self, guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
        return table_triggers(guard, schema)

    def trigger_support(self, schema: str, *, audited: bool) -> dict[str, Support]:
        quoted = self.dialect.identifier_preparer.quote(schema)
        return {
            name: Support(
                _wanted_source(create),
                create,
                f"DROP ROUTINE IF EXISTS {quoted}.dataflow_audit_{name}",
            )
            for name, create in support_statements(schema).items()
            if audited or name == "refuse"
        }

    def support_there(self, connection: sa.Connection) -> dict[str, Support]:
        return {
            name: Support(_source(body, settings or (), fixed) if plain else "", create, "")
            for name, body, settings, fixed, plain, create in connection.exec_driver_sql(_SUPPORT)
        }

    def trigger_drop(self, name: str, table: sa.Table) -> str:
        function = name.partition("_audit_")[0] + "_audit"
        if "_audit_" in name:
            return f"DROP FUNCTION IF EXISTS {function}() CASCADE"
        of = self.dialect.identifier_preparer.format_table(table)
        return f"DROP TRIGGER IF EXISTS {name} ON {of}"

    async def tell_caller(self, connection: Any, caller: Caller) -> None:
        await connection.fetch(_TELL, *caller, timeout=self.config.statement_timeout_s)

    @asynccontextmanager
    async def room_for_triggers(
        self, connection: Any, table: sa.Table, *, many: bool
    ) -> AsyncIterator[None]:
        """Let a statement within a transaction change many audited records in memory.

        After an error the transaction's end, or that of its part, brings the setting back.
        """
        former = None
        if many and self.audit.watches(table):
            former = await connection.fetchval(
                _MORE_MEMORY, timeout=self.config.statement_timeout_s
            )
        yield
        if former is not None:
            await self.fetch(connection, "SELECT set_config('work_mem', $1, true)", [former])

    def note_caller(self, connection: Any) -> None:
        """Nothing to do: a statement by itself carries its caller; see `caller_terms`."""

    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        connection.exec_driver_sql(_TELL, caller)

    async def record_entry(self, connection: Any, values: Mapping[str, Any]) -> None:
        marks = ", ".join(f"${number}" for number in range(1, len(RECORDED) + 1))
        args = [values[name] for name in RECORDED]
        await self.fetch(connection, f"SELECT dataflow_audit_record({marks})", args)

    def from_json(self, kind: TypeEngine[Any], value: Any) -> Any:
        return from_json(kind, value, self.dialect)

    def key_text(self, kind: TypeEngine[Any], value: Any) -> str:
        del kind
        return key_text(value)
