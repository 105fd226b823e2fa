"""Entries of the audit log as they are read, and the report of a check."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy.types import TypeEngine

from dataflow.database.driver import Driver
from dataflow.models.hashchain import Kind
from dataflow.models.spec import ModelSpec
from dataflow.query.processors import result_processor
from dataflow.records.auditbatch import Batch, Stored

__all__ = ["AuditEntry", "AuditProblem", "AuditReport", "BatchEntries", "read_entries"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change, or one action that was recorded.

    Attributes:
        action: `"create"`, `"update"`, `"delete"`, or a word given to `record`.
        model: The model's name, or the kind of thing given to `record`.
        key: The record's key as text.
        before: The record before, by field; None for a create.
        after: The record afterwards, by field; None for a delete.
        chain: The tenant whose chain holds the entry, or `""`.
        partition: Which of the chain's partitions.
        sequence: The entry's number in it, from 1. A statement that changes many
            records may write one for thousands of them.
        position: Which of these records, from 0.
    """

    at: dt.datetime
    action: str
    model: str | None
    table: str | None
    key: str | None
    actor: str | None
    tenant: str | None
    correlation_id: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    details: Any
    ip_address: str | None
    user_agent: str | None
    chain: str
    partition: int
    sequence: int
    hash: str
    position: int = 0

    @property
    def changed(self) -> dict[str, tuple[Any, Any]]:
        """What an update changed: `{field: (before, after)}`."""
        if self.before is None or self.after is None:
            return {}
        return {
            name: (self.before.get(name), value)
            for name, value in self.after.items()
            if self.before.get(name) != value
        }


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """Where a chain is broken, and how."""

    chain: str
    partition: int
    sequence: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a check of the audit log found.

    Attributes:
        entries: Entries that were checked.
        chains: Chains that have entries, each partition counted.
        problems: The first 1,000 at most.
    """

    entries: int
    chains: int
    problems: tuple[AuditProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def read_entries(
    row: Mapping[str, Any], specs: Mapping[str, ModelSpec], driver: Driver
) -> Iterator[AuditEntry]:
    """Yield a row's changes with values of the declared types, where the model is known."""
    if row["records"] is not None:
        yield from BatchEntries(row, specs, driver)
        return
    was, now = (
        None if text is None else json.loads(text, parse_float=Decimal)
        for text in (row["before"], row["after"])
    )
    spec = specs.get(row["model"] or "")
    before, after = _values(was, spec, driver), _values(now, spec, driver)
    yield replace(_first(row), before=before, after=after)


class BatchEntries:
    """The entries of a row of many records, made as they are asked for."""

    def __init__(
        self, row: Mapping[str, Any], specs: Mapping[str, ModelSpec], driver: Driver
    ) -> None:
        """Read a row of the log."""
        self._first = _first(row)
        self._batch = Batch(row["before"], row["after"])
        self._places = {key: place for place, key in enumerate(self._batch.keys)}
        self._spec, self._driver = specs.get(row["model"] or ""), driver
        self.created = self._batch.created
        """Keys of records that were not there before."""

    def __iter__(self) -> Iterator[AuditEntry]:
        """Yield all."""
        return map(self.entry, self._batch.keys)

    def __contains__(self, key: str) -> bool:
        """Whether a record is among them."""
        return key in self._places

    def entry(self, key: str) -> AuditEntry:
        """Return the entry of one record."""
        was, now = self._batch.change(key)
        return replace(
            self._first,
            action="create" if was is None else "delete" if now is None else "update",
            key=key,
            before=_values(was, self._spec, self._driver),
            after=_values(now, self._spec, self._driver),
            position=self._places[key],
        )


def _first(row: Mapping[str, Any]) -> AuditEntry:
    """Return a row's entry without what was before and after."""
    return AuditEntry(
        at=row["at"],
        action=row["action"],
        model=row["model"],
        table=row["table_name"],
        key=row["record_key"],
        actor=row["actor"],
        tenant=row["tenant"],
        correlation_id=row["correlation_id"],
        before=None,
        after=None,
        details=None if row["details"] is None else json.loads(row["details"]),
        ip_address=row["ip_address"],
        user_agent=row["user_agent"],
        chain=row["chain"],
        partition=row["partition"],
        sequence=row["sequence"],
        hash=row["hash"].hex(),
    )


def _values(stored: Stored | None, spec: ModelSpec | None, driver: Driver) -> dict[str, Any] | None:
    if stored is None:
        return None
    if spec is None:
        return {name: _plain(value) for name, value in stored.items()}
    fields = {str(field.column.name): field for field in spec.fields.values()}
    found: dict[str, Any] = {}
    for column, value in stored.items():
        field = fields.get(column)
        if field is None or value is None or field.info.secret:
            found[field.name if field else column] = _plain(value)
            continue
        try:
            found[field.name] = _restored(field.column.type, value, driver)
        except (ValueError, TypeError, ArithmeticError):  # written under another declaration
            found[field.name] = _plain(value)
    return found


def _restored(kind: TypeEngine[Any], value: Any, driver: Driver) -> Any:
    convert = result_processor(kind, driver.dialect)
    found = driver.from_json(kind, value)
    return found if convert is None else convert(found)


def _plain(value: Any) -> Any:
    """Return a document with the numbers that JSON usually has."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
