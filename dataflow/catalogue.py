"""The models of one `DataFlow`: their stores, their nodes, and the tables that wait."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import registry as MappingRegistry  # noqa: N812 - a class in all but spelling
from sqlalchemy.orm.clsregistry import _remove_class

from dataflow.config import DataFlowConfig
from dataflow.database.database import Database
from dataflow.errors import DuplicateModelError, UnknownModelError
from dataflow.models.declare import declare_model, refuse_shared_records
from dataflow.models.hints import hints_of
from dataflow.models.naming import NAMING, class_name
from dataflow.models.reflect import model_for_table
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import keep_within_tenant
from dataflow.nodes.model_nodes import nodes_for_model
from dataflow.nodes.registry import Registry
from dataflow.query.builder import QueryBuilder
from dataflow.records.bulk import Bulk
from dataflow.records.scope import Scope
from dataflow.records.store import Store
from dataflow.schema.create import check_schema, ensure_schema, reflect_tables
from dataflow.schema.references import check_foreign_keys
from dataflow.schema.walls import check_walls

__all__ = ["Catalogue"]


class Catalogue:
    """Declares models and finds them again; prepares their tables at first use."""

    def __init__(self, config: DataFlowConfig, database: Database, nodes: Registry) -> None:
        """Begin without models."""
        self.mapping = MappingRegistry(metadata=MetaData(naming_convention=NAMING))
        self.stores: dict[str, Store] = {}
        self._config = config
        self._database = database
        self._nodes = nodes
        self._scopes: dict[str, Scope] = {}
        self._pending: dict[str, ModelSpec] = {}
        self._pending_lock = threading.Lock()
        me: weakref.ref[Catalogue] = weakref.ref(self)
        self.finder: Callable[[Any], Store] = partial(_store_of, me)
        """Finds a store without keeping the catalogue alive."""

    # ---------------------------------------------------------------- declare

    def declare(
        self,
        model: Any,
        options: Mapping[str, Any],
        frame: FrameType,
        builder: Callable[[type], QueryBuilder],
    ) -> None:
        """Make a class a model, in place of an earlier one of the same name and place."""
        if self._adopt(model):
            return
        hints = hints_of(model, frame)
        previous = self.stores.get(model.__name__)
        if previous is not None:
            self._replace(previous.spec, hints.location)
        if self._config.multi_tenant and "multi_tenant" not in vars(model).get("__dataflow__", {}):
            options = {"multi_tenant": True, **options}
        try:
            spec = declare_model(
                model, self.mapping, self._class_of, options, hints, self._check_table
            )
        except BaseException:
            if previous is not None:
                self._restore(previous)
            raise
        self._register(spec)
        if "query_builder" not in spec.fields:
            model.query_builder = classmethod(builder)

    def _adopt(self, model: Any) -> bool:
        """Take over a class of a declarative base, which may be in several databases."""
        spec = vars(model).get("__dataflow__")
        if not isinstance(spec, ModelSpec) or not hasattr(model, "registry"):
            return False
        self.adopt(spec)
        return True

    def adopt(self, spec: ModelSpec) -> None:
        """Keep the records of a model that another `DataFlow` has declared here, too.

        Raises:
            DuplicateModelError: If its name or its table's is taken.
            OptionError: If it shares its records with a class that it inherits from.
        """
        refuse_shared_records(spec.model)
        known = self.stores.get(spec.name)
        if known is not None and known.spec is not spec:
            raise DuplicateModelError(
                name=spec.name, table=None, first=known.spec.location, second=spec.location
            )
        if known is None:
            self._check_table(spec.table.fullname, spec.name, spec.location)
            self._register(spec)

    def _restore(self, store: Store) -> None:
        """Bring a model back whose replacement turned out to be wrong."""
        table = store.spec.table
        self.mapping.metadata._add_table(table.name, table.schema, table)  # noqa: SLF001 - the way back from remove()
        self._keep(store)
        for node_type in nodes_for_model(store, Bulk(store)):
            self._nodes.add(node_type, store.spec.location)

    def _check_table(self, name: str, model: str, location: str) -> None:
        for store in self.stores.values():
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
        self.mapping.metadata.remove(old.table)
        # Links are found through this object; SQLAlchemy would warn of a second class.
        _remove_class(old.name, old.model, self.mapping._class_registry)  # noqa: SLF001 - no public call
        del self.stores[old.name], self._scopes[old.table.fullname]
        for node_type in list(self._nodes):
            if getattr(node_type, "spec", None) is old:
                self._nodes.remove(node_type.node_type)

    def _register(self, spec: ModelSpec) -> None:
        store = Store(self._database, spec, self.finder, self.prepare)
        for node_type in nodes_for_model(store, Bulk(store)):
            self._nodes.add(node_type, spec.location)
        self._keep(store)
        self._database.driver.audit.admit(spec)
        with self._pending_lock:
            self._pending[spec.name] = spec
        if spec.tenant is not None:  # others may refer to it that were declared before
            shared = [name for name, scope in self._scopes.items() if scope.tenant is not None]
            keep_within_tenant(self.tables(), shared)

    def _keep(self, store: Store) -> None:
        self.stores[store.spec.name] = store
        self._scopes[store.spec.table.fullname] = store.scope

    async def reflect(self, names: Sequence[str]) -> list[type]:
        """Make models of tables that exist; see `DataFlow.reflect`."""
        for name in names:
            self._check_table(name, class_name(name), f"reflect({name!r})")
        metadata, models = self.mapping.metadata, []
        await reflect_tables(self._database, metadata, names)
        for name in names:
            spec = model_for_table(metadata.tables[name], self.mapping)
            self._register(spec)
            models.append(spec.model)
        return models

    # ------------------------------------------------------------------- find

    def tables(self) -> dict[str, Table]:
        """Return every table by its full name."""
        tables = {spec.table.fullname: spec.table for spec in self.specs()}
        return tables | dict(self.mapping.metadata.tables)

    def scopes(self) -> Mapping[str, Scope]:
        """Return the scope of each model by its table's full name; it grows with the models."""
        return self._scopes

    def specs(self) -> list[ModelSpec]:
        """Return all models, in order of declaration."""
        return [store.spec for store in self.stores.values()]

    def _class_of(self, name: str) -> type:
        return self.store_of(name).spec.model

    def store_of(self, model: Any) -> Store:
        """Return the store for a class, class name or table name.

        Raises:
            UnknownModelError: Naming the nearest model.
        """
        spec = getattr(model, "__dataflow__", None)
        if isinstance(spec, ModelSpec):
            model = spec.name
        store = self.stores.get(model) if isinstance(model, str) else None
        if store is not None and (spec is None or store.spec is spec):
            return store
        for found in self.stores.values():
            if found.spec.table.name == model:
                return found
        raise UnknownModelError(
            name=str(getattr(model, "__name__", model)), known=tuple(self.stores)
        )

    def audit(self, models: Sequence[Any]) -> None:
        """Let models be audited, or all; see `DataFlow.enable_audit_log`."""
        chosen = [self.store_of(model) for model in models] or list(self.stores.values())
        self._database.driver.audit.enable([store.spec.name for store in chosen if models])
        for store in chosen:
            store.compiler.forget()
            store.prepared = False
            with self._pending_lock:
                self._pending[store.spec.name] = store.spec

    # ----------------------------------------------------------------- schema

    async def prepare(self) -> None:
        """Create or check the tables of models declared since the last time."""
        pending = dict(self._pending)
        if not pending:
            return
        lane = await self._database.lane()
        async with lane.schema_lock:
            specs = [s for name, s in pending.items() if self._pending.get(name) is s]
            if not specs:
                return
            self._check_foreign_keys(specs)
            if self._config.row_level_security:
                await check_walls(self._database, specs)
            if self._config.existing_schema_mode:
                await check_schema(self._database, specs)
            elif self._config.auto_migrate:
                await ensure_schema(self._database, specs)
            with self._pending_lock:
                for spec in specs:
                    if self._pending.get(spec.name) is spec:
                        del self._pending[spec.name]

    def _check_foreign_keys(self, specs: list[ModelSpec]) -> None:
        tables = self.tables()
        for spec in specs:
            check_foreign_keys(spec, tables)


def _store_of(reference: weakref.ref[Catalogue], model: Any) -> Store:
    found = reference()
    if found is None:
        raise UnknownModelError(name=str(model), known=())
    return found.store_of(model)


def _is_interactive(location: str) -> bool:
    return location.startswith("<") or "ipykernel" in location
