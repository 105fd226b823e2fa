"""Whether the records of a model are what the audit log says that they should be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from dataflow.models.columns import python_type
from dataflow.models.spec import ModelSpec
from dataflow.records.auditentry import AuditEntry
from dataflow.records.audithistory import History

__all__ = ["RecordProblem", "RecordReport", "check_records"]

Record = dict[str, Any]
Fetch = Callable[[Any], Awaitable[list[Record]]]
_BATCH = 5_000
_AT_ONCE = 200
"""Keys of one statement."""
_MOST = 1_000


@dataclass(frozen=True, slots=True)
class RecordProblem:
    """A record that is not what the log says.

    Attributes:
        key: The record's key as the log writes it.
        kind: `"altered"`: its values differ from the last entry; `"unlogged"`: there is no
            entry that it exists; `"missing"`: the log does not say that it was deleted.
    """

    key: str
    kind: Literal["altered", "unlogged", "missing"]


@dataclass(frozen=True, slots=True)
class RecordReport:
    """What a check of records against the log found.

    Attributes:
        records: Records that were checked.
        problems: The first 1,000 at most.
    """

    records: int
    problems: tuple[RecordProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


async def check_records(history: History, fetch: Fetch) -> RecordReport:
    """Compare the records of a model with their last entries, a batch at a time.

    Args:
        history: The model's entries.
        fetch: Runs a statement that returns all of the model's columns.
    """
    checked, problems, missing = 0, list[RecordProblem](), set[str]()
    async for batch in _records(history.spec, fetch):
        records = {history.key(record): record for record in batch}
        last = await history.last(list(records))
        checked += len(records)
        problems += [
            RecordProblem(key, kind)
            for key, record in records.items()
            if (kind := _difference(history.spec, record, last.get(key))) is not None
        ]
    async for keys in history.created():
        last = await history.last(keys)
        standing = {key for key, entry in last.items() if entry.after is not None}
        found = await _existing(history, fetch, [last[key] for key in standing])
        missing |= standing - found
    if missing:  # also those whose keys had another name or type when they were logged
        async for batch in _records(history.spec, fetch):
            missing.difference_update(map(history.key, batch))
    problems += [RecordProblem(key, "missing") for key in sorted(missing)]
    return RecordReport(checked, tuple(problems[:_MOST]))


def _difference(
    spec: ModelSpec, record: Record, entry: AuditEntry | None
) -> Literal["altered", "unlogged"] | None:
    if entry is None or entry.after is None:
        return "unlogged"
    # A column that was added or renamed since then is not in the entry.
    told = (n for n, field in spec.fields.items() if n in entry.after and not field.info.secret)
    same = all(entry.after[name] == record[name] for name in told)
    return None if same else "altered"


async def _records(spec: ModelSpec, fetch: Fetch) -> AsyncIterator[list[Record]]:
    """Yield all records in the order of the primary key."""
    fields = {field.column: name for name, field in spec.fields.items()}
    order = list(spec.table.primary_key.columns)
    columns = [field.column for field in spec.fields.values()]
    statement = sa.select(*columns).order_by(*order).limit(_BATCH)
    batch = await fetch(statement)
    while batch:
        yield batch
        last = [sa.literal(batch[-1][fields[column]], column.type) for column in order]
        batch = await fetch(statement.where(sa.tuple_(*order) > sa.tuple_(*last)))


async def _existing(history: History, fetch: Fetch, last: Sequence[AuditEntry]) -> set[str]:
    """Return the keys of those that exist, of records that entries say were left standing."""
    spec, existing = history.spec, set[str]()
    wanted = [_is_record(spec, e.after) for e in last if e.after is not None and _has_key(spec, e)]
    columns = [field.column for field in spec.fields.values()]
    for begin in range(0, len(wanted), _AT_ONCE):
        some = sa.or_(*wanted[begin : begin + _AT_ONCE])
        found = await fetch(sa.select(*columns).where(some))
        existing |= {history.key(record) for record in found}
    return existing


def _is_record(spec: ModelSpec, values: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    columns = {name: spec.fields[name].column for name in spec.key}
    return sa.and_(*(c == sa.literal(values[name], c.type) for name, c in columns.items()))


def _has_key(spec: ModelSpec, entry: AuditEntry) -> bool:
    """Whether an entry, of before a migration perhaps, has a key of today's fields and types."""
    values = entry.after or {}
    kinds = {name: python_type(spec.fields[name].column.type) for name in spec.key}
    return all(
        name in values and (kind is Any or isinstance(values[name], kind))
        for name, kind in kinds.items()
    )
