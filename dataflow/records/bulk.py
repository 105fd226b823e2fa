"""Bulk verbs: streamed in batches, one transaction, set-based on the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.driver import Driver, UpdatePlan, UpsertPlan
from dataflow.database.transaction import Level
from dataflow.errors import DatabaseError
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.query.filters import Filter
from dataflow.query.processors import bind_processor
from dataflow.records.faults import explain_fields, fault_field
from dataflow.records.prepared import Prepared
from dataflow.records.store import Store
from dataflow.records.stream import batches
from dataflow.records.validation import Problem

__all__ = ["Bulk"]

Names = tuple[str, ...]
Rows = list[tuple[Any, ...]]


class Bulk:
    """The bulk verbs of one model."""

    def __init__(self, store: Store) -> None:
        """Share the model, the validation and the scope of a store."""
        self._store = store
        self._spec: ModelSpec = store.spec
        self._database: Database = store.database
        self._driver: Driver = store.database.driver

    async def create(
        self,
        data: Any,
        *,
        on_conflict: Literal["error", "skip"] = "error",
        on_error: Literal["abort", "collect"] = "abort",
        returning: Literal["ids", "records"] | None = None,
        batch_size: int | None = None,
    ) -> dict[str, Any]:
        """Insert records; see the BulkCreate node for inputs and output."""
        await self._store.ready()
        tally = _Tally()
        kept: list[Any] = []
        async with self._database.transaction() as transaction:
            async for offset, rows in self._batches(data, batch_size):
                valid, positions = self._checked(rows, offset, tally, collect=on_error == "collect")
                writer = _Inserter(
                    self, transaction, skip=on_conflict == "skip", ids=returning is not None
                )
                if on_error == "collect":
                    places = [offset + position for position in positions]
                    kept += await writer.insert_what_fits(valid, places, tally)
                else:
                    kept += await writer.insert(valid, tally)
            if returning == "records":
                kept = await self._records(kept)
        tally.rejected.sort(key=lambda problem: problem[0] or 0)
        return tally.created(returning, kept)

    async def update_rows(self, data: Any, *, batch_size: int | None = None) -> dict[str, Any]:
        """Change records, each named by its key in its own row."""
        self._store.scope.refuse_change("BulkUpdate")
        await self._store.ready()
        processed = updated = 0
        async with self._database.transaction() as transaction:
            async for offset, rows in self._batches(data, batch_size):
                processed += len(rows)
                valid = self._changes(rows, offset)
                for names, group in _grouped(valid).items():
                    updated += await self._update_group(transaction, names, group)
        return {"processed": processed, "updated": updated, "success": True}

    def _changes(self, rows: Sequence[Any], offset: int) -> list[dict[str, Any]]:
        valid, _, problems = self._store.validator.records(rows, offset, update=True)
        key = self._spec.key
        for index, row in enumerate(valid if not problems else []):
            missing = [name for name in key if row.get(name) is None]
            problems += [(offset + index, name, "the key is required", None) for name in missing]
        if problems:
            raise self._store.validator.refuse(problems)
        return _merged(valid, key)[0]

    async def _update_group(
        self, transaction: Level, names: Names, rows: list[dict[str, Any]]
    ) -> int:
        constants = {k: v for k, v in self._store.scope.updated().items() if k not in names}
        encoder = _Encoder(self._spec, self._driver, names, constants)
        plan = UpdatePlan(
            self._spec.table,
            encoder.columns,
            tuple(self._spec.fields[name].column for name in self._spec.key),
            self._store.scope.version,
            self._store.scope.live,
        )
        if not plan.changed:
            return 0
        return await transaction.run(self._driver.update_rows, plan, encoder.rows(rows))

    async def update_where(
        self, where: Filter, changes: Mapping[str, Any], *, include_deleted: bool = False
    ) -> dict[str, Any]:
        """Give every match the same values."""
        self._store.scope.refuse_change("BulkUpdate")
        self._store.check_changes(changes)
        await self._store.ready()
        record = {**self._store.scope.updated(), **self._store.validator.changes(changes)}
        names = tuple(record)
        compiler = self._store.compiler

        def build() -> Prepared:
            conditions = compiler.conditions(where, include_deleted=include_deleted)
            return compiler.compile(compiler.update(names, conditions))

        shape = ("update all", where.shape, names, include_deleted)
        prepared = compiler.get(shape, build)
        values = {**where.parameters, **{f"v_{name}": value for name, value in record.items()}}
        count = await self._database.execute(prepared.sql, prepared.args(values))
        return {"processed": count, "updated": count, "success": True}

    async def delete_where(
        self, where: Filter, *, hard: bool = False, include_deleted: bool = False
    ) -> dict[str, Any]:
        """Delete every match."""
        self._store.scope.refuse_change("BulkDelete")
        await self._store.ready()
        soft = self._store.scope.live is not None and not hard
        compiler = self._store.compiler

        def build() -> Prepared:
            conditions = compiler.conditions(where, include_deleted=include_deleted)
            return compiler.compile(compiler.deletion(conditions, soft=soft))

        prepared = compiler.get(("delete all", where.shape, soft, include_deleted), build)
        values = {**where.parameters, **self._store.scope.deleted()}
        count = await self._database.execute(prepared.sql, prepared.args(values))
        return {"processed": count, "deleted": count, "success": True}

    async def upsert(
        self,
        data: Any,
        *,
        conflict_on: Names | None = None,
        update_fields: Names | None = None,
        on_conflict: Literal["update", "ignore"] = "update",
        batch_size: int | None = None,
    ) -> dict[str, Any]:
        """Insert records, or change those that exist."""
        if on_conflict == "update":
            self._store.scope.refuse_change("BulkUpsert")
        await self._store.ready()
        key = conflict_on or self._spec.key
        counts = {"processed": 0, "inserted": 0, "updated": 0, "skipped": 0}
        async with self._database.transaction() as transaction:
            async for offset, rows in self._batches(data, batch_size):
                counts["processed"] += len(rows)
                groups, repeated = self._upsert_groups(
                    rows, offset, key, keep_first=on_conflict == "ignore"
                )
                counts["updated" if on_conflict == "update" else "skipped"] += repeated
                for given, group in groups.items():
                    chosen = () if on_conflict == "ignore" else update_fields or given
                    inserted, updated = await self._upsert_group(transaction, key, chosen, group)
                    counts["inserted"] += inserted
                    counts["updated"] += updated
                    counts["skipped"] += len(group) - inserted - updated
        return {**counts, "success": True}

    def _upsert_groups(
        self, rows: Sequence[Any], offset: int, key: Names, *, keep_first: bool
    ) -> tuple[dict[Names, list[dict[str, Any]]], int]:
        valid, _, problems = self._store.validator.records(rows, offset)
        if not problems:
            problems = [
                (offset + index, name, "the field that decides conflicts is required", None)
                for index, row in enumerate(valid)
                for name in key
                if row.get(name) is None
            ]
        if problems:
            raise self._store.validator.refuse(problems)
        given = [tuple(row) for row in rows]
        merged, names = _merged(valid, key, given, keep_first=keep_first)
        groups: dict[Names, list[dict[str, Any]]] = defaultdict(list)
        for row, shape in zip(merged, names, strict=True):
            groups[shape].append(row)
        return groups, len(valid) - len(merged)

    async def _upsert_group(
        self,
        transaction: Level,
        key: Names,
        chosen: Names,
        rows: list[dict[str, Any]],
    ) -> tuple[int, int]:
        inserted = updated = 0
        scope, fields = self._store.scope, self._spec.fields
        for names, group in _grouped(rows).items():
            constants = {k: v for k, v in scope.created().items() if k not in names}
            encoder = _Encoder(self._spec, self._driver, names, constants)
            changed = [name for name in (*chosen, *scope.updated()) if name not in key]
            plan = UpsertPlan(
                self._spec.table,
                encoder.columns,
                tuple(fields[name].column for name in key),
                tuple(fields[name].column for name in dict.fromkeys(changed)) if chosen else (),
                scope.version,
                scope.live,
            )
            new, old = await transaction.run(self._driver.upsert_rows, plan, encoder.rows(group))
            inserted, updated = inserted + new, updated + old
            if new and self._spec.key_is_generated and self._spec.key[0] in names:
                await self._store.advance_key(group, transaction)
        return inserted, updated

    async def _batches(
        self, data: Any, batch_size: int | None
    ) -> AsyncIterator[tuple[int, list[Any]]]:
        offset = 0
        async for rows in batches(data, batch_size or self._database.config.batch_size):
            yield offset, rows
            offset += len(rows)

    def _checked(
        self, rows: Sequence[Any], offset: int, tally: _Tally, *, collect: bool
    ) -> tuple[list[dict[str, Any]], list[int]]:
        tally.processed += len(rows)
        valid, positions, problems = self._store.validator.records(rows, offset)
        if problems and not collect:
            raise self._store.validator.refuse(problems)
        tally.reject(problems)
        return valid, positions

    async def _records(self, keys: Sequence[Any]) -> list[dict[str, Any]]:
        """Read inserted records back, in the order of their keys."""
        (name,) = self._spec.key
        found: dict[Any, dict[str, Any]] = {}
        for start in range(0, len(keys), 10_000):
            where = self._store.where({name: {"$in": list(keys[start : start + 10_000])}})
            records = await self._store.all(where)
            found |= {record[name]: record for record in records}
        return [found[key] for key in keys]


class _Tally:
    """Counts of a bulk create."""

    def __init__(self) -> None:
        self.processed = self.inserted = self.skipped = 0
        self.rejected: list[Problem] = []

    def reject(self, problems: Iterable[Problem]) -> None:
        self.rejected += problems

    def created(self, returning: str | None, kept: list[Any]) -> dict[str, Any]:
        result: dict[str, Any] = {
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
            result[returning] = kept
        return result


class _Inserter:
    """Inserts the rows of a batch, grouped by the fields they have."""

    def __init__(self, bulk: Bulk, transaction: Level, *, skip: bool, ids: bool) -> None:
        self._bulk = bulk
        self._store = bulk._store  # noqa: SLF001 - a part of Bulk
        self._spec = bulk._spec  # noqa: SLF001 - likewise
        self._driver = bulk._driver  # noqa: SLF001 - likewise
        self._transaction = transaction
        self._skip = skip
        self._ids = ids

    def _within(self, level: Level) -> _Inserter:
        return _Inserter(self._bulk, level, skip=self._skip, ids=self._ids)

    async def insert(self, rows: list[dict[str, Any]], tally: _Tally) -> list[Any]:
        """Insert all rows or raise; return their keys in order when asked for."""
        keys: dict[int, Any] = {}
        for names, positions in _positions(rows).items():
            group = [rows[position] for position in positions]
            found = await self._insert_group(names, group, tally)
            if self._ids:
                keys |= dict(zip(positions, found, strict=True))
        return [keys[position] for position in sorted(keys)]

    async def _insert_group(
        self, names: Names, rows: list[dict[str, Any]], tally: _Tally
    ) -> Sequence[Any]:
        spec = self._spec
        constants = {k: v for k, v in self._store.scope.created().items() if k not in names}
        encoder = _Encoder(spec, self._driver, names, constants)
        encoded = encoder.rows(rows)
        run = self._transaction.run
        if self._skip and encoder.columns:
            plan = UpsertPlan(spec.table, encoder.columns, (), ())
            inserted, _ = await run(self._driver.upsert_rows, plan, encoded)
            tally.inserted += inserted
            tally.skipped += len(rows) - inserted
            return []
        tally.inserted += len(rows)
        if self._ids and spec.key_is_generated and spec.key[0] not in names:
            return await run(self._driver.insert_generated, spec.table, encoder.columns, encoded)
        await run(self._driver.insert_rows, spec.table, encoder.columns, encoded)
        if spec.key_is_generated and spec.key[0] in names:
            await self._store.advance_key(rows, self._transaction)
        return _keys_of(rows, spec.key) if self._ids else []

    async def insert_what_fits(
        self, rows: list[dict[str, Any]], places: Sequence[int], tally: _Tally
    ) -> list[Any]:
        """Insert rows, halving a failing batch until the rows at fault stand alone."""
        if not rows:
            return []
        before = tally.inserted, tally.skipped
        try:
            async with self._transaction.savepoint() as level:
                return await self._within(level).insert(rows, tally)
        except DatabaseError as error:
            tally.inserted, tally.skipped = before
            if len(rows) == 1:
                tally.reject([self._problem(error, places[0], rows[0])])
                return []
        half = len(rows) // 2
        first = await self.insert_what_fits(rows[:half], places[:half], tally)
        return first + await self.insert_what_fits(rows[half:], places[half:], tally)

    def _problem(self, error: DatabaseError, index: int, row: Mapping[str, Any]) -> Problem:
        explain_fields(error, self._spec)
        field = fault_field(error, self._spec, row)
        value = self._store.validator.shown(field, row.get(field))
        return index, field, error.problem_text(), value


class _Encoder:
    """Turns validated rows of one shape into the driver's tuples."""

    def __init__(
        self, spec: ModelSpec, driver: Driver, names: Names, constants: Mapping[str, Any]
    ) -> None:
        fields: list[FieldSpec] = [spec.fields[name] for name in (*names, *constants)]
        self.columns: tuple[sa.Column[Any], ...] = tuple(field.column for field in fields)
        converts = [bind_processor(field.column.type, driver.dialect) for field in fields]
        self._names = names
        self._tail = tuple(
            value if convert is None else convert(value)
            for value, convert in zip(constants.values(), converts[len(names) :], strict=True)
        )
        self._converts = [(n, c) for n, c in enumerate(converts[: len(names)]) if c is not None]

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> Rows:
        """Return a tuple per row, in the order of `columns`."""
        if not self._names:
            return [self._tail for _ in rows]
        get, tail = itemgetter(*self._names), self._tail
        if len(self._names) == 1:
            plain: Rows = [(get(row), *tail) for row in rows]
        else:
            plain = [get(row) + tail for row in rows]
        if not self._converts:
            return plain
        return [self._converted(row) for row in plain]

    def _converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, convert in self._converts:
            values[place] = convert(values[place])
        return tuple(values)


def _positions(rows: Sequence[Mapping[str, Any]]) -> dict[Names, Sequence[int]]:
    """Group the positions of rows by the fields they have."""
    shapes = {tuple(row) for row in rows}
    if len(shapes) == 1:
        return {shapes.pop(): range(len(rows))}
    groups: dict[Names, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        groups[tuple(row)].append(position)
    return dict(groups)


def _grouped(rows: Sequence[dict[str, Any]]) -> dict[Names, list[dict[str, Any]]]:
    return {
        names: [rows[position] for position in positions]
        for names, positions in _positions(rows).items()
    }


def _keys_of(rows: Sequence[Mapping[str, Any]], key: Names) -> list[Any]:
    if len(key) == 1:
        return [row[key[0]] for row in rows]
    return [{name: row[name] for name in key} for row in rows]


def _merged(
    rows: list[dict[str, Any]],
    key: Names,
    given: Sequence[Names] | None = None,
    *,
    keep_first: bool = False,
) -> tuple[list[dict[str, Any]], list[Names]]:
    """Join rows with the same key, as if they were applied one after the other."""
    shapes = list(given) if given is not None else [tuple(row) for row in rows]
    get = itemgetter(*key)
    keys = [get(row) for row in rows]
    if len(set(keys)) == len(rows):
        return rows, shapes
    places: dict[Any, int] = {}
    merged: list[dict[str, Any]] = []
    names: list[Names] = []
    for value, row, shape in zip(keys, rows, shapes, strict=True):
        place = places.setdefault(value, len(merged))
        if place == len(merged):
            merged.append(row)
            names.append(shape)
        elif not keep_first:
            merged[place] = {**merged[place], **{name: row[name] for name in shape}}
            names[place] = tuple(dict.fromkeys((*names[place], *shape)))
    return merged, names
