"""How SQLite's audit writes the records of a bulk call as one entry: a JSON list per column.

Triggers run per record here. So they stand aside for a bulk call, which compares the
records before and after itself. Lists by column take a third of the time of one per
record, and what an update cannot have changed is in its entry once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.database.driver import Row, UpdatePlan
from dataflow.database.guard import PREFIX, Guard
from dataflow.database.sqlite_connection import taken_as_null
from dataflow.database.sqlite_entries import add_entry
from dataflow.database.sqlite_triggers import AUDITING, DIALECT, ROWIDS, key_of, quoted, value_of
from dataflow.models.auditlog import key_order
from dataflow.models.columntypes import is_bytes

__all__ = ["LEAST", "BulkAudit", "matching"]

LEAST = 100
"""Records of a call from which on they share an entry."""
_MOST = 1 << 24
"""Above about this, records have entries of their own: an entry is read as a whole."""
_SAMPLE = 20
"""One of so many rows is measured."""
_SHORT = (sa.Integer, sa.Boolean, sa.Float, sa.DateTime, sa.Date, sa.Time, sa.Uuid)
"""Types of values that are not."""
_PASSIVE = "('NO ACTION', 'RESTRICT')"
_LOOK = (
    "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'trigger' "
    f"AND substr(name, 1, {len(PREFIX)}) <> '{PREFIX}') "
    "+ (SELECT count(*) FROM pragma_table_list WHERE name = ?1 AND wr) "
    "+ (SELECT count(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f, "
    "json_each(?2) AS j WHERE m.type = 'table' AND lower(f.\"table\") = lower(?1) "
    f'AND lower(f."to") = lower(j.value) AND f.on_update NOT IN {_PASSIVE}), '
    "(SELECT count(*) FROM pragma_table_xinfo(?1) WHERE hidden > 1), "
    "(SELECT json_group_object(name, type) FROM pragma_table_xinfo(?1)), "
    "(SELECT json_group_array(name) FROM sqlite_master "
    "WHERE type = 'trigger' AND lower(tbl_name) = lower(?1))"
)
"""Whether there are triggers of somebody else, the table was made WITHOUT ROWID, or foreign
keys change with what is set; its generated columns; its columns' types; its triggers."""
_CYCLE = (
    "SELECT (SELECT count(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f "
    "WHERE m.type = 'table' AND lower(f.\"table\") = lower(?1) "
    f"AND f.on_delete NOT IN {_PASSIVE}) "
    f"AND (SELECT count(*) FROM pragma_foreign_key_list(?1) WHERE on_delete NOT IN {_PASSIVE})"
)
"""Whether foreign keys delete or change others with the table's records, and it with others."""

_AS_GIVEN: Mapping[str, type] = MappingProxyType({
    **dict.fromkeys(("INTEGER", "BIGINT", "SMALLINT"), int),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "DATETIME", "DATE"), str),
})  # fmt: skip
"""Types of columns, and of values that no affinity turns into others there."""

Change = Callable[[], int]
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
    """Which records `t`: what stands after SELECT …, and its arguments.

    Attributes:
        some: Arguments in their place that match one of `_SAMPLE` records.
    """

    source: str
    arguments: tuple[Any, ...]
    some: tuple[Any, ...] = ()

    def but(self, condition: str, *arguments: Any) -> Matched:
        """Return those of them that meet a condition, too."""
        given = (*self.arguments, *arguments), (*self.some, *arguments)
        return Matched(f"{self.source} AND {condition}", *given)


def matching(table: sa.Table, columns: Columns, keys: Sequence[Any]) -> Matched:
    """Return the records that have one of some values in some columns.

    Args:
        table: Where they are.
        columns: The columns.
        keys: A value for each record, or a tuple of values for several columns.
    """
    match = " AND ".join(
        f"t.{quoted(column.name)} = {_member(column, None if len(columns) == 1 else number)}"
        for number, column in enumerate(columns)
    )
    source = f"FROM json_each(?) AS j CROSS JOIN {quoted(str(table.name))} AS t WHERE {match}"
    return Matched(source, (_compact(keys),), (_compact(keys[::_SAMPLE]),))


def _member(column: sa.Column[Any], number: int | None) -> str:
    """Return the expression of a key, or of its part, that JSON carries; it carries no bytes."""
    value = "j.value" if number is None else f"(j.value ->> {number})"
    return f"dataflow_unhex({value})" if is_bytes(column.type, DIALECT) else value


class BulkAudit:
    """The audit of one bulk call, in the connection's thread and in one transaction."""

    def __init__(self, connection: Any, guard: Guard, columns: Columns) -> None:
        """Keep the connection, what is audited, and what is set in records that exist."""
        self._connection = connection
        self._guard = guard
        self._columns = columns
        names = {str(column.name).lower() for column in guard.columns}
        self._rowid = next((name for name in ROWIDS if name not in names), None)
        self._whole = len(guard.key) == 1 and isinstance(guard.key[0].type, sa.Integer)
        self._key_name = str(guard.key[0].name) if self._whole else None
        self._hidden = (*guard.masked, self._key_name)
        name = f"t.{quoted(guard.key[0].name)}"
        self._key = name if self._whole else f"({key_of(guard, 't')} || '')"  # not JSON in JSON
        self._free: bool | None = None
        self._generated = True
        self._types: dict[str, str] = {}
        self._triggers: frozenset[str] = frozenset()

    def _suits(self, rows: Sequence[Row]) -> bool:
        """Whether rows share an entry: nothing else may change the table meanwhile."""
        if len(rows) < LEAST or self._rowid is None:
            return False
        if _SAMPLE * _characters(rows[::_SAMPLE]) > _MOST:
            return False
        if self._free is None:
            self._look()
        return bool(self._free)

    def _look(self) -> None:
        """Look at the table, whose schema nobody changes during the transaction."""
        columns = json.dumps([str(column.name) for column in self._columns])
        arguments = (str(self._guard.table.name), columns)
        ((obstacles, generated, types, names),) = self._rows(_LOOK, arguments)
        self._free, self._generated = not obstacles, bool(generated)
        self._types = json.loads(types)
        self._triggers = frozenset(json.loads(names))

    def insert(self, rows: Sequence[Row], keys: Sequence[Any] | None, change: Change) -> int:
        """Insert records, and write that down.

        Args:
            rows: Their values.
            keys: Their keys, if these are whole numbers that are known before.
            change: Inserts them, and returns how many.
        """
        if not self._suits(rows):
            return change()  # and the triggers write
        matched = self._behind() if keys is None else self._with(keys)
        changed = self._apart(change)
        self._write_created(matched)
        return changed

    def update(
        self, rows: Sequence[Row], matched: Matched, plan: UpdatePlan, change: Change
    ) -> int:
        """Update records, and write that down.

        Args:
            rows: What is set, and then the key.
            matched: Those that are updated; neither their keys nor their tenants change.
            plan: Says which columns these are.
            change: Updates them, and returns how many.
        """
        if not self._suits(rows) or not self._is_small(matched):
            return change()
        before = self._images(matched)
        changed = self._apart(change)
        after = self._as_given(before, matched, plan, rows)
        self._write_update(before, after or self._images_set(matched))
        return changed

    def _as_given(
        self,
        before: Mapping[str, _Image],
        matched: Matched,
        plan: UpdatePlan,
        rows: Sequence[Row],
    ) -> dict[str, _Image] | None:
        """Return the records after an update, if that is known without reading them again."""
        if self._generated or plan.increment is not None or len(before) != 1:
            return None
        ((chain, image),) = before.items()
        if image.keys != matched.arguments[0]:  # some are missing, or are in another order
            return None
        values = {}
        for place, column in enumerate(plan.changed):
            given = list(map(itemgetter(place), rows))
            if not _stays(self._types.get(str(column.name), ""), given):
                return None
            if column.name not in self._hidden:
                values[str(column.name)] = _listed(given)
        return {chain: image._replace(values=values)}

    def upsert(self, rows: Sequence[Row], matched: Matched, change: Change) -> int:
        """Insert records, or update those that exist, and write that down.

        Args:
            rows: Their values.
            matched: Those that exist or will; neither keys nor tenants change.
            change: Makes the change, and returns how many.
        """
        if not self._suits(rows) or not self._is_small(matched):
            return change()
        before = self._images(matched, None if self._columns else ())
        changed = self._apart(change)
        new = matched
        if before:
            keys = f"[{','.join(image.keys[1:-1] for image in before.values())}]"
            known = f"{self._key} IN (SELECT value FROM json_each(?))"
            new = matched.but(f"NOT {known}", keys)
            if self._columns:
                self._write_update(before, self._images_set(matched.but(known, keys)))
        self._write_created(new)
        return changed

    def delete(self, keys: Sequence[Row], parts: Sequence[Matched], change: Change) -> int:
        """Delete records, and write that down.

        Args:
            keys: Those of all.
            parts: Those that are deleted, some at a time.
            change: Deletes them all, and returns how many.
        """
        if not self._suits(keys) or self._comes_back() or not all(map(self._is_small, parts)):
            return change()
        for part in parts:
            for chain, image in self._images(part).items():
                self._write("delete", chain, image, None)
        return self._apart(change)

    def _comes_back(self) -> bool:
        """Whether deletes may delete other records of the table."""
        ((cycle,),) = self._rows(_CYCLE, (str(self._guard.table.name),))
        return bool(cycle)

    def _is_small(self, matched: Matched) -> bool:
        """Whether records, as far as some of them show it, fit into one entry."""
        if "\\u0000" in matched.arguments[0]:
            return False  # SQLite's JSON ends a text there
        texts = [c for c in self._guard.columns if not isinstance(c.type, _SHORT)]
        if not texts:
            return True
        sizes = ", ".join(f"total(length(t.{quoted(column.name)}))" for column in texts)
        (found,) = self._rows(f"SELECT {sizes} {matched.source}", matched.some)
        return bool(_SAMPLE * sum(found) <= _MOST)

    def _write_created(self, matched: Matched) -> None:
        for chain, image in self._images(matched).items():
            self._write("create", chain, None, image)

    def _write_update(self, before: Mapping[str, _Image], after: Mapping[str, _Image]) -> None:
        for chain, image in after.items():
            self._write("update", chain, before[chain], image)

    def _apart(self, change: Change) -> int:
        """Make the change without the audit's triggers."""
        with taken_as_null(self._connection, AUDITING, self._triggers):
            return change()

    def _images_set(self, matched: Matched) -> dict[str, _Image]:
        """Return records as they are now, without what cannot have changed."""
        return self._images(matched, None if self._generated else self._columns)

    def _with(self, keys: Sequence[Any]) -> Matched:
        return matching(self._guard.table, self._guard.key, keys)

    def _behind(self) -> Matched:
        """Return the source of the records that will be added behind all others."""
        name = quoted(str(self._guard.table.name))
        rowid = self._rowid
        ((last,),) = self._rows(f"SELECT max({rowid}) FROM {name}", ())
        least = -(2**63) if last is None else last
        return Matched(f"FROM {name} AS t WHERE t.{rowid} > ?", (least,))

    def _images(self, matched: Matched, columns: Columns | None = None) -> dict[str, _Image]:
        """Return records as they are now, by chain.

        Args:
            matched: Which.
            columns: The ones that are wanted; default: all of them.
        """
        guard = self._guard
        wanted = guard.columns if columns is None else columns
        shown = [column for column in wanted if column.name not in self._hidden]
        values = (self._key, *(value_of(column, "t") for column in shown))
        lists = ", ".join(f"json_group_array({value})" for value in values)
        chain = "''" if guard.tenant is None else f"coalesce(CAST({_tenant(guard)} AS TEXT), '')"
        group = "" if guard.tenant is None else " GROUP BY 1"
        sql = f"SELECT {chain}, count(*), min({self._key}), max({self._key}), {lists} "
        rows = self._rows(f"{sql}{matched.source}{group}", matched.arguments)
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

    def _rows(self, sql: str, arguments: Sequence[Any]) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql, arguments).fetchall()
        return rows

    def _bound(self, key: Any) -> str:
        return key_order(str(key), whole=self._whole)

    def _write(self, action: str, chain: str, was: _Image | None, now: _Image | None) -> None:
        guard, caller = self._guard, self._connection.caller
        image = was or now
        if image is None:
            return
        add_entry(self._connection, {
            "chain": chain,
            "action": action,
            "model": guard.model,
            "table_name": str(guard.table.fullname),
            "actor": caller.actor,
            "tenant": (chain or None) if guard.tenant is not None else None,
            "correlation_id": caller.correlation_id,
            "before": None if was is None else self._document(was),
            "after": None if now is None else self._document(now),
            "records": image.records,
            "first_key": image.first,
            "last_key": image.last,
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


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=bytes.hex).encode
"""Returns a JSON list as SQLite would write it."""


def _listed(values: Sequence[Any]) -> str:
    """Return the same, at once for one value again and again."""
    if values.count(values[0]) < len(values):
        return _compact(values)
    return f"[{','.join([_compact(values[:1])[1:-1]] * len(values))}]"


def _stays(column_type: str, values: Sequence[Any]) -> bool:
    """Whether a column stores all of some values as they are given."""
    kind = _AS_GIVEN.get(column_type.upper().partition("(")[0])
    return kind is not None and {kind, NoneType}.issuperset(map(type, values))


def _tenant(guard: Guard) -> str:
    return "NULL" if guard.tenant is None else f"t.{quoted(guard.tenant.name)}"


def _characters(rows: Sequence[Sequence[Any]]) -> int:
    values = (value for row in rows for value in row)
    return sum(len(value) for value in values if isinstance(value, str | bytes))
