"""Bulk changes of all records that a filter finds: one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.driver import DeletePlan, Driver, UpdatePlan
from dataflow.database.transaction import Level
from dataflow.models.spec import ModelSpec
from dataflow.query.filters import Filter
from dataflow.records.collect import never
from dataflow.records.encoding import Encoder, Names
from dataflow.records.prepared import Prepared
from dataflow.records.statements import select_statement
from dataflow.records.store import Store

__all__ = ["BulkWhere"]

_MOST = 1_000_000
"""More records are changed by the filter: their keys would take too much memory."""


class BulkWhere:
    """Bulk updates and deletes of one model by filter."""

    def __init__(self, store: Store) -> None:
        """Share the model, the validation and the scope of a store."""
        self._store = store
        self._spec: ModelSpec = store.spec
        self._database: Database = store.database
        self._driver: Driver = store.database.driver

    async def update(
        self, where: Filter, changes: Mapping[str, Any], *, include_deleted: bool = False
    ) -> dict[str, Any]:
        """Give every match the same values."""
        self._store.scope.refuse_change("BulkUpdate")
        self._store.check_changes(changes)
        await self._store.ready()
        record = {**self._store.scope.updated(), **self._store.validator.changes(changes)}
        count = await self._set(where, record, include_deleted=include_deleted)
        return {"processed": count, "updated": count, "success": True}

    async def delete(
        self, where: Filter, *, hard: bool = False, include_deleted: bool = False
    ) -> dict[str, Any]:
        """Delete every match."""
        scope = self._store.scope
        scope.refuse_change("BulkDelete")
        await self._store.ready()
        if scope.live is not None and not hard:
            count = await self._set(where, scope.deleted(), include_deleted=include_deleted)
        else:
            count = await self._delete(where, include_deleted=include_deleted)
        return {"processed": count, "deleted": count, "success": True}

    async def _set(self, where: Filter, record: Mapping[str, Any], *, include_deleted: bool) -> int:
        compiler, names = self._store.compiler, tuple(record)

        def build() -> Prepared:
            conditions = compiler.conditions(where, include_deleted=include_deleted)
            return compiler.compile(compiler.update(names, conditions))

        prepared = compiler.get(("update all", where.shape, names, include_deleted), build)
        values = {f"v_{name}": value for name, value in record.items()}
        args = prepared.args({**where.parameters, **values})
        least = self._driver.least_by_key(self._spec.table)
        if least is None:
            return await self._database.execute(prepared.sql, args)
        async with self._database.transaction(savepoint=True) as level:
            keys = await self._keys(level, where, least, include_deleted=include_deleted)
            if not keys:
                return await level.run(self._driver.execute, prepared.sql, args)
            encoder = Encoder(self._spec, self._driver.dialect, (), record)
            columns, version = (*encoder.columns, *self._key), self._store.scope.version
            plan = UpdatePlan(self._spec.table, columns, self._key, never, version)
            (given,) = encoder.encode([record])
            rows = ((*given, *key) for key in keys)
            return await level.run(self._driver.update_rows, plan, rows)

    async def _delete(self, where: Filter, *, include_deleted: bool) -> int:
        compiler = self._store.compiler

        def build() -> Prepared:
            conditions = compiler.conditions(where, include_deleted=include_deleted)
            return compiler.compile(compiler.deletion(conditions, soft=False))

        prepared = compiler.get(("delete all", where.shape, include_deleted), build)
        args = prepared.args(where.parameters)
        least = self._driver.least_by_key(self._spec.table)
        if least is None:
            return await self._database.execute(prepared.sql, args)
        async with self._database.transaction(savepoint=True) as level:
            keys = await self._keys(level, where, least, include_deleted=include_deleted)
            plan = DeletePlan(self._spec.table, self._key, keys, prepared.sql, args)
            return await level.run(self._driver.delete_found, plan)

    @property
    def _key(self) -> tuple[sa.Column[Any], ...]:
        """The columns that name a record: the key's, and whose it is."""
        return tuple(self._spec.fields[name].column for name in self._key_names)

    @property
    def _key_names(self) -> Names:
        tenant = self._store.scope.tenant
        return tuple(dict.fromkeys((*self._spec.key, *([tenant.name] if tenant else ()))))

    async def _keys(
        self, level: Level, where: Filter, least: int, *, include_deleted: bool
    ) -> Sequence[Sequence[Any]]:
        """Return the keys of all matches as they are stored; none, if they are few or too many."""
        compiler, names = self._store.compiler, self._key_names

        def build() -> Prepared:
            conditions = compiler.conditions(where, include_deleted=include_deleted)
            found = select_statement(self._spec, names, conditions).limit(_MOST + 1)
            return compiler.compile(found, names)

        prepared = compiler.get(("keys", where.shape, include_deleted), build)
        args = prepared.args(where.parameters)
        keys = await level.run(self._driver.fetch, prepared.sql, args)
        return keys if least <= len(keys) <= _MOST else ()
