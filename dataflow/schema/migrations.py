"""`db.migrations`: what hangs on a DataFlow to change an existing schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dataflow.database.database import Database
from dataflow.errors import SchemaDriftError
from dataflow.models.spec import ModelSpec
from dataflow.portal import sync_call
from dataflow.schema.migrate import apply_migration, plan_migration
from dataflow.schema.plan import MigrationPlan

__all__ = ["AsyncMigrations", "Migrations"]

Specs = Callable[[], Sequence[ModelSpec]]


class AsyncMigrations:
    """Planning and applying as coroutines; see `Migrations`."""

    def __init__(self, database: Database, specs: Specs) -> None:
        """Keep the database and the way to the models."""
        self._database = database
        self._specs = specs

    async def plan(
        self, *, renames: Mapping[str, str] | None = None, drop_tables: Sequence[str] = ()
    ) -> MigrationPlan:
        """Return what would make the database equal to the models; changes nothing.

        Args:
            renames: `{"users.name": "users.full_name"}` or `{"people": "persons"}`: what is
                the same under another name. Nothing is taken for a rename unasked.
            drop_tables: Tables without a model that are to go; others are left alone.

        Raises:
            SchemaDriftError: For a name that the database does not have.
        """
        return await plan_migration(
            self._database, self._specs(), dict(renames or {}), tuple(drop_tables)
        )

    async def apply(
        self,
        *,
        renames: Mapping[str, str] | None = None,
        drop_tables: Sequence[str] = (),
        allow_drop: bool = False,
    ) -> MigrationPlan:
        """Make the database equal to the models, in one transaction, and return what was done.

        One process at a time does so; others wait for it, and then find nothing to do.

        Args:
            renames: As for `plan`.
            drop_tables: As for `plan`.
            allow_drop: Allow changes that lose data: columns and tables dropped, types
                narrowed.

        Raises:
            DataLossError: If something would be lost; nothing is changed.
            DatabaseBusyError: If a table stays locked by others.
        """
        return await apply_migration(
            self._database, self._specs(), dict(renames or {}), tuple(drop_tables),
            allow_drop=allow_drop,
        )  # fmt: skip

    async def check(self) -> None:
        """Compare and do nothing.

        Raises:
            SchemaDriftError: If the database differs from the models, naming how.
        """
        plan = await self.plan()
        if plan:
            lines = "; ".join(map(str, plan.changes))
            raise SchemaDriftError(problem=f"{lines}.", advise="run db.migrations.apply()")


class Migrations:
    """Planning and applying for sync callers.

    `auto_migrate` only adds tables and columns. This does the rest: types, constraints,
    indexes, renames and drops.
    """

    def __init__(self, aio: AsyncMigrations) -> None:
        """Keep the coroutines."""
        self._aio = aio

    def plan(
        self, *, renames: Mapping[str, str] | None = None, drop_tables: Sequence[str] = ()
    ) -> MigrationPlan:
        """Return what would be done; see `AsyncMigrations.plan`."""
        return sync_call(
            "db.migrations.plan", "db.aio.migrations.plan", self._aio.plan,
            renames=renames, drop_tables=drop_tables,
        )  # fmt: skip

    def apply(
        self,
        *,
        renames: Mapping[str, str] | None = None,
        drop_tables: Sequence[str] = (),
        allow_drop: bool = False,
    ) -> MigrationPlan:
        """Do it, and return what was done; see `AsyncMigrations.apply`."""
        return sync_call(
            "db.migrations.apply", "db.aio.migrations.apply", self._aio.apply,
            renames=renames, drop_tables=drop_tables, allow_drop=allow_drop,
        )  # fmt: skip

    def check(self) -> None:
        """Raise if the database differs from the models; see `AsyncMigrations.check`."""
        sync_call("db.migrations.check", "db.aio.migrations.check", self._aio.check)
