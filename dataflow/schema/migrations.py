"""`db.migrations`: what hangs on a DataFlow to change an existing schema."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from dataflow.database.database import Database
from dataflow.errors import MigrationError, ParameterError, SchemaDriftError, shown
from dataflow.models.spec import ModelSpec
from dataflow.portal import sync_call
from dataflow.schema.migrate import apply_migration, plan_migration
from dataflow.schema.plan import MigrationPlan, Revision

__all__ = ["AsyncMigrations", "Migrations"]

Specs = Callable[[], Sequence[ModelSpec]]


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ParameterError(problem=f"{name} must be a text, not {shown(value)}.")


def _renames(renames: Any) -> dict[str, str]:
    """Return renames as a dict of texts; None: none."""
    found = {} if renames is None else renames
    if isinstance(found, Mapping) and all(
        isinstance(name, str) and name for pair in found.items() for name in pair
    ):
        return dict(found)
    raise ParameterError(
        problem=f"renames must be a dict from old names to new ones, not {shown(renames)}.",
        advise='write {"users.name": "users.full_name"} or {"people": "persons"}',
    )


def _tables(names: Any) -> tuple[str, ...]:
    """Return names of tables; a single text is a list of one."""
    found = [names] if isinstance(names, str) else names
    if isinstance(found, Sequence | AbstractSet) and all(isinstance(name, str) for name in found):
        return tuple(found)
    raise ParameterError(problem=f"drop_tables must be a list of names, not {shown(names)}.")


class AsyncMigrations:
    """Planning, applying and revision files as coroutines; see `Migrations`."""

    def __init__(self, database: Database, specs: Specs) -> None:
        """Keep the database and the way to the models."""
        self._database = database
        self.specs = specs

    @property
    def _revisions(self) -> Any:
        # By name, so that only a program with revision files loads Alembic.
        files = importlib.import_module("dataflow.schema.files")
        kept = files.RevisionFiles(Path(self._database.config.migrations_path))
        revisions = importlib.import_module("dataflow.schema.revisions")
        return revisions.Revisions(self._database, tuple(self.specs()), kept)

    # ------------------------------------------------------------- without files

    async def plan(
        self, *, renames: Mapping[str, str] | None = None, drop_tables: Sequence[str] = ()
    ) -> MigrationPlan:
        """Return what would make the database equal to the models; changes nothing.

        Args:
            renames: `{"users.name": "users.full_name"}` or `{"people": "persons"}`: what is
                the same under another name. Nothing is taken for a rename unasked.
            drop_tables: Tables without a model that are to go; others are left alone.

        Raises:
            ParameterError: If renames or tables are given in another shape.
            SchemaDriftError: For a name that the database does not have, or a new one that
                it has already.
        """
        return await plan_migration(
            self._database, self.specs(), _renames(renames), _tables(drop_tables)
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
            self._database, self.specs(), _renames(renames), _tables(drop_tables),
            allow_drop=allow_drop,
        )  # fmt: skip

    async def check(self) -> None:
        """Compare and do nothing.

        Raises:
            SchemaDriftError: If a revision file is not carried out yet, or the database
                differs from the models, naming how.
        """
        files = self._has_files()
        pending = await self._revisions.pending() if files else ()
        if pending:
            names = "; ".join(map(str, pending))
            raise SchemaDriftError(
                problem=f"not carried out yet: {names}.", advise="run db.migrations.upgrade()"
            )
        plan = await self.plan()
        if plan:
            lines = "; ".join(map(str, plan.changes))
            call = "revision(message)" if files else "apply()"
            raise SchemaDriftError(problem=f"{lines}.", advise=f"run db.migrations.{call}")

    def _has_files(self) -> bool:
        return any(Path(self._database.config.migrations_path, "versions").glob("*.py"))

    # ------------------------------------------------------------ revision files

    async def revision(
        self,
        message: str,
        *,
        autogenerate: bool = True,
        renames: Mapping[str, str] | None = None,
        drop_tables: Sequence[str] = (),
        allow_drop: bool = False,
    ) -> Revision:
        """Write a revision file; the database stays as it is.

        The file is an ordinary one of Alembic, in `versions` of the setting
        `migrations_path`, with what makes this database equal to the models, and the way
        back. The first file of a database that equals them already makes all tables.

        Args:
            message: What the file is about; part of its name.
            autogenerate: False: leave `upgrade()` and `downgrade()` empty.
            renames: As for `plan`.
            drop_tables: As for `plan`.
            allow_drop: Allow changes that lose data, here and when the file is carried out.

        Raises:
            DataLossError: If something would be lost; no file is written.
            MigrationError: If there is nothing to write, the database is not up to date, or
                the files end at several revisions.
        """
        revisions = importlib.import_module("dataflow.schema.revisions")
        draft = revisions.Draft(
            _text("message", message), autogenerate, _renames(renames), _tables(drop_tables),
            allow_drop,
        )  # fmt: skip
        written: Revision = await self._revisions.write(draft)
        return written

    async def upgrade(
        self, target: str = "head", *, allow_drop: bool = False
    ) -> Sequence[Revision]:
        """Carry out revision files, in one transaction, and return which.

        One process at a time does so; others wait for it, and then find nothing to do.

        Args:
            target: A revision or the beginning of one, `"head"`, `"heads"`, `"+1"`.
            allow_drop: Allow losses in files that do not say `allow_drop = True` themselves.

        Raises:
            DataLossError: If a file drops a table or column, or narrows a type, and nobody
                said that it may; nothing is changed.
            MigrationError: If a file cannot be loaded or fails, or a revision is unknown.
            DatabaseBusyError: If a table stays locked by others.
        """
        done: list[Revision] = await self._revisions.upgrade(
            _text("target", target), allow_drop=allow_drop
        )
        return done

    async def downgrade(self, target: str, *, allow_drop: bool = False) -> Sequence[Revision]:
        """Undo revision files, in one transaction, and return which.

        Args:
            target: A revision or the beginning of one, `"-1"`, `"base"`.
            allow_drop: Allow that what the files added is dropped with its data.

        Raises:
            DataLossError: As for `upgrade`.
            MigrationError: As for `upgrade`.
        """
        done: list[Revision] = await self._revisions.downgrade(
            _text("target", target), allow_drop=allow_drop
        )
        return done

    async def stamp(self, target: str = "head") -> None:
        """Note that the database is at a revision, without carrying anything out.

        For a database that had its tables before there were revision files.

        Raises:
            MigrationError: If the revision is unknown.
        """
        await self._revisions.stamp(_text("target", target))

    async def current(self) -> str | None:
        """Return the revision at which the database is; None before the first.

        Raises:
            MigrationError: If it is at several, on branches.
        """
        found = await self._revisions.current()
        if len(found) > 1:
            raise MigrationError(problem=f"the database is at {len(found)} revisions: {found}.")
        return found[0] if found else None

    async def history(self) -> Sequence[Revision]:
        """Return all revisions, the newest first.

        Raises:
            MigrationError: If there are no files, or one cannot be loaded.
        """
        found: list[Revision] = await self._revisions.history()
        return found


class Migrations:
    """Planning, applying and revision files for sync callers.

    `auto_migrate` only adds tables and columns. This does the rest: types, constraints,
    indexes, renames and drops; at once, or by files that Alembic reads too.
    """

    def __init__(self, aio: AsyncMigrations) -> None:
        """Keep the coroutines."""
        self._aio = aio

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        return sync_call(
            f"db.migrations.{name}", f"db.aio.migrations.{name}", getattr(self._aio, name),
            *arguments, **options,
        )  # fmt: skip

    def plan(
        self, *, renames: Mapping[str, str] | None = None, drop_tables: Sequence[str] = ()
    ) -> MigrationPlan:
        """Return what would be done; see `AsyncMigrations.plan`."""
        plan: MigrationPlan = self._call("plan", renames=renames, drop_tables=drop_tables)
        return plan

    def apply(
        self,
        *,
        renames: Mapping[str, str] | None = None,
        drop_tables: Sequence[str] = (),
        allow_drop: bool = False,
    ) -> MigrationPlan:
        """Do it, and return what was done; see `AsyncMigrations.apply`."""
        plan: MigrationPlan = self._call(
            "apply", renames=renames, drop_tables=drop_tables, allow_drop=allow_drop
        )
        return plan

    def check(self) -> None:
        """Raise if the database is not as the models say; see `AsyncMigrations.check`."""
        self._call("check")

    def revision(
        self,
        message: str,
        *,
        autogenerate: bool = True,
        renames: Mapping[str, str] | None = None,
        drop_tables: Sequence[str] = (),
        allow_drop: bool = False,
    ) -> Revision:
        """Write a revision file; see `AsyncMigrations.revision`."""
        written: Revision = self._call(
            "revision", message, autogenerate=autogenerate, renames=renames,
            drop_tables=drop_tables, allow_drop=allow_drop,
        )  # fmt: skip
        return written

    def upgrade(self, target: str = "head", *, allow_drop: bool = False) -> Sequence[Revision]:
        """Carry out revision files; see `AsyncMigrations.upgrade`."""
        done: Sequence[Revision] = self._call("upgrade", target, allow_drop=allow_drop)
        return done

    def downgrade(self, target: str, *, allow_drop: bool = False) -> Sequence[Revision]:
        """Undo revision files; see `AsyncMigrations.downgrade`."""
        done: Sequence[Revision] = self._call("downgrade", target, allow_drop=allow_drop)
        return done

    def stamp(self, target: str = "head") -> None:
        """Note that the database is at a revision; see `AsyncMigrations.stamp`."""
        self._call("stamp", target)

    def current(self) -> str | None:
        """Return the revision at which the database is; see `AsyncMigrations.current`."""
        found: str | None = self._call("current")
        return found

    def history(self) -> Sequence[Revision]:
        """Return all revisions, the newest first; see `AsyncMigrations.history`."""
        found: Sequence[Revision] = self._call("history")
        return found

    def run_env(self, context: Any) -> None:
        """Do all that an `env.py` does: `db.migrations.run_env(context)`.

        `alembic upgrade`, `revision --autogenerate` and the rest then use this database, its
        lock and the models.

        Args:
            context: `alembic.context`.
        """
        self._aio._revisions.run_env(context)  # noqa: SLF001 - the other half of this class
