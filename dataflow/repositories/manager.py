"""`DatabaseManager`: sessions, figures, export and retention for applications of base models."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from itertools import groupby
from typing import Any, Self, cast

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapper

from dataflow.app import DataFlow
from dataflow.context import ALL_TENANTS, Setting, tenant
from dataflow.database.lane import translated
from dataflow.errors import (
    CleanupFailedError,
    DataFlowError,
    ParameterError,
    TenantRequiredError,
    shown,
)
from dataflow.models.columns import utc_now
from dataflow.models.ready import BaseModel
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import checked_tenant
from dataflow.records.sessions import SessionBlock

__all__ = ["DatabaseManager"]


class DatabaseManager:
    """One database and the models of a declarative base, under one roof.

    Args:
        database_url: Where; the driver in `postgresql+asyncpg://` may be left out. None:
            the environment, as `DataFlow` does.
        pool_size: Connections kept open.
        max_overflow: Connections opened above that under load.
        base: The declarative base whose models it manages; those declared later, too. An
            abstract base with a `metadata` of its own keeps its models apart.
        db: A `DataFlow` to use instead of a new one.
        **settings: Further fields of `DataFlowConfig`.

    Raises:
        ConfigurationError: For a URL that cannot be read; the empty text is none.
    """

    def __init__(
        self,
        database_url: str | None = None,
        *,
        base: type[DeclarativeBase] = BaseModel,
        db: DataFlow | None = None,
        **settings: Any,
    ) -> None:
        """Keep the settings; connects to nothing."""
        given = settings if database_url is None else {"database_url": database_url, **settings}
        if db is not None and given:
            raise ParameterError(
                problem="a DatabaseManager takes a DataFlow or settings, not both."
            )
        if db is not None and not isinstance(db, DataFlow):
            raise ParameterError(problem=f"db must be a DataFlow, not {shown(db)}.")
        self.db = db if db is not None else DataFlow(given)
        self._base = base
        self._seen: frozenset[Mapper[Any]] = frozenset()

    def register(self) -> list[str]:
        """Make models of the base's classes that are none yet; return the names of all."""
        mappers = self._base.registry.mappers
        found = [mapper.class_ for mapper in mappers - self._seen]
        for model in sorted(filter(self._is_own, found), key=lambda model: model.__name__):
            self.db.model(model)
        self._seen = mappers
        return self.db.list_models()

    def _is_own(self, model: type[DeclarativeBase]) -> bool:
        """Whether a class is the base's: others share its registry, or have tables apart."""
        return issubclass(model, self._base) and model.metadata is self._base.metadata

    async def create_tables(self) -> None:
        """Create the tables and columns that are missing."""
        self.register()
        await self.db.aio.create_tables()

    def get_session(
        self, tenant_id: Any = None, *, include_deleted: bool = False, read_only: bool = False
    ) -> SessionBlock:
        """Return a block, `async with`, around a session for the records of one tenant.

        Args:
            tenant_id: Whose records; None: the tenant of the block around it.
            include_deleted: Whether deleted records are seen.
            read_only: Refuse writes; on SQLite, do not wait for those who write.
        """
        self.register()
        return self.db.aio.session(tenant_id, include_deleted=include_deleted, read_only=read_only)

    async def get_stats(self, tenant_id: Any = None) -> dict[str, Any]:
        """Return `{"models": {name: {"total", "deleted", "by_status"}}, "pool": {…}}`.

        `total` and `by_status`, which only models with a field `status` have, include the
        records that `deleted` counts. `by_status` names enums by their values, and records
        without a status by None.

        Args:
            tenant_id: Whose records are counted; None: those of the block around the
                call, and without one those of all tenants.
        """
        found = {}
        async with self._session(tenant_id) as session:
            for spec in self._specs():
                found[spec.name] = await self._count(session, spec)
        return {"models": found, "pool": self.db.database.pool_status()}

    async def _count(self, session: AsyncSession, spec: ModelSpec) -> dict[str, Any]:
        deleted: sa.ColumnElement[int] = sa.literal(0)
        if spec.options.soft_delete:
            hidden = spec.fields["deleted_at"].column.is_not(None)
            deleted = sa.func.count().filter(hidden)
        counts = sa.select(sa.func.count(), deleted).select_from(spec.table)
        total, gone = (await session.execute(counts)).one()
        figures: dict[str, Any] = {"total": total, "deleted": gone}
        if "status" in spec.fields:
            column = spec.fields["status"].column
            rows = await session.execute(sa.select(column, sa.func.count()).group_by(column))
            figures["by_status"] = {_status_name(status): count for status, count in rows}
        return figures

    async def bulk_insert(self, models: Iterable[Any], tenant_id: Any = None) -> int:
        """Insert objects of any of the models in one transaction; return how many.

        Args:
            models: Objects that are not stored yet; one that comes twice counts once.
            tenant_id: Whose they are; None: the tenant of the block around the call, and
                without one that which the objects themselves name.

        Raises:
            ParameterError: For what is no list of objects of models, and for objects of
                several tenants where nothing says whose they are.
            UnscopedStatementError: If an object names another tenant.
        """
        objects = _mapped_objects(models)
        if tenant_id is None and tenant.get() is None:
            tenant_id = _only_owner(objects)
        async with self.get_session(tenant_id) as session:
            session.add_all(objects)
            await session.commit()
        return len(objects)

    async def export_for_compliance(
        self, tenant_id: Any = None, models: Iterable[Any] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield `{"model", "record"}` for every record of a tenant, deleted ones included.

        Args:
            tenant_id: Whose records; None: the tenant of the block around the call.
            models: Which models; None: all that tenants share.

        Raises:
            TenantRequiredError: If no tenant is set.
            ParameterError: If `models` is no list, or `tenant_id` names no tenant.
            UnknownModelError: For what is none of the models.
        """
        specs = self._specs()
        if models is None:
            models = [spec.model for spec in specs if spec.tenant is not None]
        elif isinstance(models, str | type) or not isinstance(models, Iterable):
            problem = f"models must be a list of models, not {shown(models)}."
            raise ParameterError(problem=problem, advise="write [Model], or leave it out for all")
        owner = tenant.get() if tenant_id is None else tenant_id
        if owner is None or owner is ALL_TENANTS:
            call = "export_for_compliance"
            raise TenantRequiredError(model=call, call=call, everyone=owner is ALL_TENANTS)
        with Setting(tenant, checked_tenant(owner)):
            queries = [self.db.aio.query(model).include_deleted() for model in models]
        for query in queries:
            name = query.parts.store.spec.name
            async for record in _owned(query, owner):
                yield {"model": name, "record": dict(record)}

    async def cleanup_old_data(self, days: int = 2_555) -> dict[str, int]:
        """Remove for good what was soft-deleted more than some days ago, of all tenants.

        Records go before those that they refer to, and each tenant's in a transaction of
        their own. Where one fails, its records stay, and the others go all the same.

        Args:
            days: From 0; the default is seven years, as many frameworks ask for.

        Returns:
            `{model: how many records were removed}`.

        Raises:
            ParameterError: If `days` is no number from 0, or before all dates.
            CleanupFailedError: At the end, naming the tenants whose records stay, for
                instance because others that are not as old refer to them.
        """
        limit = _days_ago(days)
        kept = _children_first(spec for spec in self._specs() if spec.options.soft_delete)
        old = {spec.name: spec.fields["deleted_at"].column < limit for spec in kept}
        deletes = {spec.name: sa.delete(spec.table).where(old[spec.name]) for spec in kept}
        removed = dict.fromkeys(old, 0)
        failures: dict[Any, BaseException] = {}
        for owner, specs in await self._owners(kept, old):
            try:
                counts = await self._remove(
                    owner, {spec.name: deletes[spec.name] for spec in specs}
                )
            except (DataFlowError, SQLAlchemyError) as error:
                name = None if owner is ALL_TENANTS else owner
                failures.setdefault(name, translated(self.db.database.driver, error) or error)
            else:
                removed = {name: count + counts.get(name, 0) for name, count in removed.items()}
        if failures:
            first = next(iter(failures.values()))
            raise CleanupFailedError(removed=removed, failures=failures) from first
        return removed

    async def _remove(self, owner: Any, deletes: Mapping[str, sa.Delete]) -> dict[str, int]:
        counts = {}
        async with self.get_session(owner, include_deleted=True) as session:
            for name, statement in deletes.items():
                result = await session.execute(statement)
                counts[name] = int(cast("Any", result).rowcount)
            await session.commit()
        return counts

    async def _owners(
        self, specs: Sequence[ModelSpec], old: Mapping[str, sa.ColumnElement[bool]]
    ) -> list[tuple[Any, list[ModelSpec]]]:
        """Return whose old records there are, in which models; under all tenants one only reads.

        What tenants share and what they do not may refer to each other, so that a tenant
        comes several times where its models are not next to each other.
        """
        work: list[tuple[Any, list[ModelSpec]]] = []
        async with self._session(ALL_TENANTS) as session:
            for _, group in groupby(specs, key=lambda spec: spec.tenant is not None):
                owners: dict[Any, list[ModelSpec]] = {}
                for spec in group:
                    found: Iterable[Any] = [ALL_TENANTS]
                    if spec.tenant is not None:
                        whose = sa.select(spec.tenant.column).where(old[spec.name]).distinct()
                        found = await session.scalars(whose)
                    for owner in found:
                        owners.setdefault(owner, []).append(spec)
                work += owners.items()
        return work

    async def get_engine(self) -> AsyncEngine:
        """Return SQLAlchemy's engine of the running loop; statements on it have no scope."""
        return (await self.db.database.lane()).engine

    async def close(self) -> None:
        """Close all connections."""
        await self.db.aclose()

    async def __aenter__(self) -> Self:
        """Return the manager; leaving the block closes it."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.close()

    def _session(self, tenant_id: Any) -> SessionBlock:
        owner = tenant.get() if tenant_id is None else tenant_id
        return self.get_session(ALL_TENANTS if owner is None else owner, include_deleted=True)

    def _specs(self) -> list[ModelSpec]:
        self.register()
        return self.db.specs()


def _status_name(status: Any) -> Any:
    return status.value if isinstance(status, Enum) else status


def _mapped_objects(given: Any) -> list[Any]:
    """Return objects of mapped classes, each once."""
    advise = "give objects, such as [Model(name='x')]; records as dicts go to db.bulk_create"
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        problem = f"bulk_insert takes a list of objects of models, not {shown(given)}."
        raise ParameterError(problem=problem, advise=advise)
    objects = list({id(item): item for item in given}.values())
    for item in objects:
        if isinstance(item, type) or sa.inspect(type(item), raiseerr=False) is None:
            problem = f"bulk_insert takes objects of models, and {shown(item)} is none."
            raise ParameterError(problem=problem, advise=advise)
    return objects


def _only_owner(objects: Iterable[Any]) -> Any:
    """Return the tenant that objects name; None: they name none."""
    owners = {getattr(item, "tenant_id", None) for item in objects} - {None}
    if len(owners) > 1:
        names = ", ".join(sorted(map(repr, owners))[:3])
        raise ParameterError(
            problem=f"bulk_insert is for one tenant, and the objects are of {names}.",
            advise="call it once for each tenant",
        )
    return next(iter(owners), None)


def _children_first(specs: Iterable[ModelSpec]) -> list[ModelSpec]:
    """Order models so that each comes before those to which its foreign keys lead.

    Within a circle of them, the order is any.
    """
    by_table = {spec.table: spec for spec in specs}
    sort: Callable[..., Any] = sa.schema.sort_tables_and_constraints
    ordered = sort(by_table)
    return [by_table[table] for table, _ in reversed(ordered) if table is not None]


def _days_ago(days: Any) -> dt.datetime:
    known = isinstance(days, int | float) and not isinstance(days, bool)
    if known and days >= 0:
        with suppress(OverflowError):
            return utc_now() - dt.timedelta(days=days)
    raise ParameterError(
        problem=f"days must be from 0 to the first of all dates, not {shown(days)}."
    )


async def _owned(query: Any, owner: Any) -> AsyncIterator[Any]:
    """Yield a query's records as their tenant, which a generator's caller may not be."""
    records = query.iterate().__aiter__()
    while True:
        with Setting(tenant, owner):
            try:
                record = await anext(records)
            except StopAsyncIteration:
                return
        yield record
