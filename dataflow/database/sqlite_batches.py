"""How SQLite's audit writes the records of a bulk call as one entry: as lines of JSON.

Triggers run per record here. So they stand aside for a bulk call, which compares the
records before and after itself.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.database.guard import PREFIX, Guard
from dataflow.database.sqlite_entries import add_entry
from dataflow.database.sqlite_triggers import DIALECT, key_of, quoted, value_of
from dataflow.models.auditlog import key_order
from dataflow.models.columntypes import is_bytes

__all__ = ["LEAST", "BulkAudit", "matching"]

LEAST = 100
"""Records of a call from which on they share an entry."""
_MOST_COLUMNS = 120
"""SQLite's functions take 127 arguments."""

_MOST_CHARACTERS = 1 << 24
"""Above about this, records have entries of their own: an entry is read as a whole."""
_SAMPLE = 20
"""One of so many rows is measured."""
_OBSTACLES = (
    "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'trigger' "
    f"AND substr(name, 1, {len(PREFIX)}) <> '{PREFIX}') "
    "+ (SELECT count(*) FROM pragma_table_list WHERE name = ? AND wr)"
)
"""Triggers of somebody else; and that the table was made WITHOUT ROWID."""
_ROWIDS = ("rowid", "_rowid_", "oid")
"""Names of a row's number; a column of the same name hides it."""

Change = Callable[[], Awaitable[int]]


class _Lines(NamedTuple):
    """Records of one chain: their lines, how many they are, the keys they are between."""

    lines: str
    records: int
    first: str
    last: str


class Matched(NamedTuple):
    """Which records: what stands after SELECT …, and its argument."""

    source: str
    argument: Any


def matching(table: sa.Table, columns: Sequence[sa.Column[Any]], keys: Sequence[Any]) -> Matched:
    """Return a source `t` of the records that have one of some values in some columns.

    Args:
        table: Where they are.
        columns: The columns.
        keys: A value for each record, or a tuple of values for several columns.
    """
    name = quoted(str(table.name))
    if len(columns) == 1:
        (column,) = columns
        match = f"t.{quoted(column.name)} IN (SELECT {_member('value', column)} FROM json_each(?))"
        return Matched(f"FROM {name} AS t WHERE {match}", json.dumps([_plain(k) for k in keys]))
    match = " AND ".join(
        f"t.{quoted(column.name)} = {_member(f'(j.value ->> {number})', column)}"
        for number, column in enumerate(columns)
    )
    source = f"FROM json_each(?) AS j CROSS JOIN {name} AS t WHERE {match}"
    return Matched(source, json.dumps([[_plain(part) for part in key] for key in keys]))


def _member(value: str, column: sa.Column[Any]) -> str:
    """Return the expression of a key's part that JSON carries; it carries no bytes."""
    return f"dataflow_unhex({value})" if is_bytes(column.type, DIALECT) else value


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes | memoryview) else value


class BulkAudit:
    """The audit of one bulk call; all of its statements are in one transaction."""

    def __init__(self, connection: Any, guard: Guard) -> None:
        """Keep the connection and what is audited."""
        self._connection = connection
        self._guard = guard
        names = {str(column.name).lower() for column in guard.columns}
        self._rowid = next((name for name in _ROWIDS if name not in names), None)
        self._whole = len(guard.key) == 1 and isinstance(guard.key[0].type, sa.Integer)

    async def suits(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether rows share an entry: nothing else may change the table meanwhile."""
        if len(rows) < LEAST or len(self._guard.columns) >= _MOST_COLUMNS or self._rowid is None:
            return False
        if _SAMPLE * _characters(rows[::_SAMPLE]) > _MOST_CHARACTERS:
            return False
        name = str(self._guard.table.name)
        ((obstacles,),) = await self._connection.fetch(_OBSTACLES, (name,), None)
        return not obstacles

    async def insert(self, keys: Sequence[Any] | None, change: Change) -> int:
        """Insert records, and write that down.

        Args:
            keys: Their keys, if these are whole numbers that are known before.
            change: Inserts them, and returns how many.
        """
        matched = await self._behind() if keys is None else self._with(keys)
        changed = await self._apart(change)
        await self._write({}, await self._lines(matched))
        return changed

    async def update(self, keys: Sequence[Any], change: Change) -> int:
        """Update records, and write that down.

        Args:
            keys: Their keys, which stay as they are.
            change: Updates them, and returns how many.
        """
        matched = self._with(keys)
        before = await self._lines(matched)
        if sum(len(side.lines) for side in before.values()) > _MOST_CHARACTERS:
            return await change()  # and the triggers write
        changed = await self._apart(change)
        await self._write(before, await self._lines(matched))
        return changed

    async def _apart(self, change: Change) -> int:
        """Make the change without the table's triggers."""
        caller = self._connection.caller
        caller.apart = str(self._guard.table.name)
        try:
            return await change()
        finally:
            caller.apart = None

    def _with(self, keys: Sequence[Any]) -> Matched:
        return matching(self._guard.table, self._guard.key, keys)

    async def _behind(self) -> Matched:
        """Return the source of the records that will be added behind all others."""
        name = quoted(str(self._guard.table.name))
        rowid = self._rowid
        ((last,),) = await self._connection.fetch(f"SELECT max({rowid}) FROM {name}", (), None)
        return Matched(f"FROM {name} AS t WHERE t.{rowid} > ?", -(2**63) if last is None else last)

    async def _lines(self, matched: Matched) -> dict[str, _Lines]:
        """Return the lines of records as they are now, by chain."""
        guard = self._guard
        key = f"{key_of(guard, 't')} || ''"  # a text, not JSON within JSON
        values = [
            "'***'" if column.name in guard.masked else value_of(column, "t")
            for column in guard.columns
        ]
        tenant = "''" if guard.tenant is None else f"coalesce(CAST({_tenant(guard)} AS TEXT), '')"
        place = f"t.{quoted(guard.key[0].name)}" if self._whole else key
        sql = (
            f"SELECT {tenant}, group_concat(json_array({', '.join((*values, key))}), char(10)), "
            f"count(*), min({place}), max({place}) {matched.source} GROUP BY 1"
        )
        rows = await self._connection.fetch(sql, (matched.argument,), None)
        return {
            chain: _Lines(
                lines,
                records,
                key_order(str(first), whole=self._whole),
                key_order(str(last), whole=self._whole),
            )
            for chain, lines, records, first, last in rows
        }

    async def _write(self, before: dict[str, _Lines], after: dict[str, _Lines]) -> None:
        for chain in dict.fromkeys((*before, *after)):
            entry = self._entry(chain, before.get(chain), after.get(chain))
            await add_entry(self._connection, entry)

    def _entry(self, chain: str, was: _Lines | None, now: _Lines | None) -> dict[str, Any]:
        guard, caller = self._guard, self._connection.caller
        sides = [side for side in (was, now) if side is not None]
        return {
            "chain": chain,
            "action": "create" if was is None else "delete" if now is None else "update",
            "model": guard.model,
            "table_name": str(guard.table.fullname),
            "actor": caller.actor,
            "tenant": (chain or None) if guard.tenant is not None else None,
            "correlation_id": caller.correlation_id,
            "before": None if was is None else self._header() + was.lines,
            "after": None if now is None else self._header() + now.lines,
            "records": _distinct(sides),
            "first_key": min(side.first for side in sides),
            "last_key": max(side.last for side in sides),
        }

    def _header(self) -> str:
        """Return the line that says how to read the others."""
        columns = [[str(column.name), "json"] for column in self._guard.columns]
        shape = {"columns": columns, "key": len(columns), "rows": "json"}
        return json.dumps(shape, ensure_ascii=False) + "\n"


def _characters(rows: Sequence[Sequence[Any]]) -> int:
    values = (value for row in rows for value in row)
    return sum(len(value) for value in values if isinstance(value, str | bytes))


def _tenant(guard: Guard) -> str:
    return "NULL" if guard.tenant is None else f"t.{quoted(guard.tenant.name)}"


def _distinct(sides: Sequence[_Lines]) -> int:
    """Return how many records are on one side or both: a change of tenant leaves a chain."""
    if len({side.records for side in sides}) == 1 and len({side[2:] for side in sides}) == 1:
        return sides[0].records
    return len({json.loads(line)[-1] for side in sides for line in side.lines.split("\n")})
