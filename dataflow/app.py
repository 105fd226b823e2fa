"""`DataFlow`: wires models, database, nodes and verbs together."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any, Self, TypeVar, Unpack, dataclass_transform, overload

from sqlalchemy import MetaData
from sqlalchemy.orm import Session as SyncSession

from dataflow.catalogue import Catalogue
from dataflow.config import DataFlowConfig, config_from
from dataflow.context import ALL_TENANTS, Acting, Setting, tenant
from dataflow.database.block import TransactionBlock
from dataflow.database.database import Database
from dataflow.database.deadline import DeadlineBlock
from dataflow.database.health import Health, check_health
from dataflow.database.rerun import TransactionOptions, rerun, rerun_blocking
from dataflow.errors import (
    UnknownModelError,
)
from dataflow.models.declare import spec_for
from dataflow.models.describe import describe_model
from dataflow.models.fields import Field, Relationship
from dataflow.models.plaintext import checked_name
from dataflow.models.spec import ModelSpec
from dataflow.models.tenancy import checked_tenant
from dataflow.nodes.aggregate import aggregate_node
from dataflow.nodes.function import NodeDecorator
from dataflow.nodes.node import Node
from dataflow.nodes.registry import Registry
from dataflow.portal import portal, sync_call
from dataflow.query.builder import QueryBuilder
from dataflow.records.audit import AsyncAudit, Audit
from dataflow.records.sessions import SessionBlock, Sessions
from dataflow.records.verbs import AsyncVerbs, Verbs
from dataflow.schema.migrations import AsyncMigrations, Migrations

__all__ = ["DataFlow"]

T = TypeVar("T", bound=type)
R = TypeVar("R")


class AsyncFace(AsyncVerbs):
    """What hangs on `db.aio`: the verbs and the rest of `db` as coroutines."""

    def __init__(
        self,
        database: Database,
        models: Catalogue,
        migrations: AsyncMigrations,
        sessions: Sessions,
    ) -> None:
        """Keep the parts."""
        super().__init__(models.store_of, database)
        self.database = database
        self._models = models
        self.migrations = migrations
        self._sessions = sessions
        self.audit = AsyncAudit(database, models.specs)

    async def create_tables(self) -> None:
        """Create missing tables and columns now instead of at first use."""
        await self._models.prepare()

    def session(
        self, tenant_id: Any = None, *, include_deleted: bool = False, read_only: bool = False
    ) -> SessionBlock:
        """Return a block, `async with`, around a SQLAlchemy `AsyncSession`; commit yourself.

        Args:
            tenant_id: Whose records it sees; None: the tenant of the block around it.
            include_deleted: Whether it sees records of soft-delete models that are deleted.
            read_only: Refuse writes; on SQLite, do not wait for those who write.
        """
        return self._sessions.block(tenant_id, include_deleted=include_deleted, read_only=read_only)

    async def run_transaction(
        self,
        work: Callable[..., Awaitable[R]],
        *args: Any,
        **options: Unpack[TransactionOptions],
    ) -> R:
        """Await `work(*args)` in a transaction; see `DataFlow.run_transaction`."""
        return await rerun(self._database, work, *args, **options)

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
        self.config = config_from(source, config, settings)
        self.config.apply_log_level()
        self.database = Database(self.config)
        self.nodes = Registry(repr(self.database), self.database)
        self.node = NodeDecorator(self.nodes)
        self._catalogue = models = Catalogue(self.config, self.database, self.nodes)
        self.nodes.add(aggregate_node(models.finder, self.database), "dataflow")
        self.database.before_transaction = models.prepare
        migrations = AsyncMigrations(self.database, models.specs)
        self.migrations = Migrations(migrations)
        self._sessions = Sessions(self.database, models.scopes, models.prepare)
        super().__init__(AsyncFace(self.database, models, migrations, self._sessions))
        self.aio: AsyncFace
        self.audit = Audit(self.aio.audit)

    def __repr__(self) -> str:
        """Return the masked URL and the number of models."""
        return f"DataFlow({str(self.database.address)!r}, {len(self._catalogue.stores)} models)"

    @property
    def metadata(self) -> MetaData:
        """The SQLAlchemy metadata with the tables of plain models."""
        return self._catalogue.mapping.metadata

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
                `multi_tenant`, `audit`, `indexes`, `unique_together`, `table`; they win over
                `__dataflow__`.

        Raises:
            AnnotationError: For a field that no column can hold.
            DuplicateModelError: If name or table is taken.
        """
        frame = sys._getframe(1)  # noqa: SLF001 - the documented way to a caller's frame
        if model is None:
            return lambda inner: self._declare(inner, options, frame)
        return self._declare(model, options, frame)

    def _declare(self, model: T, options: Mapping[str, Any], frame: FrameType) -> T:
        builder = partial(_query_builder, weakref.ref(self))
        self._catalogue.declare(model, options, frame, builder)
        return model

    def adopt(self, *models: type) -> None:
        """Keep the records of models that are declared elsewhere in this database, too.

        Args:
            *models: Models of another `DataFlow`, or classes mapped by SQLAlchemy.

        Raises:
            DuplicateModelError: If a name or table is taken.
        """
        for model in models:
            self._catalogue.adopt(spec_for(model))

    def reflect(self, *tables: str) -> list[type]:
        """Make models of tables that exist, and return their classes.

        Raises:
            SchemaDriftError: If a table does not exist.
        """
        return portal.call(self._catalogue.reflect(tables))

    # ---------------------------------------------------------------- context

    def tenant(self, tenant_id: Any) -> Setting[Any]:
        """Return a block, `with` or `async with`, for the records of one tenant.

        Everything inside, also in tasks and workflows that start there, reads and
        writes that tenant's records of models with the option `multi_tenant`.

        Raises:
            ParameterError: For None or an empty text, which name no tenant.
        """
        return Setting(tenant, checked_tenant(tenant_id))

    def all_tenants(self) -> Setting[Any]:
        """Return a block in which reads see the records of all tenants, and writes fail."""
        return Setting(tenant, ALL_TENANTS)

    def session(
        self, tenant_id: Any = None, *, include_deleted: bool = False, read_only: bool = False
    ) -> SyncSession:
        """Return a SQLAlchemy `Session` for threads; use it with `with`, and commit yourself.

        Args:
            tenant_id: Whose records it sees; None: the tenant of the block around it.
            include_deleted: Whether it sees records of soft-delete models that are deleted.
            read_only: Refuse writes; on SQLite, do not wait for those who write.
        """
        portal.call(self._catalogue.prepare())
        block = self._sessions.block(
            tenant_id, include_deleted=include_deleted, read_only=read_only
        )
        return block.open_sync()

    # ------------------------------------------------------------- inspection

    def list_models(self) -> list[str]:
        """Return the names of all models, in order of declaration."""
        return list(self._catalogue.stores)

    def specs(self) -> list[ModelSpec]:
        """Return the specifications of all models, in order of declaration."""
        return self._catalogue.specs()

    def get_model_info(self, model: Any) -> dict[str, Any]:
        """Return `{"name", "table", "key", "fields", "relationships", "options", "location"}`.

        `fields` is `{name: {"type", "column", "nullable", "required", "primary_key",
        "unique", "generated", "default", "foreign_key", "description"}}`.

        Raises:
            UnknownModelError: Naming the nearest model.
        """
        return describe_model(self._catalogue.store_of(model).spec)

    def get_generated_nodes(self, model: Any) -> dict[str, type[Node]]:
        """Return `{node type: class}` of a model's nine nodes."""
        spec = self._catalogue.store_of(model).spec
        return {n.node_type: n for n in self.nodes if getattr(n, "spec", None) is spec}

    # ----------------------------------------------------------------- schema

    def create_tables(self) -> None:
        """Create missing tables and columns now instead of at first use."""
        sync_call("db.create_tables", "db.aio.create_tables", self.aio.create_tables)

    def enable_audit_log(self, *models: Any) -> None:
        """Write every change of models into the audit log, from the next call on.

        Args:
            *models: Classes or names; none: all models, later ones too, except those
                with the option `audit=False`.
        """
        self._catalogue.audit(models)

    def acting(self, actor: Any, correlation_id: Any = None) -> Acting:
        """Return a block, `with` or `async with`: who makes the changes inside.

        Args:
            actor: For the audit log: a user's id, the name of a service.
            correlation_id: What ties the changes together; None: the one around.

        Raises:
            ParameterError: If one is longer than 255 characters, or has U+0000 or lone
                surrogates.
        """
        for name, value in (("actor", actor), ("correlation_id", correlation_id)):
            checked_name(name, value)
        return Acting(actor, correlation_id)

    # -------------------------------------------------------------- lifecycle

    def transaction(self, **options: Any) -> TransactionBlock:
        """Return a block for `with` or `async with`: one connection, one commit.

        Args:
            **options: `isolation` (`"read_committed"`, `"repeatable_read"`,
                `"serializable"`), `read_only`, `savepoint` (allow a nested block to
                fail alone). A nested block has those of the outermost: asking it for
                another isolation, or to be read-only, is a `ParameterError`.
        """
        return self.database.transaction(**options)

    def run_transaction(
        self, work: Callable[..., R], *args: Any, **options: Unpack[TransactionOptions]
    ) -> R:
        """Call `work(*args)` in a transaction, and again when that failed in passing.

        Deadlocks, serialization failures and lost connections end a transaction without
        a trace, so that it may run again, up to `retry_attempts` times; `work` should do
        nothing that cannot be undone elsewhere.

        Args:
            work: A function that calls methods of `db`; a coroutine function goes to
                `db.aio.run_transaction`.
            *args: Its arguments.
            **options: `isolation`, `read_only`, as in `transaction`.

        Returns:
            What `work` returns.
        """
        return rerun_blocking(self.database, work, *args, **options)

    def deadline(self, seconds: float) -> DeadlineBlock:
        """Return a block, `with` or `async with`, whose calls end within that time.

        Waiting for a connection, connecting, statements and commits count; what is
        then left of the work is stopped in the background.

        Raises:
            DeadlineExceededError: From the call that is running, and from all later ones.
        """
        return DeadlineBlock(seconds)

    def health(self) -> Health:
        """Return whether the database answers, how fast, and how busy the pool is."""
        return sync_call("db.health", "db.aio.health", self.aio.health)

    def close(self) -> None:
        """Close all connections; the object cannot be used afterwards.

        Inside a running event loop, prefer `await db.aclose()`: this call cannot wait
        for connections of that loop, which are closed when the loop goes on.
        """
        self.nodes.close()
        self._sessions.close()
        portal.call(self.database.close(asyncio._get_running_loop()))  # noqa: SLF001 - None where no loop runs

    async def aclose(self) -> None:
        """Close all connections from a coroutine."""
        self.nodes.close()
        self._sessions.close()
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


def _query_builder(reference: weakref.ref[DataFlow], model: type) -> QueryBuilder:
    found = reference()
    if found is None:
        raise UnknownModelError(name=model.__name__, known=())
    return found.aio.query_builder(model)
