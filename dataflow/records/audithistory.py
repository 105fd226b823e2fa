"""What the audit log knows about the records of one model."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import cmp_to_key
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.database.driver import Driver
from dataflow.models.auditlog import AUDIT_LOG, key_order
from dataflow.models.spec import ModelSpec
from dataflow.query.processors import bind_processor
from dataflow.records.auditbatch import BETWEEN, written
from dataflow.records.auditentry import AuditEntry, BatchEntries, read_entries

__all__ = ["History", "Ways", "key_text", "stored_text"]

_BATCH = 200
"""Keys of one statement."""
_PAGE = 5_000
_KEPT_BYTES = 32 << 20
"""Text of the entries of many records that are kept as they were read: neighbours, and the
changes of one after the other, are in the same. As Python has it, it takes some times as much."""
_log = AUDIT_LOG.c
Place = tuple[Any, ...]
_PLACE = (_log.chain, _log.partition, _log.sequence)


class Ways(NamedTuple):
    """How to get at the log.

    Attributes:
        visible: Returns the conditions of what the caller may see.
        whole: Runs a statement for whole entries, and returns dicts.
        rows: Runs any other statement, and returns its rows.
    """

    visible: Callable[[], list[Any]]
    whole: Callable[[Any], Awaitable[list[dict[str, Any]]]]
    rows: Callable[[Any], Awaitable[Sequence[Any]]]


def _follows(one: AuditEntry, other: AuditEntry) -> int:
    """Compare when two entries of one record were written.

    One statement may move a record from a tenant to another: it leaves a chain first.
    """
    if one.at != other.at:
        return -1 if one.at < other.at else 1
    if one.chain != other.chain:
        return -1 if one.action == "delete" else 1
    return one.sequence - other.sequence


_ORDER = cmp_to_key(_follows)


def key_text(spec: ModelSpec, driver: Driver, key: Any) -> str:
    """Return a record's key as the log writes it.

    Args:
        spec: The record's model.
        driver: The database's.
        key: A value; for composite keys a dict or a tuple.
    """
    if isinstance(key, Mapping):
        key = tuple(key[name] for name in spec.key)
    values = key if isinstance(key, tuple | list) else (key,)
    kinds = (spec.fields[name].column.type for name in spec.key)
    texts = [stored_text(kind, driver, value) for kind, value in zip(kinds, values, strict=True)]
    if len(texts) == 1:
        return texts[0]
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def stored_text(kind: TypeEngine[Any], driver: Driver, value: Any) -> str:
    """Return a value of a column of some type as the log writes it."""
    convert = bind_processor(kind, driver.dialect)
    return driver.key_text(kind, value if convert is None else convert(value))


class History:
    """The entries of a model's records."""

    def __init__(self, spec: ModelSpec, driver: Driver, ways: Ways) -> None:
        """Keep the model and the ways to its entries."""
        self.spec = spec
        self._driver = driver
        self._ways = ways
        self._read: OrderedDict[Place, tuple[BatchEntries, int]] = OrderedDict()
        self._bytes = 0
        first, *more = (spec.fields[name].column for name in spec.key)
        self._whole_numbers = not more and isinstance(first.type, sa.Integer)

    def key(self, record: Mapping[str, Any]) -> str:
        """Return the key of a record as the log writes it."""
        return key_text(self.spec, self._driver, tuple(record[name] for name in self.spec.key))

    async def of(self, keys: Sequence[str]) -> list[AuditEntry]:
        """Return the entries of some records, in the order in which they were written."""
        return sorted([entry async for entry in self._of(keys)], key=_ORDER)

    async def last(self, keys: Sequence[str]) -> dict[str, AuditEntry]:
        """Return the last change of each record."""
        found = dict[str, AuditEntry]()
        async for entry in self._of(keys):
            known = found.get(str(entry.key))
            changed = entry.before is not None or entry.after is not None
            if changed and (known is None or _follows(known, entry) <= 0):
                found[str(entry.key)] = entry
        return found

    async def _of(self, keys: Sequence[str]) -> AsyncIterator[AuditEntry]:
        for begin in range(0, len(keys), _BATCH):
            any_key = sa.or_(*(_log.record_key == key for key in keys[begin : begin + _BATCH]))
            for row in await self._whole(any_key):
                for entry in self._entries(row):
                    yield entry
        for place in await self._places(*self._may_hold(keys)) if keys else ():
            batch = await self._batch(place)
            for key in filter(batch.__contains__, keys):
                yield batch.entry(key)

    async def created(self) -> AsyncIterator[list[str]]:
        """Yield the keys of all records that were ever created, some at a time."""
        new = (_log.action == "create", _log.record_key.is_not(None))
        rows = await self._whole(*new, order=(_log.record_key,), limit=_PAGE)
        while rows:
            yield list(dict.fromkeys(row["record_key"] for row in rows))
            rest = _log.record_key > rows[-1]["record_key"]
            rows = await self._whole(*new, rest, order=(_log.record_key,), limit=_PAGE)
        for place in await self._places():
            keys = (await self._batch(place)).created
            for begin in range(0, len(keys), _PAGE):
                yield keys[begin : begin + _PAGE]

    def _may_hold(self, keys: Sequence[str]) -> list[Any]:
        """Return conditions of the entries of many records that may hold some keys."""
        try:
            order = [key_order(key, whole=self._whole_numbers) for key in keys]
        except ValueError:  # of before a migration that made them whole numbers
            return []
        conditions: list[Any] = [_log.first_key <= max(order), _log.last_key >= min(order)]
        if len(keys) == 1:
            texts = (written(keys[0]), BETWEEN)
            images = (_log.before, _log.after)
            conditions.append(
                sa.or_(*(i.contains(t, autoescape=True) for i in images for t in texts))
            )
        return conditions

    async def _places(self, *conditions: Any) -> Sequence[Place]:
        here = self._here(_log.records.is_not(None), *conditions)
        return [tuple(row) for row in await self._ways.rows(sa.select(*_PLACE).where(*here))]

    async def _batch(self, place: Place) -> BatchEntries:
        """Return the entries of one row of many records."""
        found = self._read.get(place)
        if found is None:
            conditions = (column == value for column, value in zip(_PLACE, place, strict=True))
            (row,) = await self._whole(*conditions)
            entries = BatchEntries(row, {self.spec.name: self.spec}, self._driver)
            found = entries, sum(len(row[name] or "") for name in ("before", "after"))
            self._read[place] = found
            self._bytes += found[1]
            while self._bytes > _KEPT_BYTES and len(self._read) > 1:
                self._bytes -= self._read.popitem(last=False)[1][1]
        return found[0]

    def _entries(self, row: Mapping[str, Any]) -> Iterator[AuditEntry]:
        return read_entries(row, {self.spec.name: self.spec}, self._driver)

    def _here(self, *conditions: Any) -> list[Any]:
        return [_log.model == self.spec.name, *conditions, *self._ways.visible()]

    async def _whole(
        self, *conditions: Any, order: Sequence[Any] = (), limit: int | None = None
    ) -> list[dict[str, Any]]:
        statement = sa.select(AUDIT_LOG).where(*self._here(*conditions))
        return await self._ways.whole(statement.order_by(*order).limit(limit))
