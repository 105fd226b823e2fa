"""Reading the audit log: its four questions, each for what the caller may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import sqlalchemy as sa

from dataflow import context
from dataflow.database.database import Database
from dataflow.errors import ParameterError, TenantRequiredError, UnknownModelError
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.records.auditarguments import hours_ago
from dataflow.records.auditentry import AuditEntry, read_entries
from dataflow.records.audithistory import History, Ways, key_text, stored_text
from dataflow.records.prepared import prepare
from dataflow.records.requests import check_count
from dataflow.records.tenants import TenantRule

__all__ = ["AuditReading", "Place"]

Place = tuple[str, int]
_log = AUDIT_LOG.c
_NEWEST = (_log.at.desc(), _log.sequence.desc(), _log.chain, _log.partition)
_ANY_ENTRY = sa.select(sa.literal(1)).select_from(AUDIT_LOG)
_CHANGES = sa.func.coalesce(_log.records, 1)


class AuditReading:
    """Questions to the audit log, as coroutines."""

    def __init__(self, database: Database, specs: Callable[[], Sequence[ModelSpec]]) -> None:
        """Keep the database and the way to the models."""
        self._database = database
        self._specs = specs

    async def get_recent_activity(self, hours: float = 24, limit: int = 50) -> list[AuditEntry]:
        """Return the newest entries of the last hours, newest first.

        Args:
            hours: How far to look back, from 0.
            limit: The most entries.

        Raises:
            ParameterError: If `hours` is no number from 0, or before all dates, or `limit`
                is no whole number from 0.
        """
        _check_part(0, limit)
        since = hours_ago(hours)
        rows: list[Mapping[str, Any]] = []
        for chain, partition in await self._places():
            here = (_log.chain == chain, _log.partition == partition, _log.at >= since)
            rows += await self._newest(here, (_log.sequence.desc(),), 0, limit)
        rows.sort(key=lambda row: row["at"], reverse=True)
        return list(islice(self._backwards(rows), limit))

    async def get_by_user(self, user_id: Any, skip: int = 0, limit: int = 100) -> list[AuditEntry]:
        """Return what an actor did, newest first.

        Args:
            user_id: As it was given to `db.acting`.
            skip: Entries to leave out.
            limit: The most entries.

        Raises:
            ParameterError: If `skip` or `limit` is no whole number from 0.
        """
        _check_part(skip, limit)
        rows = await self._newest((_log.actor == str(user_id),), _NEWEST, skip, limit)
        begin = skip - (rows[0]["upto"] - _count(rows[0])) if rows else 0
        return list(islice(self._backwards(rows), begin, begin + limit))

    async def get_by_entity(self, entity_type: Any, entity_id: Any) -> list[AuditEntry]:
        """Return all that happened to one record, newest first.

        Args:
            entity_type: A model, its name or its table's, or the `entity_type` of `record`.
            entity_id: The record's key; for composite keys a dict or a tuple.

        Raises:
            UnknownModelError: For a name that is no model's, and nowhere in the log.
        """
        name, spec = self._entity(entity_type)
        key = self._key_text(spec, entity_id)
        if spec is not None:
            return (await self._history(spec).of([key]))[::-1]
        statement = self._select(_log.model == name, _log.record_key == key)
        found = await self._entries(statement.order_by(*_NEWEST))
        # Names of own kinds belong to the program: whichever tenant's entry has it.
        if not found and not await self._rows(_ANY_ENTRY.where(_log.model == name).limit(1)):
            known = tuple(spec.name for spec in self._specs())
            raise UnknownModelError(name=name, known=known)
        return found

    async def get_by_correlation_id(self, correlation_id: Any) -> list[AuditEntry]:
        """Return what belongs together, in the order in which it happened."""
        statement = self._select(_log.correlation_id == str(correlation_id))
        return await self._entries(statement.order_by(_log.at, _log.sequence))

    def _select(self, *conditions: Any) -> Any:
        return sa.select(AUDIT_LOG).where(*conditions, *self._visible(_log.chain))

    def _visible(self, chain: Any) -> list[Any]:
        """Return the condition of what the caller may see, where tenants share models.

        Raises:
            TenantRequiredError: If neither a tenant was set, nor all of them.
        """
        tenant = context.tenant.get()
        if tenant is None and any(spec.tenant is not None for spec in self._specs()):
            raise TenantRequiredError(model=AUDIT_LOG.name)
        if tenant is None or tenant is context.ALL_TENANTS:
            return []
        return [sa.or_(*(chain == name for name in self._chains()))]

    def _chains(self, first: ModelSpec | None = None) -> list[str]:
        """Return the names of the tenant's chains: the tenant as a column of the models holds it.

        Args:
            first: A model whose tenants' chains are named first.
        """
        kinds: dict[Any, tuple[ModelSpec, FieldSpec]] = {}
        for spec in self._specs() if first is None else (first, *self._specs()):
            if spec.tenant is not None:
                kinds.setdefault(spec.tenant.declared, (spec, spec.tenant))
        names = []
        for spec, field in kinds.values():
            with suppress(ParameterError):  # its tenants are of another type
                value = TenantRule(spec, field).value()
                names.append(stored_text(field.column.type, self._database.driver, value))
        return list(dict.fromkeys((*names, str(context.tenant.get()))))

    async def _newest(
        self, conditions: Sequence[Any], order: Sequence[Any], skip: int, limit: int
    ) -> list[dict[str, Any]]:
        """Return the rows that hold some of the newest changes.

        Args:
            conditions: Which rows.
            order: Their order, in which no two are equal.
            skip: How many changes to leave out.
            limit: How many are wanted.
        """
        sums = sa.func.sum(_CHANGES).over(order_by=order, rows=(None, 0))
        upto = sa.cast(sums, sa.BigInteger()).label("upto")
        within = self._select(*conditions).add_columns(upto).order_by(*order).limit(skip + limit)
        found = within.subquery()
        changes = sa.func.coalesce(found.c.records, 1)
        wanted = (found.c.upto > skip, found.c.upto - changes < skip + limit)
        return await self._whole(sa.select(found).where(*wanted).order_by(found.c.upto), upto.name)

    def _backwards(self, rows: Sequence[Mapping[str, Any]]) -> Iterator[AuditEntry]:
        """Yield the changes of rows, the last of each row first."""
        specs = {spec.name: spec for spec in self._specs()}
        for row in rows:
            yield from reversed(list(read_entries(row, specs, self._database.driver)))

    async def _entries(self, statement: Any) -> list[AuditEntry]:
        specs = {spec.name: spec for spec in self._specs()}
        driver = self._database.driver
        rows = await self._whole(statement)
        return [entry for row in rows for entry in read_entries(row, specs, driver)]

    async def _whole(self, statement: Any, *more: str) -> list[dict[str, Any]]:
        """Return whole rows of the log, with values of the declared types."""
        await self._ready()
        columns = [(column.name, column.type) for column in AUDIT_LOG.columns]
        columns += [(name, sa.BigInteger()) for name in more]
        prepared = prepare(statement, self._database.driver.dialect, columns)
        rows = await self._database.fetch(prepared.sql, prepared.args({}))
        return prepared.reader.many(rows)

    async def _places(self) -> list[Place]:
        await self._ready()
        heads = AUDIT_HEADS.c
        statement = sa.select(heads.chain, heads.partition).where(heads.sequence > 0)
        statement = statement.where(*self._visible(heads.chain))
        return [(row[0], row[1]) for row in await self._rows(statement)]

    async def _rows(self, statement: Any) -> Sequence[Any]:
        prepared = prepare(statement, self._database.driver.dialect)
        return await self._database.fetch(prepared.sql, prepared.args({}))

    async def _ready(self) -> None:
        if not self._database.driver.audit.used:
            raise ParameterError(
                problem="nothing is audited.",
                advise="call db.enable_audit_log(), or give a model the option audit=True",
            )
        await self._database.before_transaction()

    def _entity(self, given: Any) -> tuple[str, ModelSpec | None]:
        """Return the name under which the log knows a kind of thing, and its model."""
        text = str(getattr(given, "__name__", given))
        for spec in self._specs():
            if text.casefold() in (spec.name.casefold(), str(spec.table.name).casefold()):
                return spec.name, spec
        return text, None

    def _key_text(self, spec: ModelSpec | None, key: Any) -> str:
        return str(key) if spec is None else key_text(spec, self._database.driver, key)

    def _history(self, spec: ModelSpec) -> History:
        ways = Ways(lambda: self._visible(_log.chain), self._whole, self._rows)
        return History(spec, self._database.driver, ways)


def _count(row: Mapping[str, Any]) -> int:
    return 1 if row["records"] is None else int(row["records"])


def _check_part(skip: Any, limit: Any) -> None:
    for name, value in (("skip", skip), ("limit", limit)):
        if value is None:  # which would be no limit, and the log may be endless
            raise ParameterError(problem=f"{name} must be a whole number from 0, not None.")
        check_count(name, value, least=0)
