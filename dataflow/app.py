"""`DataFlow`: wires models, database, nodes and verbs together."""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Self, TypeVar, cast, dataclass_transform, overload

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import registry as MappingRegistry  # noqa: N812 - a class in all but spelling
from sqlalchemy.orm.clsregistry import _remove_class

from dataflow.config import DataFlowConfig
from dataflow.context import ALL_TENANTS, Setting, tenant
from dataflow.database.block import TransactionBlock
from dataflow.database.database import Database
from dataflow.database.health import Health, check_health
from dataflow.errors import (
    ConfigurationError,
    DuplicateModelError,
    ParameterError,
    UnknownModelError,
)
from dataflow.models.declare import declare_model
from dataflow.models.describe import describe_model
from dataflow.models.fields import Field, Relationship
from dataflow.models.hints import hints_of
from dataflow.models.naming import NAMING, class_name
from dataflow.models.reflect import model_for_table
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import keep_within_tenant
from dataflow.nodes.aggregate import aggregate_node
from dataflow.nodes.function import NodeDecorator
from dataflow.nodes.model_nodes import nodes_for_model
from dataflow.nodes.node import Node
from dataflow.nodes.registry import Registry
from dataflow.portal import portal, sync_call
from dataflow.query.builder import QueryBuilder
from dataflow.records.bulk import Bulk
from dataflow.records.store import Store
from dataflow.records.verbs import AsyncVerbs, Verbs
from dataflow.schema.create import check_schema, ensure_schema, reflect_tables
from dataflow.schema.migrations import AsyncMigrations, Migrations
from dataflow.schema.references import check_foreign_keys

__all__ = ["DataFlow"]

T = TypeVar("T", bound=type)


class AsyncFace(AsyncVerbs):
    """What hangs on `db.aio`: the verbs and the rest of `db` as coroutines."""

    def __init__(
        self,
        store_of: Callable[[Any], Store],
        database: Database,
        prepare_schema: Callable[[], Awaitable[None]],
        migrations: AsyncMigrations,
    ) -> None:
        """Keep the parts."""
        super().__init__(store_of, database)
        self._prepare_schema = prepare_schema
        self.migrations = migrations

    async def create_tables(self) -> None:
        """Create missing tables and columns now instead of at first use."""
        await self._prepare_schema()

    async def health(self) -> Health:
        """Return whether the database answers, how fast, and how busy the pool is."""
        return await check_health(self._database)


class DataFlow(Verbs):
    """Models, their tables and nodes, on one database.

    Args:
        source: A database URL, a `DataFlowConfig`, or a dict of settings; None: the
            environment, else an in-memory SQLite database.
        config: The same as a `DataFlowConfig` by name.
        **settings: Fields of `DataFlowConfig`; they win over the others.

    Raises:
        ConfigurationError: For unknown settings or a URL that cannot be read.
    """

    def __init__(
        self,
        source: str | DataFlowConfig | Mapping[str, Any] | None = None,
        *,
        config: DataFlowConfig | None = None,
        **settings: Any,
    ) -> None:
        """Read the settings; connects to nothing."""
        self.config = _config_from(source, config, settings)
        self.config.apply_log_level()
        self.database = Database(self.config)
        self.nodes = Registry(repr(self.database), self.database)
        self.node = NodeDecorator(self.nodes)
        self._mapping = MappingRegistry(metadata=MetaData(naming_convention=NAMING))
        self._stores: dict[str, Store] = {}
        self._pending: dict[str, ModelSpec] = {}
        self._pending_lock = threading.Lock()
        me: weakref.ref[DataFlow] = weakref.ref(self)
        aggregate = aggregate_node(lambda name: _store_of(me, name), self.database)
        self.nodes.add(aggregate, "dataflow")
        self.database.before_transaction = self._prepare_schema
        migrations = AsyncMigrations(self.database, self._specs)
        self.migrations = Migrations(migrations)
        super().__init__(AsyncFace(self._store_of, self.database, self._prepare_schema, migrations))
        self.aio: AsyncFace

    def __repr__(self) -> str:
        """Return the masked URL and the number of models."""
        return f"DataFlow({str(self.database.address)!r}, {len(self._stores)} models)"

    @property
    def metadata(self) -> MetaData:
        """The SQLAlchemy metadata with the tables of plain models."""
        return self._mapping.metadata

    # ----------------------------------------------------------------- models

    @overload
    @dataclass_transform(kw_only_default=True, field_specifiers=(Field, Relationship))
    def model(self, model: T) -> T: ...

    @overload
    def model(self, **options: Any) -> Callable[[T], T]: ...

    def model(self, model: Any = None, **options: Any) -> Any:
        """Turn an annotated class into a table and nine nodes; returns the same class.

        Args:
            model: The class, when used without parentheses.
            **options: `timestamps`, `soft_delete`, `versioned`, `append_only`,
                `multi_tenant`, `indexes`, `unique_together`, `table`; they win over
                `__dataflow__`.

        Raises:
            AnnotationError: For a field that no column can hold.
            DuplicateModelError: If name or table is taken.
        """
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
        if model is None:
            return lambda inner: self._declare(inner, options, frame)
        return self._declare(model, options, frame)

    def _declare(self, model: Any, options: Mapping[str, Any], frame: Any) -> Any:
        hints = hints_of(model, frame)
        previous = self._stores.get(model.__name__)
        if previous is not None:
            self._replace(previous.spec, hints.location)
        if self.config.multi_tenant and "multi_tenant" not in vars(model).get("__dataflow__", {}):
            options = {"multi_tenant": True, **options}
        try:
            spec = declare_model(
                model, self._mapping, self._class_of, options, hints, self._check_table
            )
        except BaseException:
            if previous is not None:
                self._restore(previous)
            raise
        self._register(spec)
        self._keep_within_tenants()
        if "query_builder" not in spec.fields:
            me: weakref.ref[DataFlow] = weakref.ref(self)
            model.query_builder = classmethod(partial(_query_builder, me))
        return model

    def _keep_within_tenants(self) -> None:
        tables = self._tables()
        shared = [s.spec.table.fullname for s in self._stores.values() if s.spec.tenant]
        keep_within_tenant(tables, shared)

    def _tables(self) -> dict[str, Table]:
        tables = {store.spec.table.fullname: store.spec.table for store in self._stores.values()}
        return tables | dict(self._mapping.metadata.tables)

    def _restore(self, store: Store) -> None:
        """Bring a model back whose replacement turned out to be wrong."""
        table = store.spec.table
        self._mapping.metadata._add_table(table.name, table.schema, table)  # noqa: SLF001 - the way back from remove()
        self._stores[store.spec.name] = store
        for node_type in nodes_for_model(store, Bulk(store)):
            self.nodes.add(node_type, store.spec.location)

    def _check_table(self, name: str, model: str, location: str) -> None:
        for store in self._stores.values():
            if str(store.spec.table.fullname).casefold() == name.casefold():
                raise DuplicateModelError(
                    name=model, table=name, first=store.spec.location, second=location
                )

    def _replace(self, old: ModelSpec, location: str) -> None:
        """Make way for the same class from a notebook cell or module run again."""
        if old.location != location and not _is_interactive(location):
            raise DuplicateModelError(
                name=old.name, table=None, first=old.location, second=location
            )
        self._mapping.metadata.remove(old.table)
        # Links are found through this object; SQLAlchemy would warn of a second class.
        _remove_class(old.name, old.model, self._mapping._class_registry)  # noqa: SLF001 - no public call
        del self._stores[old.name]
        for node_type in list(self.nodes):
            if getattr(node_type, "spec", None) is old:
                self.nodes.remove(node_type.node_type)

    def _register(self, spec: ModelSpec) -> None:
        me: weakref.ref[DataFlow] = weakref.ref(self)
        store = Store(self.database, spec, lambda name: _store_of(me, name), self._prepare_schema)
        for node_type in nodes_for_model(store, Bulk(store)):
            self.nodes.add(node_type, spec.location)
        self._stores[spec.name] = store
        with self._pending_lock:
            self._pending[spec.name] = spec

    def _specs(self) -> list[ModelSpec]:
        return [store.spec for store in self._stores.values()]

    def _class_of(self, name: str) -> type:
        return self._store_of(name).spec.model

    def _store_of(self, model: Any) -> Store:
        """Return the store for a class, class name or table name."""
        spec = getattr(model, "__dataflow__", None)
        if isinstance(spec, ModelSpec):
            model = spec.name
        store = self._stores.get(model) if isinstance(model, str) else None
        if store is not None and (spec is None or store.spec is spec):
            return store
        for found in self._stores.values():
            if found.spec.table.name == model:
                return found
        raise UnknownModelError(
            name=str(getattr(model, "__name__", model)), known=tuple(self._stores)
        )

    def reflect(self, *tables: str) -> list[type]:
        """Make models of tables that exist, and return their classes.

        Raises:
            SchemaDriftError: If a table does not exist.
        """
        for name in tables:
            self._check_table(name, class_name(name), f"reflect({name!r})")
        portal.call(reflect_tables(self.database, self._mapping.metadata, tables))
        models = []
        for name in tables:
            spec = model_for_table(self._mapping.metadata.tables[name], self._mapping)
            self._register(spec)
            models.append(spec.model)
        return models

    # ---------------------------------------------------------------- context

    def tenant(self, tenant_id: Any) -> Setting[Any]:
        """Return a block, `with` or `async with`, for the records of one tenant.

        Everything inside, also in tasks and workflows that start there, reads and
        writes that tenant's records of models with the option `multi_tenant`.

        Raises:
            ParameterError: For None or an empty text, which name no tenant.
        """
        if tenant_id is None or tenant_id == "":
            raise ParameterError(problem=f"{tenant_id!r} names no tenant.")
        return Setting(tenant, tenant_id)

    def all_tenants(self) -> Setting[Any]:
        """Return a block in which reads see the records of all tenants, and writes fail."""
        return Setting(tenant, ALL_TENANTS)

    # ------------------------------------------------------------- inspection

    def list_models(self) -> list[str]:
        """Return the names of all models, in order of declaration."""
        return list(self._stores)

    def get_model_info(self, model: Any) -> dict[str, Any]:
        """Return `{"name", "table", "key", "fields", "relationships", "options", "location"}`.

        `fields` is `{name: {"type", "column", "nullable", "required", "primary_key",
        "unique", "generated", "default", "foreign_key", "description"}}`.

        Raises:
            UnknownModelError: Naming the nearest model.
        """
        return describe_model(self._store_of(model).spec)

    def get_generated_nodes(self, model: Any) -> dict[str, type[Node]]:
        """Return `{node type: class}` of a model's nine nodes."""
        spec = self._store_of(model).spec
        return {n.node_type: n for n in self.nodes if getattr(n, "spec", None) is spec}

    # ----------------------------------------------------------------- schema

    async def _prepare_schema(self) -> None:
        """Create or check the tables of models declared since the last time."""
        pending = dict(self._pending)
        if not pending:
            return
        lane = await self.database.lane()
        async with lane.schema_lock:
            specs = [s for name, s in pending.items() if self._pending.get(name) is s]
            if not specs:
                return
            self._check_foreign_keys(specs)
            if self.config.existing_schema_mode:
                await check_schema(self.database, specs)
            elif self.config.auto_migrate:
                await ensure_schema(self.database, specs)
            with self._pending_lock:
                for spec in specs:
                    if self._pending.get(spec.name) is spec:
                        del self._pending[spec.name]

    def _check_foreign_keys(self, specs: list[ModelSpec]) -> None:
        tables = self._tables()
        for spec in specs:
            check_foreign_keys(spec, tables)

    def create_tables(self) -> None:
        """Create missing tables and columns now instead of at first use."""
        sync_call("db.create_tables", "db.aio.create_tables", self.aio.create_tables)

    # -------------------------------------------------------------- lifecycle

    def transaction(self, **options: Any) -> TransactionBlock:
        """Return a block for `with` or `async with`: one connection, one commit.

        Args:
            **options: `isolation` (`"read_committed"`, `"repeatable_read"`,
                `"serializable"`), `read_only`, `savepoint` (allow a nested block to
                fail alone).
        """
        return self.database.transaction(**options)

    def health(self) -> Health:
        """Return whether the database answers, how fast, and how busy the pool is."""
        return sync_call("db.health", "db.aio.health", self.aio.health)

    def close(self) -> None:
        """Close all connections; the object cannot be used afterwards.

        Inside a running event loop, prefer `await db.aclose()`: this call cannot wait
        for connections of that loop, which are closed when the loop goes on.
        """
        self.nodes.close()
        portal.call(self.database.close(asyncio._get_running_loop()))  # noqa: SLF001 - None where no loop runs

    async def aclose(self) -> None:
        """Close all connections from a coroutine."""
        self.nodes.close()
        await self.database.close()

    def __enter__(self) -> Self:
        """Return the object; leaving the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return the object; leaving the block closes it."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close."""
        await self.aclose()


def _store_of(reference: weakref.ref[DataFlow], name: str) -> Store:
    found = reference()
    if found is None:
        raise UnknownModelError(name=name, known=())
    return found._store_of(name)  # noqa: SLF001 - a method of DataFlow, without keeping it alive


def _query_builder(reference: weakref.ref[DataFlow], model: type) -> QueryBuilder:
    _store_of(reference, model.__name__)
    return cast("DataFlow", reference()).aio.query_builder(model)


def _is_interactive(location: str) -> bool:
    return location.startswith("<") or "ipykernel" in location


def _config_from(
    source: str | DataFlowConfig | Mapping[str, Any] | None,
    config: DataFlowConfig | None,
    settings: Mapping[str, Any],
) -> DataFlowConfig:
    if source is not None and config is not None:
        raise ConfigurationError(problem="give the settings once: as first argument or as config.")
    given: dict[str, Any] = {}
    base = source if config is None else config
    if isinstance(base, DataFlowConfig):
        if not settings:
            return base
        given = base.model_dump(exclude_unset=True)
    elif isinstance(base, str):
        given = {"database_url": base}
    elif isinstance(base, Mapping):
        given = dict(base)
    elif base is not None:
        raise ConfigurationError(problem=f"DataFlow takes a URL, a config or a dict, not {base!r}.")
    return DataFlowConfig(**{**given, **settings})
