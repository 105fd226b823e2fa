"""How SQLite's audit writes the records of a bulk call as one entry: a JSON list per column.

Triggers run per record here. So they stand aside for a bulk call, which compares the
records before and after itself. Lists by column take a third of the time of one per
record, and what an update cannot have changed is in its entry once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dataflow.database.driver import Columns, Row, UpdatePlan
from dataflow.database.guard import PREFIX, Guard
from dataflow.database.sqlite_connection import take_as_null
from dataflow.database.sqlite_entries import add_entry
from dataflow.database.sqlite_images import LARGE, Found, Image, Images, Shared
from dataflow.database.sqlite_matching import Matched, Source, matching
from dataflow.database.sqlite_triggers import AUDITING, ROWIDS

__all__ = ["LEAST", "BulkAudit"]

LEAST = 100
"""Records of a call from which on they share an entry."""
_SAMPLE = 200
"""One of so many rows is measured."""
_PASSIVE = "('NO ACTION', 'RESTRICT')"
_LOOK = (
    "SELECT (SELECT count(*) FROM sqlite_master WHERE type = 'trigger' "
    f"AND substr(name, 1, {len(PREFIX)}) <> '{PREFIX}') "
    "+ (SELECT count(*) FROM pragma_table_list WHERE name = :table AND wr) "
    "+ (SELECT count(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f, "
    "json_each(:set) AS j WHERE m.type = 'table' AND lower(f.\"table\") = lower(:table) "
    f'AND lower(f."to") = lower(j.value) AND f.on_update NOT IN {_PASSIVE}), '
    "(SELECT count(*) FROM pragma_table_xinfo(:table) WHERE hidden > 1), "
    "(SELECT json_group_object(name, type) FROM pragma_table_xinfo(:table)), "
    "(SELECT json_group_array(name) FROM sqlite_master "
    "WHERE type = 'trigger' AND lower(tbl_name) = lower(:table))"
)
"""Whether there are triggers of somebody else, the table was made WITHOUT ROWID, or foreign
keys change with what is set; its generated columns; its columns' types; its triggers."""
_CYCLE = (
    "SELECT (SELECT count(*) FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f "
    "WHERE m.type = 'table' AND lower(f.\"table\") = lower(:table) "
    f"AND f.on_delete NOT IN {_PASSIVE}) "
    f"AND (SELECT count(*) FROM pragma_foreign_key_list(:table) WHERE on_delete NOT IN {_PASSIVE})"
)
"""Whether foreign keys delete or change others with the table's records, and it with others."""

Change = Callable[[], int]


class BulkAudit:
    """The audit of one bulk call, in the connection's thread and in one transaction."""

    def __init__(self, connection: Any, guard: Guard, columns: Columns) -> None:
        """Keep the connection, what is audited, and what is set in records that exist."""
        self._connection = connection
        self._guard = guard
        self._columns = columns
        self._free: bool | None = None
        self._silent = False
        self._generated = True
        self._triggers: frozenset[str] = frozenset()
        self._images = Images(connection, guard, {})

    def _suits(self, rows: Sequence[Row]) -> bool:
        """Whether rows share an entry: nothing else may change the table meanwhile."""
        if len(rows) < LEAST or _SAMPLE * _characters(rows[::_SAMPLE]) > LARGE:
            return False
        if self._free is None:
            self._look()
        return bool(self._free)

    def _look(self) -> None:
        """Look at the table, whose schema nobody changes during the transaction."""
        columns = json.dumps([str(column.name) for column in self._columns])
        arguments = {"table": str(self._guard.table.name), "set": columns}
        ((obstacles, generated, types, names),) = self._rows(_LOOK, arguments)
        ours = {str(column.name).lower() for column in self._guard.columns}
        self._free = not obstacles and not ours.issuperset(ROWIDS)
        self._generated = bool(generated)
        self._images = Images(self._connection, self._guard, json.loads(types))
        self._triggers = frozenset(json.loads(names))

    def insert(
        self, columns: Columns, rows: Sequence[Row], keys: Sequence[Any] | None, change: Change
    ) -> int:
        """Insert records, and write that down.

        Args:
            columns: Those of the rows.
            rows: Their values.
            keys: Their keys, if these are whole numbers that are known before.
            change: Inserts them, and returns how many.
        """
        if not self._suits(rows):
            return self.by_triggers(change)
        source = self._source(keys)
        changed = self._apart(change)
        self._write_created(self._images.created(columns, rows, source))
        return changed

    def _source(self, keys: Sequence[Any] | None) -> Source:
        """Return the records that will be added, in their order."""
        if keys is None:
            return self._images.behind()
        return matching(self._guard.table, self._guard.key, keys).source

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
        shared = self._survey(rows, [matched])
        if shared is None:
            return self.by_triggers(change)
        before = self._images.found(matched, shared[0])
        changed = self._apart(change)
        self._write_update(before, self._updated(before, matched, plan, rows))
        return changed

    def _updated(
        self, before: Found, matched: Matched, plan: UpdatePlan, rows: Sequence[Row]
    ) -> Found:
        """Return the records after an update, without what cannot have changed."""
        if self._generated:
            return self._images.read(matched.source)
        if len(before) != 1:
            return self._images.read(matched.source, self._columns)
        ((chain, image),) = before.items()
        if image.keys != self._images.keys_of(matched):  # some are missing, or are in another order
            return self._images.read(matched.source, self._columns)
        values = self._images.given(enumerate(plan.changed), rows)
        unknown = [c for c in self._images.shown(self._columns) if c.name not in values]
        if unknown:
            values |= self._images.found(matched, {}, unknown)[chain].values
        return {chain: image._replace(values=values)}

    def upsert(self, rows: Sequence[Row], matched: Matched, change: Change) -> int:
        """Insert records, or update those that exist, and write that down.

        Args:
            rows: Their values.
            matched: Those that exist or will; neither keys nor tenants change.
            change: Makes the change, and returns how many.
        """
        if self._survey(rows, [matched]) is None:
            return self.by_triggers(change)
        before = self._images.read(matched.source, None if self._columns else ())
        changed = self._apart(change)
        new = matched
        if before:
            keys = f"[{','.join(image.keys[1:-1] for image in before.values())}]"
            known = self._images.known
            new = matched.but(f"NOT {known}", keys)
            if self._columns:
                set_now = None if self._generated else self._columns
                after = self._images.read(matched.but(known, keys).source, set_now)
                self._write_update(before, after)
        self._write_created(self._images.read(new.source))
        return changed

    def delete(self, keys: Sequence[Row], parts: Sequence[Matched], change: Change) -> int:
        """Delete records, and write that down.

        Args:
            keys: Those of all.
            parts: Those that are deleted, some at a time.
            change: Deletes them all, and returns how many.
        """
        surveys = None if self._comes_back() else self._survey(keys, parts)
        if surveys is None:
            return self.by_triggers(change)
        for part, shared in zip(parts, surveys, strict=True):
            for chain, image in self._images.found(part, shared).items():
                self._write("delete", chain, image, None)
        return self._apart(change)

    def _survey(self, rows: Sequence[Row], parts: Sequence[Matched]) -> list[Shared] | None:
        """Return what the records of each part seem to share; None if triggers shall write."""
        if not self._suits(rows):
            return None
        found = [self._images.survey(part) for part in parts]
        surveys = [shared for shared in found if shared is not None]
        return surveys if len(surveys) == len(found) else None

    def _comes_back(self) -> bool:
        """Whether deletes may delete other records of the table."""
        ((cycle,),) = self._rows(_CYCLE, {"table": str(self._guard.table.name)})
        return bool(cycle)

    def _write_created(self, found: Found) -> None:
        for chain, image in found.items():
            self._write("create", chain, None, image)

    def _write_update(self, before: Found, after: Found) -> None:
        for chain, image in after.items():
            self._write("update", chain, before[chain], image)

    def together(self, changes: Iterable[Change]) -> int:
        """Make changes, and return their sum; afterwards the triggers write again.

        SQLite reads each statement anew when triggers have stood aside, or no longer do.
        """
        try:
            return sum(change() for change in changes)
        finally:
            self._let_triggers_write()

    def by_triggers(self, change: Change) -> int:
        """Make a change that the triggers write down."""
        self._let_triggers_write()
        return change()

    def _apart(self, change: Change) -> int:
        """Make a change without the audit's triggers."""
        if not self._silent:
            self._silent = True
            take_as_null(self._connection, AUDITING, self._triggers)
        return change()

    def _let_triggers_write(self) -> None:
        if self._silent:
            self._silent = False
            take_as_null(self._connection, AUDITING, ())

    def _rows(self, sql: str, arguments: Mapping[str, Any]) -> list[Any]:
        rows: list[Any] = self._connection.execute(sql, arguments).fetchall()
        return rows

    def _write(self, action: str, chain: str, was: Image | None, now: Image | None) -> None:
        guard, caller = self._guard, self._connection.caller
        image = was or now
        if image is None:
            return
        if was is not None and now is not None and was.keys == now.keys:
            now = now._replace(keys="")  # and not written again
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

    def _document(self, image: Image) -> str:
        """Return an image as JSON; see `dataflow.records.auditbatch`."""
        values = image.values.items()
        masked = {str(name): '"***"' for name in self._guard.masked}
        names = [str(column.name) for column in self._guard.columns]
        parts = {
            "columns": json.dumps(names, ensure_ascii=False),
            "key": json.dumps(self._images.key_name, ensure_ascii=False),
            **({"keys": image.keys} if image.keys else {}),
            "same": _object(masked | {name: value.text for name, value in values if value.shared}),
            "each": _object({name: value.text for name, value in values if not value.shared}),
        }
        return _object(parts)


def _object(members: Mapping[str, str]) -> str:
    """Return a JSON object of members that are JSON."""
    pairs = (f"{json.dumps(name, ensure_ascii=False)}: {text}" for name, text in members.items())
    return f"{{{', '.join(pairs)}}}"


def _characters(rows: Sequence[Sequence[Any]]) -> int:
    values = (value for row in rows for value in row)
    return sum(len(value) for value in values if isinstance(value, str | bytes))
