"""The part of SQLite's driver that triggers and the audit log need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.context import Caller, current_caller
from dataflow.database.driver import Driver, Support
from dataflow.database.guard import PREFIX, Guard
from dataflow.database.sqlite_entries import add_entry
from dataflow.database.sqlite_triggers import table_triggers
from dataflow.models.columntypes import ExactDecimal, ExactFloat, is_bytes

__all__ = ["SqliteAudit"]


class SqliteAudit(Driver):
    """Triggers, and who they are told makes the changes: an attribute of the connection."""

    triggers_query: ClassVar[str] = (
        "SELECT NULL, tbl_name, name FROM sqlite_master "
        f"WHERE type = 'trigger' AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
    )

    sources_query: ClassVar[str] = (
        "SELECT name, sql FROM sqlite_master "
        f"WHERE type = 'trigger' AND substr(name, 1, {len(PREFIX)}) = '{PREFIX}'"
    )

    def triggers(self, guard: Guard, schema: str) -> dict[str, tuple[str, ...]]:
        del schema
        return table_triggers(guard)

    def trigger_support(self, schema: str, *, audited: bool) -> dict[str, Support]:
        """Return nothing: what triggers need are functions of the connection."""
        return {}

    def support_there(self, connection: sa.Connection) -> dict[str, Support]:
        """Return nothing, likewise."""
        return {}

    def trigger_drop(self, name: str, table: sa.Table) -> str:
        del table
        return f"DROP TRIGGER IF EXISTS {name}"

    async def tell_caller(self, connection: Any, caller: Caller) -> None:
        connection.caller.is_now(caller)

    def note_caller(self, connection: Any) -> None:
        if self.audit.used:
            connection.caller.is_now(current_caller())

    def tell_session(self, connection: sa.Connection, caller: Caller) -> None:
        raw: Any = connection.connection.driver_connection
        raw.caller.is_now(caller)

    async def record_entry(self, connection: Any, values: Mapping[str, Any]) -> None:
        await connection.work(add_entry, connection.raw, values)

    def from_json(self, kind: TypeEngine[Any], value: Any) -> Any:
        if isinstance(kind, ExactFloat | sa.Float):
            return float(value)
        return bytes.fromhex(value) if is_bytes(kind, self.dialect) else value

    def key_text(self, kind: TypeEngine[Any], value: Any) -> str:
        if isinstance(kind, ExactDecimal) and "." in str(value):
            return str(value).rstrip("0").rstrip(".")
        if isinstance(value, bytes | memoryview):
            return value.hex()
        return str(int(value) if isinstance(value, bool) else value)
