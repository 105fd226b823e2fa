"""How SQLite's audit writes the records of a bulk call as one entry: a JSON list per column.

Triggers run per record here. So they stand aside for a bulk call, which compares the
records before and after itself. Lists by column take a third of the time of one per
record, and what an update cannot have changed is in its entry once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.database.guard import PREFIX, Guard
from dataflow.database.sqlite_entries import add_entry
from dataflow.database.sqlite_triggers import DIALECT, ROWIDS, key_of, quoted, value_of
from dataflow.models.auditlog import key_order
from dataflow.models.columntypes import is_bytes

__all__ = ["LEAST", "BulkAudit", "matching"]

LEAST = 100
"""Records of a call from which on they share an entry."""
_MOST = 1 << 24
"""Above about this, records have entries of their own: an entry is read as a whole."""
_SAMPLE = 20
"""One of so many rows is measured."""
_OBSTACLES = (
    "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'trigger' "
    f"AND substr(name, 1, {len(PREFIX)}) <> '{PREFIX}') "
    "+ (SELECT count(*) FROM pragma_table_list WHERE name = ?1 AND wr), "
    "(SELECT count(*) FROM pragma_table_xinfo(?1) WHERE hidden > 1)"
)
"""Triggers of somebody else; that the table was made WITHOUT ROWID; generated columns."""

Change = Callable[[], Awaitable[int]]
Columns = Sequence[sa.Column[Any]]


class _Image(NamedTuple):
    """Records of one chain at a moment.

    Attributes:
        keys: A JSON list of their keys.
        values: One of the values of each column, by its name.
        records: How many they are.
        first: The least key, as a text that sorts like the keys.
        last: The greatest one.
    """

    keys: str
    values: dict[str, str]
    records: int
    first: str
    last: str


class Matched(NamedTuple):
    """Which records `t`: what stands after SELECT …, and its arguments."""

    source: str
    arguments: tuple[Any, ...]

    def but(self, condition: str, *arguments: Any) -> Matched:
        """Return those of them that meet a condition, too."""
        return Matched(f"{self.source} AND {condition}", (*self.arguments, *arguments))


def matching(table: sa.Table, columns: Columns, keys: Sequence[Any]) -> Matched:
    """Return the records that have one of some values in some columns.

    Args:
        table: Where they are.
        columns: The columns.
        keys: A value for each record, or a tuple of values for several columns.
    """
    name = quoted(str(table.name))
    if len(columns) == 1:
        (column,) = columns
        match = f"t.{quoted(column.name)} IN (SELECT {_member('value', column)} FROM json_each(?))"
        if is_bytes(column.type, DIALECT):
            keys = [_plain(key) for key in keys]
        return Matched(f"FROM {name} AS t WHERE {match}", (json.dumps(keys),))
    match = " AND ".join(
        f"t.{quoted(column.name)} = {_member(f'(j.value ->> {number})', column)}"
        for number, column in enumerate(columns)
    )
    source = f"FROM json_each(?) AS j CROSS JOIN {name} AS t WHERE {match}"
    return Matched(source, (json.dumps([[_plain(part) for part in key] for key in keys]),))


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
        self._rowid = next((name for name in ROWIDS if name not in names), None)
        self._whole = len(guard.key) == 1 and isinstance(guard.key[0].type, sa.Integer)
        self._key_name = str(guard.key[0].name) if self._whole else None
        name = f"t.{quoted(guard.key[0].name)}"
        self._key = name if self._whole else f"({key_of(guard, 't')} || '')"  # not JSON in JSON
        self._generated = True

    async def suits(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether rows share an entry: nothing else may change the table meanwhile."""
        if len(rows) < LEAST or self._rowid is None:
            return False
        if _SAMPLE * _characters(rows[::_SAMPLE]) > _MOST:
            return False
        name = str(self._guard.table.name)
        ((obstacles, generated),) = await self._connection.fetch(_OBSTACLES, (name,), None)
        self._generated = bool(generated)
        return not obstacles

    async def insert(self, keys: Sequence[Any] | None, change: Change) -> int:
        """Insert records, and write that down.

        Args:
            keys: Their keys, if these are whole numbers that are known before.
            change: Inserts them, and returns how many.
        """
        matched = await self._behind() if keys is None else self._with(keys)
        changed = await self._apart(change)
        await self._write_created(matched)
        return changed

    async def update(self, matched: Matched, columns: Columns, change: Change) -> int:
        """Update records, and write that down.

        Args:
            matched: Those that are updated; neither their keys nor their tenants change.
            columns: What is set.
            change: Updates them, and returns how many.
        """
        before = await self._images(matched)
        if _size(before) > _MOST:
            return await change()  # and the triggers write
        changed = await self._apart(change)
        await self._write_update(before, matched, columns)
        return changed

    async def upsert(self, matched: Matched, columns: Columns, change: Change) -> int:
        """Insert records, or update those that exist, and write that down.

        Args:
            matched: Those that exist or will; neither keys nor tenants change.
            columns: What is set in those that exist; none: they stay as they are.
            change: Makes the change, and returns how many.
        """
        before = await self._images(matched, None if columns else ())
        if _size(before) > _MOST:
            return await change()
        changed = await self._apart(change)
        new = matched
        if before:
            keys = f"[{','.join(image.keys[1:-1] for image in before.values())}]"
            known = f"{self._key} IN (SELECT value FROM json_each(?))"
            new = matched.but(f"NOT {known}", keys)
            if columns:
                await self._write_update(before, matched.but(known, keys), columns)
        await self._write_created(new)
        return changed

    async def _write_created(self, matched: Matched) -> None:
        for chain, image in (await self._images(matched)).items():
            await self._write("create", chain, None, image)

    async def _write_update(
        self, before: Mapping[str, _Image], matched: Matched, columns: Columns
    ) -> None:
        shown = None if self._generated else columns
        for chain, image in (await self._images(matched, shown)).items():
            await self._write("update", chain, before[chain], image)

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
        least = -(2**63) if last is None else last
        return Matched(f"FROM {name} AS t WHERE t.{rowid} > ?", (least,))

    async def _images(self, matched: Matched, columns: Columns | None = None) -> dict[str, _Image]:
        """Return records as they are now, by chain.

        Args:
            matched: Which.
            columns: The ones that are wanted; default: all of them.
        """
        guard = self._guard
        hidden = (*guard.masked, self._key_name)
        wanted = guard.columns if columns is None else columns
        shown = [column for column in wanted if column.name not in hidden]
        values = (self._key, *(value_of(column, "t") for column in shown))
        lists = ", ".join(f"json_group_array({value})" for value in values)
        chain = "''" if guard.tenant is None else f"coalesce(CAST({_tenant(guard)} AS TEXT), '')"
        group = "" if guard.tenant is None else " GROUP BY 1"
        sql = f"SELECT {chain}, count(*), min({self._key}), max({self._key}), {lists} "
        rows = await self._connection.fetch(
            f"{sql}{matched.source}{group}", matched.arguments, None
        )
        names = [str(column.name) for column in shown]
        return {
            chain: _Image(
                keys,
                dict(zip(names, texts, strict=True)),
                records,
                self._bound(first),
                self._bound(last),
            )
            for chain, records, first, last, keys, *texts in rows
            if records
        }

    def _bound(self, key: Any) -> str:
        return key_order(str(key), whole=self._whole)

    async def _write(self, action: str, chain: str, was: _Image | None, now: _Image) -> None:
        guard, caller = self._guard, self._connection.caller
        await add_entry(self._connection, {
            "chain": chain,
            "action": action,
            "model": guard.model,
            "table_name": str(guard.table.fullname),
            "actor": caller.actor,
            "tenant": (chain or None) if guard.tenant is not None else None,
            "correlation_id": caller.correlation_id,
            "before": None if was is None else self._document(was),
            "after": self._document(now),
            "records": now.records,
            "first_key": now.first,
            "last_key": now.last,
        })  # fmt: skip

    def _document(self, image: _Image) -> str:
        """Return an image as JSON; see `dataflow.records.auditbatch`."""
        same = {str(name): '"***"' for name in self._guard.masked}
        each = {}
        for name, values in image.values.items():
            shared = _shared(values, image.records)
            if shared is None:
                each[name] = values
            else:
                same[name] = shared
        names = [str(column.name) for column in self._guard.columns]
        parts = {
            "columns": json.dumps(names, ensure_ascii=False),
            "key": json.dumps(self._key_name, ensure_ascii=False),
            "keys": image.keys,
            "same": _object(same),
            "each": _object(each),
        }
        return _object(parts)


def _object(members: Mapping[str, str]) -> str:
    """Return a JSON object of members that are JSON."""
    pairs = (f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in members.items())
    return f"{{{', '.join(pairs)}}}"


def _shared(values: str, count: int) -> str | None:
    """Return the one value that a JSON list has again and again, or None."""
    length, rest = divmod(len(values) - 1 - count, count)
    value = values[1 : 1 + length]
    if rest or values != f"[{','.join([value] * count)}]":
        return None
    try:
        json.loads(value)
    except ValueError:
        return None  # pieces of values repeat
    return value


def _size(images: Mapping[str, _Image]) -> int:
    return sum(len(text) for image in images.values() for text in image.values.values())


def _tenant(guard: Guard) -> str:
    return "NULL" if guard.tenant is None else f"t.{quoted(guard.tenant.name)}"


def _characters(rows: Sequence[Sequence[Any]]) -> int:
    values = (value for row in rows for value in row)
    return sum(len(value) for value in values if isinstance(value, str | bytes))
