"""`db.audit`: who changed what, and whether the log of it is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from dataflow import context
from dataflow.errors import ParameterError
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG, entry_texts
from dataflow.models.hashchain import ChainCheck, Link, genesis
from dataflow.models.plaintext import checked_text
from dataflow.models.spec import ModelSpec
from dataflow.portal import sync_call
from dataflow.records.auditarguments import (
    checked_action,
    checked_origin,
    details_of,
    noted_heads,
)
from dataflow.records.auditentry import AuditEntry, AuditProblem, AuditReport
from dataflow.records.auditreading import AuditReading, Place
from dataflow.records.auditrecords import RecordReport, check_records
from dataflow.records.prepared import prepare
from dataflow.records.statements import columns_of
from dataflow.records.tenants import TenantRule

__all__ = ["AsyncAudit", "Audit"]

Anchor = list[dict[str, Any]]
_BATCH = 1_000
"""Entries that are checked between two turns of the event loop."""
_MOST = 1_000
"""Problems that a report lists."""
_log = AUDIT_LOG.c


class AsyncAudit(AuditReading):
    """Reading and checking the audit log, as coroutines; see `Audit`."""

    # ---------------------------------------------------------------- writing

    async def record(
        self,
        *,
        action: str,
        entity_type: Any = None,
        entity_id: Any = None,
        details: Any = None,
        **origin: str | None,
    ) -> None:
        """Add an entry for what is no write: an approval, a login, a download.

        It belongs to the open transaction; actor and correlation id are those of
        `db.acting`, the tenant is the current one.

        Args:
            action: What was done, in one word.
            entity_type: To what kind of thing: a model, or a name of your own.
            entity_id: To which.
            details: Whatever JSON can carry; instants, decimals and UUIDs become texts,
                enums their values.
            **origin: `ip_address` and `user_agent`.

        Raises:
            ParameterError: For an action that is no text, details that JSON cannot carry,
                and texts with U+0000 or lone surrogates.
        """
        given = {
            "action": checked_action(action),
            "details": details_of(details),
            **checked_origin(origin),
        }
        name, spec = (None, None) if entity_type is None else self._entity(entity_type)
        key = None if entity_id is None else self._key_text(spec, entity_id)
        for argument, text in (("entity_type", name), ("entity_id", key)):
            checked_text(argument, text)
        await self._ready()
        tenant, caller = context.tenant.get(), context.current_caller()
        alone = tenant is not None and tenant is not context.ALL_TENANTS
        known = self._chains(spec)[0] if alone else None
        values = {
            "chain": known or "", "model": name, "record_key": key, **given,
            "table_name": None if spec is None else str(spec.table.fullname),
            "actor": caller[0] or None, "tenant": known, "correlation_id": caller[1] or None,
        }  # fmt: skip
        async with self._database.transaction() as level:
            await level.run(self._database.driver.record_entry, values)

    # --------------------------------------------------------------- checking

    async def anchor(self) -> Anchor:
        """Return the head of each chain, to keep where the database's owner cannot write.

        Returns:
            `[{"chain", "partition", "sequence", "hash"}]`, plain data for JSON.
        """
        await self._ready()
        visible = self._visible(AUDIT_HEADS.c.chain)
        heads = await self._rows(sa.select(AUDIT_HEADS).where(AUDIT_HEADS.c.sequence > 0, *visible))
        return [
            {"chain": row[0], "partition": row[1], "sequence": row[2], "hash": bytes(row[3]).hex()}
            for row in heads
        ]

    async def verify(self, anchor: Iterable[Mapping[str, Any]] = ()) -> AuditReport:
        """Check every entry, and each chain up to its head; in flat memory.

        Inside `db.tenant(…)` that is the tenant's chain; `db.all_tenants()` checks all.

        Args:
            anchor: What `anchor()` returned before: its entries must still be there.

        Raises:
            ParameterError: Inside a transaction, which sees what others have not committed;
                or for what is no anchor.
        """
        noted = noted_heads(anchor)
        if self._database.current() is not None:
            raise ParameterError(
                problem="the audit log is verified in a transaction of its own.",
                advise="call verify outside of db.transaction()",
            )
        await self._ready()
        async with self._database.transaction(isolation="repeatable_read", read_only=True):
            heads = {
                (row[0], row[1]): (row[2], row[3])
                for row in await self._rows(
                    sa.select(AUDIT_HEADS).where(*self._visible(AUDIT_HEADS.c.chain))
                )
            }
            return await self._check(heads, noted)

    async def verify_records(self, model: Any) -> RecordReport:
        """Compare a model's records with what the log says that they should be.

        Records that were stored before the model was audited are named as unlogged.
        Together with `verify`, whose chain shows that the log is whole, this shows that
        no record was changed, added or removed behind the triggers' backs.

        Args:
            model: A model, its name or its table's.

        Raises:
            ParameterError: If it is no model of this database, or has no tenants and is
                checked inside a tenant's block, where its entries are not to be seen.
        """
        await self._ready()
        name, spec = self._entity(model)
        if spec is None:
            raise ParameterError(problem=f"there is no model {name!r} here.")
        if spec.tenant is None and context.tenant.get() not in {None, context.ALL_TENANTS}:
            raise ParameterError(
                problem=f"{name!r} has no tenants, and a tenant does not see its entries.",
                advise="check it outside, or with db.all_tenants().",
            )
        mine = list[Any]()
        if spec.tenant is not None and self._visible(_log.chain):
            mine = [spec.tenant.column == TenantRule(spec, spec.tenant).value()]

        async def records(statement: Any) -> list[dict[str, Any]]:
            return await self._records(statement.where(*mine), spec)

        snapshot: dict[str, Any] = {"isolation": "repeatable_read", "read_only": True}
        if self._database.current() is not None:
            snapshot = {}  # what is open is joined as it is
        async with self._database.transaction(**snapshot):
            return await check_records(self._history(spec), records)

    async def _records(self, statement: Any, spec: ModelSpec) -> list[dict[str, Any]]:
        columns = columns_of(spec, spec.fields)
        prepared = prepare(statement, self._database.driver.dialect, columns, spec=spec)
        rows = await self._database.fetch(prepared.sql, prepared.args({}))
        return prepared.reader.many(rows)

    async def _check(
        self, heads: Mapping[Place, Any], noted: Mapping[Place, tuple[int, bytes]]
    ) -> AuditReport:
        places = {place: ChainCheck(genesis(*place), noted.get(place)) for place in noted}
        problems: list[AuditProblem] = []
        entries, seen = 0, set[Place]()
        check, place = ChainCheck(b""), None
        async for row in self._stream():
            if (row["chain"], row["partition"]) != place:
                if place is not None:
                    problems += _problems(place, check, heads)
                place = (row["chain"], row["partition"])
                check = places.get(place) or ChainCheck(genesis(*place))
                seen.add(place)
            check.add(Link(row["sequence"], row["previous"], row["hash"], entry_texts(row)))
            entries += 1
        if place is not None:
            problems += _problems(place, check, heads)
        for other in dict.fromkeys([*heads, *noted]):
            if other not in seen:
                empty = places.get(other) or ChainCheck(genesis(*other))
                problems += _problems(other, empty, heads)
        return AuditReport(entries, len(seen), tuple(problems[:_MOST]))

    async def _stream(self) -> AsyncIterator[dict[str, Any]]:
        """Yield all entries by chain and sequence, as they are stored."""
        key = sa.tuple_(_log.chain, _log.partition, _log.sequence)
        order = (_log.chain, _log.partition, _log.sequence)
        names = [column.name for column in AUDIT_LOG.columns]
        statement = self._select().order_by(*order).limit(_BATCH)
        rows = await self._rows(statement)
        while rows:
            for row in rows:
                yield dict(zip(names, row, strict=True))
            last = sa.tuple_(
                *(sa.literal(value, c.type) for value, c in zip(rows[-1], order, strict=False))
            )
            rows = await self._rows(statement.where(key > last))


def _problems(place: Place, check: ChainCheck, heads: Mapping[Place, Any]) -> list[AuditProblem]:
    return [
        AuditProblem(*place, found.sequence, found.kind) for found in check.end(heads.get(place))
    ]


class Audit:
    """The audit log for sync callers; each method waits for its twin in `db.aio.audit`."""

    def __init__(self, aio: AsyncAudit) -> None:
        """Keep the coroutines."""
        self._aio = aio

    def get_recent_activity(self, hours: float = 24, limit: int = 50) -> list[AuditEntry]:
        """Return the newest entries; see `AsyncAudit.get_recent_activity`."""
        return sync_call(
            "db.audit.get_recent_activity",
            "db.aio.audit.get_recent_activity",
            self._aio.get_recent_activity,
            hours,
            limit,
        )

    def get_by_user(self, user_id: Any, skip: int = 0, limit: int = 100) -> list[AuditEntry]:
        """Return what an actor did; see `AsyncAudit.get_by_user`."""
        return sync_call(
            "db.audit.get_by_user",
            "db.aio.audit.get_by_user",
            self._aio.get_by_user,
            user_id,
            skip,
            limit,
        )

    def get_by_entity(self, entity_type: Any, entity_id: Any) -> list[AuditEntry]:
        """Return what happened to a record; see `AsyncAudit.get_by_entity`."""
        return sync_call(
            "db.audit.get_by_entity",
            "db.aio.audit.get_by_entity",
            self._aio.get_by_entity,
            entity_type,
            entity_id,
        )

    def get_by_correlation_id(self, correlation_id: Any) -> list[AuditEntry]:
        """Return what belongs together; see `AsyncAudit.get_by_correlation_id`."""
        return sync_call(
            "db.audit.get_by_correlation_id",
            "db.aio.audit.get_by_correlation_id",
            self._aio.get_by_correlation_id,
            correlation_id,
        )

    def record(self, *, action: str, **values: Any) -> None:
        """Add an entry for what is no write; see `AsyncAudit.record`."""
        sync_call(
            "db.audit.record", "db.aio.audit.record", self._aio.record, action=action, **values
        )

    def anchor(self) -> Anchor:
        """Return the head of each chain; see `AsyncAudit.anchor`."""
        return sync_call("db.audit.anchor", "db.aio.audit.anchor", self._aio.anchor)

    def verify(self, anchor: Iterable[Mapping[str, Any]] = ()) -> AuditReport:
        """Check every entry; see `AsyncAudit.verify`."""
        return sync_call("db.audit.verify", "db.aio.audit.verify", self._aio.verify, anchor)

    def verify_records(self, model: Any) -> RecordReport:
        """Compare records with the log; see `AsyncAudit.verify_records`."""
        return sync_call(
            "db.audit.verify_records",
            "db.aio.audit.verify_records",
            self._aio.verify_records,
            model,
        )
