"""Bulk verbs: streamed, one transaction, set-based on the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.driver import Driver, UpdatePlan, UpsertPlan
from dataflow.database.transaction import Level
from dataflow.models.spec import ModelSpec
from dataflow.records.collect import Collector, Tally, never
from dataflow.records.encoding import (
    Encoder,
    Keys,
    Names,
    Row,
    is_uniform,
    key_values,
    merge_rows,
    positions_by_shape,
    refuse_unknown_keys,
    refuse_unmade,
)
from dataflow.records.given import rows_of
from dataflow.records.segments import BATCHES, STEP, Group, Segment, Shape, segments
from dataflow.records.store import Store
from dataflow.records.stream import batches
from dataflow.records.validation import Problem

__all__ = ["Bulk"]


class Bulk:
    """The bulk verbs of one model."""

    def __init__(self, store: Store) -> None:
        """Share the model, the validation and the scope of a store."""
        self._store = store
        self._spec: ModelSpec = store.spec
        self._database: Database = store.database
        self._driver: Driver = store.database.driver

    # ----------------------------------------------------------------- create

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
        size, tally = batch_size or self._database.config.batch_size, Tally()
        skip, ids = on_conflict == "skip", returning is not None
        async with self._database.transaction() as level:
            if on_error == "collect":
                collector = Collector(self._store, level, tally, skip=skip, ids=ids)
                async for offset, rows in _numbered(data, size):
                    await collector.insert(rows_of(rows, self._spec), offset)
            else:
                # Keys are reserved ahead only for as many rows as are known to come.
                most = BATCHES if not ids or isinstance(data, Sized) else 1
                async for segment in segments(data, size, self._check_new, most=most):
                    room = most * min(size, STEP)
                    if isinstance(segment.groups, tuple):
                        room = sum(len(group.rows) for group in segment.groups)
                    elif isinstance(data, Sized):
                        room = min(room, len(data) - tally.processed)
                    await self._insert(level, segment, tally, skip=skip, ids=ids, room=room)
            if returning == "records":
                tally.kept = await self._records(tally.kept)
        return tally.result(returning)

    def _check_new(self, rows: list[Any], offset: int) -> Iterator[Group]:
        """Validate a batch of new records and group it by shape."""
        rows = rows_of(rows, self._spec)
        valid, _, problems = self._store.validator.records(rows, offset)
        if problems:
            raise self._store.validator.refuse(problems)
        for names, positions in positions_by_shape(valid).items():
            whole = len(positions) == len(valid)
            group = valid if whole else [valid[position] for position in positions]
            places = (
                range(offset, offset + len(valid)) if whole else [offset + p for p in positions]
            )
            yield Group(Shape(names, ()), group, places)

    async def _insert(
        self, level: Level, segment: Segment, tally: Tally, *, skip: bool, ids: bool, room: int
    ) -> None:
        spec, names = self._spec, segment.shape.names
        encoder = self._new_encoder(names)
        feed = _Feed(segment.groups, encoder, self._given_key(names), keys=spec.key if ids else ())
        generated = ids and spec.key_is_generated and spec.key[0] not in names
        if skip and encoder.columns:
            plan = UpsertPlan(spec.table, encoder.columns, (), (), never)
            inserted = await level.run(self._driver.upsert_rows, plan, feed.rows())
            tally.count(feed.count, inserted)
            return
        if ids and not generated:
            refuse_unknown_keys(spec, names)
        call = self._driver.insert_generated if generated else self._driver.insert_rows
        found = await level.run(call, spec.table, encoder.columns, feed.rows(), room)
        tally.count(feed.count, feed.count)
        if ids:
            keys = list(found[: feed.count]) if generated else feed.kept
            tally.keep(feed.places, keys)
        if feed.highest is not None:
            await self._store.advance_key(feed.highest, level)

    def _new_encoder(self, names: Names) -> Encoder:
        """Return the encoder of new records."""
        made = self._store.scope.created()
        refuse_unmade(self._spec, (*names, *made))
        return self._encoder(names, made)

    def _encoder(self, names: Names, maintained: Mapping[str, Any]) -> Encoder:
        constants = {name: value for name, value in maintained.items() if name not in names}
        return Encoder(self._spec, self._driver.dialect, names, constants)

    def _keys(self, names: Names) -> Keys:
        # Texts sort by the database's collation; whole numbers are the same everywhere.
        kinds = [self._spec.fields[name].column.type for name in names]
        return Keys(names, ordered=all(isinstance(kind, sa.Integer) for kind in kinds))

    def _given_key(self, names: Names) -> str | None:
        """Return the generated key's name if the rows bring their own keys."""
        key = self._spec.key[0]
        return key if self._spec.key_is_generated and key in names else None

    async def _records(self, keys: Sequence[Any]) -> list[Row]:
        """Read inserted records back, in the order of their keys."""
        name, *more = self._spec.key
        key_of, found = itemgetter(*self._spec.key), dict[Any, Row]()
        size = 100 if more else 10_000
        for start in range(0, len(keys), size):
            some = list(keys[start : start + size])
            chosen: Row = {"$or": some} if more else {name: {"$in": some}}
            records = await self._store.all(self._store.where(chosen))
            found |= {key_of(record): record for record in records}
        return [found[key_of(key) if more else key] for key in keys]

    # ----------------------------------------------------------------- update

    async def update_rows(
        self, data: Any, *, batch_size: int | None = None, include_deleted: bool = False
    ) -> dict[str, Any]:
        """Change records, each named by its key in its own row."""
        self._store.scope.refuse_change("BulkUpdate")
        await self._store.ready()
        size, processed, updated = batch_size or self._database.config.batch_size, 0, 0
        async with self._database.transaction() as level:
            async for segment in segments(data, size, self._check_changes):
                maintained = self._store.scope.updated() | self._store.scope.owned()
                encoder = self._encoder(segment.shape.names, maintained)
                feed = _Feed(segment.groups, encoder, told_apart=self._keys(self._spec.key))
                plan = UpdatePlan(
                    self._spec.table,
                    encoder.columns,
                    self._within_tenant(self._spec.key),
                    feed.repeats,
                    self._store.scope.version,
                    None if include_deleted else self._store.scope.live,
                )
                if plan.changed:
                    updated += await level.run(self._driver.update_rows, plan, feed.rows())
                else:
                    feed.drain()
                processed += feed.covered
        return {"processed": processed, "updated": updated, "success": True}

    def _check_changes(self, rows: list[Any], offset: int) -> Iterator[Group]:
        """Validate a batch of changes and group it by shape."""
        rows = rows_of(rows, self._spec, changes=True)
        valid, _, problems = self._store.validator.records(rows, offset, update=True)
        same, key = not problems and is_uniform(rows), self._spec.key
        if not problems and not self._always_there(valid, key, same=same):
            problems = self._missing(valid, key, offset, "the key is required")
        if problems:
            raise self._store.validator.refuse(problems)
        yield from _grouped(valid, rows, key, offset, same=same)

    def _always_there(self, rows: Sequence[Row], names: Names, *, same: bool) -> bool:
        """Whether all rows surely have values for the names, as far as one row tells."""
        optional = any(self._spec.fields[name].nullable for name in names)
        return same and not optional and bool(rows) and set(names) <= rows[0].keys()

    def _deleted(self, rows: Sequence[Row], offset: int) -> list[Problem]:
        live = self._store.scope.live
        name = "" if live is None else live.key
        return [
            (offset + index, name, "an upsert deletes nothing; give None, or leave it out", None)
            for index, row in enumerate(rows)
            if row.get(name) is not None
        ]

    def _missing(
        self, rows: Sequence[Row], names: Names, offset: int, reason: str
    ) -> list[Problem]:
        """Return the problems of rows without a value in fields that need one."""
        return [
            (offset + index, name, reason, None)
            for index, row in enumerate(rows)
            for name in names
            if row.get(name) is None
        ]

    # ----------------------------------------------------------------- upsert

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
        ignore, key = on_conflict == "ignore", conflict_on or self._spec.key
        if not ignore:
            self._store.scope.refuse_change("BulkUpsert")
        await self._store.ready()
        size, processed, inserted = batch_size or self._database.config.batch_size, 0, 0

        def check(rows: list[Any], offset: int) -> Iterable[Group]:
            return self._check_upsert(rows, offset, key, ignore=ignore)

        async with self._database.transaction() as level:
            async for segment in segments(data, size, check):
                names, given = segment.shape
                encoder = self._new_encoder(names)
                feed = _Feed(
                    segment.groups, encoder, self._given_key(names), told_apart=self._keys(key)
                )
                chosen = () if ignore else update_fields or given
                plan = self._upsert_plan(encoder, key, chosen, feed)
                inserted += await level.run(self._driver.upsert_rows, plan, feed.rows())
                processed += feed.covered
                if feed.highest is not None:
                    await self._store.advance_key(feed.highest, level)
        rest = processed - inserted
        changed, skipped = (0, rest) if ignore else (rest, 0)
        return {
            "processed": processed, "inserted": inserted, "updated": changed,
            "skipped": skipped, "success": True,
        }  # fmt: skip

    def _upsert_plan(self, encoder: Encoder, key: Names, chosen: Names, feed: _Feed) -> UpsertPlan:
        scope, fields = self._store.scope, self._spec.fields
        names = [name for name in (*chosen, *scope.stamps) if name not in key]
        columns = dict.fromkeys(fields[name].column for name in names)
        kept = {scope.version, scope.live}  # what rows bring of them was read, and is not set
        return UpsertPlan(
            self._spec.table,
            encoder.columns,
            self._within_tenant(key),
            tuple(column for column in columns if column not in kept) if chosen else (),
            feed.repeats,
            scope.version,
            scope.live,
            feed.ascends,
            scope.live if set(key) in map(set, self._spec.live_sets) else None,
        )

    def _within_tenant(self, names: Names) -> tuple[sa.Column[Any], ...]:
        """Return the columns that name a record: the fields', and whose it is."""
        columns = [self._spec.fields[name].column for name in names]
        tenant = self._store.scope.tenant
        return (*columns, tenant.column) if tenant else tuple(columns)

    def _check_upsert(
        self, rows: list[Any], offset: int, key: Names, *, ignore: bool
    ) -> Iterator[Group]:
        """Validate a batch and group it by the fields that were given."""
        rows = rows_of(rows, self._spec, changes=True)
        valid, _, problems = self._store.validator.records(rows, offset)
        same = not problems and is_uniform(rows)
        if not problems and not self._always_there(valid, key, same=same):
            reason = "the field that decides conflicts is required"
            problems = self._missing(valid, key, offset, reason)
        problems = problems or self._deleted(valid, offset)
        if problems:
            raise self._store.validator.refuse(problems)
        yield from _grouped(valid, rows, key, offset, same=same, keep_first=ignore)


class _Feed:
    """Encodes a segment's groups as the driver asks for them, and keeps count."""

    def __init__(
        self,
        groups: Iterable[Group],
        encoder: Encoder,
        given_key: str | None = None,
        keys: Names = (),
        told_apart: Keys | None = None,
    ) -> None:
        self._told_apart = told_apart
        self._groups = groups
        self._encoder = encoder
        self._given_key = given_key
        self._keys = keys
        self.count = 0
        self.covered = 0
        self.highest: int | None = None
        self.places: list[Sequence[int]] = []
        self.kept: list[Any] = []

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return chain.from_iterable(map(self._encode, self._groups))

    def repeats(self) -> bool:
        """Whether rows that were read may have the same key."""
        return self._told_apart is not None and self._told_apart.repeat

    def ascends(self) -> bool:
        """Whether the rows that were read came in the order of their keys."""
        return self._told_apart is not None and self._told_apart.ascend

    def drain(self) -> None:
        for group in self._groups:
            self.covered += len(group.places)

    def _encode(self, group: Group) -> list[tuple[Any, ...]]:
        rows = group.rows
        self.count += len(rows)
        self.covered += len(group.places)
        if self._told_apart is not None:
            self._told_apart.add(rows)
        if self._given_key is not None:
            highest = max(map(itemgetter(self._given_key), rows))
            self.highest = highest if self.highest is None else max(highest, self.highest)
        if self._keys:
            self.places.append(group.places)
            self.kept += key_values(rows, self._keys) if self._keys[0] in rows[0] else []
        return self._encoder.encode(rows)


def _grouped(
    rows: list[Row],
    given: Sequence[Row],
    key: Names,
    offset: int,
    *,
    same: bool,
    keep_first: bool = False,
) -> Iterator[Group]:
    """Group a batch by shape; the driver resolves equal keys within one group.

    Which fields a validated row has follows from the fields that were given.
    """
    if not rows:
        return
    if same:
        shape = Shape(tuple(rows[0]), tuple(given[0]))
        yield Group(shape, rows, range(offset, offset + len(rows)))
        return
    shapes = [tuple(row) for row in given]
    merged, merged_given = merge_rows(rows, key, shapes, keep_first=keep_first)
    groups: dict[Shape, list[Row]] = {}
    for row, names_given in zip(merged, merged_given, strict=True):
        groups.setdefault(Shape(tuple(row), names_given), []).append(row)
    repeated = len(rows) - len(merged)
    for shape, group in groups.items():
        yield Group(shape, group, range(len(group) + repeated))
        repeated = 0


async def _numbered(data: Any, size: int) -> AsyncIterator[tuple[int, list[Any]]]:
    offset = 0
    async for rows in batches(data, size):
        yield offset, rows
        offset += len(rows)
