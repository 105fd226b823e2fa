"""Bulk creates that keep what fits and name what does not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflow.database.driver import UpsertPlan
from dataflow.database.transaction import Level
from dataflow.errors import DatabaseError, TransactionAbortedError
from dataflow.models.columntypes import EncodedJson
from dataflow.records.encoding import (
    Encoder,
    Names,
    Row,
    key_values,
    positions_by_shape,
    refuse_unknown_keys,
    refuse_unmade,
)
from dataflow.records.faults import explain_fields, fault_field
from dataflow.records.store import Store
from dataflow.records.validation import Problem

__all__ = ["Collector", "Tally", "never"]


def never() -> bool:
    """Say that no key is repeated: conflicts here are of any kind."""
    return False


class Tally:
    """Counts of a bulk create, and what it returns."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.processed = self.inserted = self.skipped = 0
        self.rejected: list[Problem] = []
        self.kept: list[Any] = []
        self._places: list[Sequence[int]] = []

    def count(self, processed: int, inserted: int) -> None:
        """Add rows of which all or some were inserted."""
        self.processed += processed
        self.inserted += inserted
        self.skipped += processed - inserted

    def keep(self, places: Sequence[Sequence[int]], keys: list[Any]) -> None:
        """Keep the keys of rows with their places in the input."""
        self._places += places
        self.kept += keys

    def _in_input_order(self) -> list[Any]:
        places = [place for part in self._places for place in part]
        if all(isinstance(part, range) for part in self._places) or len(places) != len(self.kept):
            return self.kept
        return [key for _, key in sorted(zip(places, self.kept, strict=True))]

    def result(self, returning: str | None) -> dict[str, Any]:
        """Return the output of the verb."""
        self.rejected.sort(key=lambda problem: problem[0] or 0)
        output: dict[str, Any] = {
            "processed": self.processed,
            "inserted": self.inserted,
            "skipped": self.skipped,
            "rejected": [
                {"index": index, "field": field, "reason": reason, "value": value}
                for index, field, reason, value in self.rejected
            ],
            "success": True,
        }
        if returning is not None:
            output[returning] = self._in_input_order()
        return output


class Collector:
    """Inserts batches; one that fails is halved until the rows at fault stand alone."""

    def __init__(self, store: Store, level: Level, tally: Tally, *, skip: bool, ids: bool) -> None:
        """Keep the parts."""
        self._store = store
        self._level = level
        self._tally = tally
        self._skip = skip
        self._ids = ids

    async def insert(self, rows: Sequence[Any], offset: int) -> None:
        """Insert the rows of a batch that fit; the others go to the tally."""
        self._tally.processed += len(rows)
        valid, positions, problems = self._store.validator.records(rows, offset)
        self._tally.rejected += problems
        keys = await self._insert_what_fits(valid, [offset + place for place in positions])
        self._tally.kept += keys

    async def _insert_what_fits(self, rows: list[Row], places: Sequence[int]) -> list[Any]:
        if not rows:
            return []
        try:
            async with self._level.savepoint() as level:
                inserted, keys = await self._insert_all(level, rows)
        except TransactionAbortedError:  # the transaction around failed, not one of these rows
            raise
        except DatabaseError as error:
            if len(rows) == 1:
                self._tally.rejected.append(self._problem(error, places[0], rows[0]))
                return []
        else:
            self._tally.inserted += inserted
            self._tally.skipped += len(rows) - inserted
            return keys
        half = len(rows) // 2
        first = await self._insert_what_fits(rows[:half], places[:half])
        return first + await self._insert_what_fits(rows[half:], places[half:])

    async def _insert_all(self, level: Level, rows: list[Row]) -> tuple[int, list[Any]]:
        """Insert all rows or raise; return how many were new, and their keys in order."""
        inserted = 0
        keys: dict[int, Any] = {}
        for names, positions in positions_by_shape(rows).items():
            group = [rows[position] for position in positions]
            new, found = await self._insert_group(level, names, group)
            inserted += new
            keys |= dict(zip(positions, found, strict=False))
        return inserted, [keys[position] for position in sorted(keys)]

    async def _insert_group(
        self, level: Level, names: Names, rows: list[Row]
    ) -> tuple[int, Iterable[Any]]:
        spec, driver = self._store.spec, self._store.database.driver
        created = self._store.scope.created()
        refuse_unmade(spec, (*names, *created))
        constants = {name: value for name, value in created.items() if name not in names}
        encoder = Encoder(spec, driver.dialect, names, constants)
        encoded = encoder.encode(rows)
        if self._skip and encoder.columns:
            plan = UpsertPlan(spec.table, encoder.columns, (), (), never)
            return await level.run(driver.upsert_rows, plan, encoded), ()
        if self._ids and spec.key_is_generated and spec.key[0] not in names:
            call = driver.insert_generated
            return len(rows), await level.run(call, spec.table, encoder.columns, encoded, len(rows))
        if self._ids:
            refuse_unknown_keys(spec, names)
        await level.run(driver.insert_rows, spec.table, encoder.columns, encoded, len(rows))
        if spec.key_is_generated and spec.key[0] in names:
            await self._store.advance_key(max(row[spec.key[0]] for row in rows), level)
        return len(rows), key_values(rows, spec.key) if self._ids else ()

    def _problem(self, error: DatabaseError, index: int, row: Mapping[str, Any]) -> Problem:
        explain_fields(error, self._store.spec)
        field = fault_field(error, self._store.spec, row)
        value = row.get(field)
        if isinstance(value, EncodedJson):
            value = json.loads(value.text)
        value = self._store.validator.shown(field, value)
        return index, field, error.problem_text(), value
