"""Revision files: written from the models, and carried out under the schema lock.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import RevisionContext
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError, rev_id
from sqlalchemy.exc import DBAPIError

from dataflow.database.database import Database
from dataflow.errors import DataFlowError, DataLossError, MigrationError
from dataflow.models.spec import ModelSpec
from dataflow.portal import portal
from dataflow.schema.compare import comparison_options, with_own_implementation
from dataflow.schema.directives import directives
from dataflow.schema.files import (
    RevisionFiles,
    alembic_errors,
    docstring_text,
    known_revision,
    shown,
)
from dataflow.schema.migrate import check_names, check_references, renames_left
from dataflow.schema.plan import Change, Revision
from dataflow.schema.rendering import render_item
from dataflow.schema.statements import rename_statements
from dataflow.schema.work import run_schema_work

__all__ = ["Draft", "Revisions"]

Steps = Callable[[Any, Any], Iterable[Any]]
_AGAIN_S = 0.01
_alembic = threading.Lock()


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """Keep others of this process out: `alembic.op` is one name for all threads."""
    while not _alembic.acquire(blocking=False):  # noqa: ASYNC110 - loops of several threads share it
        await asyncio.sleep(_AGAIN_S)
    try:
        yield
    finally:
        _alembic.release()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new revision file is to hold; see `Migrations.revision`."""

    message: str
    autogenerate: bool
    renames: Mapping[str, str]
    drop_tables: Sequence[str]
    allow_drop: bool


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revision files of one program and the database that they change."""

    database: Database
    specs: Sequence[ModelSpec]
    files: RevisionFiles

    # ------------------------------------------------------------------ looking

    async def current(self) -> tuple[str, ...]:
        """Return the revisions at which the database is."""
        return await run_schema_work(self.database, _heads, write=False)

    async def history(self) -> list[Revision]:
        """Return all revisions, the newest first."""
        directory, current = self.files.open(), await self.current()
        return [self.files.describe(script, current) for script in directory.walk_revisions()]

    async def pending(self) -> list[Revision]:
        """Return the revisions that the database lacks, in the order of their upgrade."""
        current = await self.current()
        directory = self._directory_for(current)
        with alembic_errors():
            steps = directory._upgrade_revs("heads", current)  # type: ignore[arg-type]  # noqa: SLF001 - what `alembic upgrade` calls, with several heads
        return [self.files.describe(step.revision, current) for step in steps]

    def _directory_for(self, current: Sequence[str], message: str = "") -> ScriptDirectory:
        directory = self.files.open(message)
        for name in current:
            known_revision(directory, name)
        return directory

    # ------------------------------------------------------------------ writing

    async def write(self, draft: Draft) -> Revision:
        """Write a revision file and return what it is."""
        message = docstring_text(draft.message)
        self.files.create()
        if not draft.autogenerate:
            with alembic_errors():
                script = self.files.open(draft.message).generate_revision(
                    rev_id(), message, allow_drop=draft.allow_drop
                )
            return self._written(script)
        write = bool(draft.renames)
        async with _alone():
            return await run_schema_work(
                self.database, lambda connection: self._generate(connection, draft, message),
                write=write, prelude=self.database.driver.before_rebuild if write else (),
                keep=False,
            )  # fmt: skip

    def _generate(self, connection: sa.Connection, draft: Draft, message: str) -> Revision:
        directory = self._directory_for(_heads(connection), draft.message)
        self._require_latest(connection, directory)
        draft = replace(draft, renames=renames_left(connection, draft.renames))
        check_names(connection, draft.renames, draft.drop_tables)
        for statement in rename_statements(draft.renames, connection.dialect):
            connection.exec_driver_sql(statement)
        options = self._options(draft)
        generated = self._compared(connection, directory, draft, message, options)
        if _is_empty(generated) and not directory.get_heads():
            # The models have their tables already: the first file is for other databases.
            options = self._options(draft, afresh=True)
            options["include_name"] = lambda _, kind, __: kind != "table"
            generated = self._compared(connection, directory, draft, message, options)
        if _is_empty(generated):
            raise MigrationError(
                problem="the database equals the models, so there is nothing to write.",
                advise="autogenerate=False writes an empty file",
            )
        (script,) = generated.generate_scripts()
        return self._written(script)

    def _compared(
        self,
        connection: sa.Connection,
        directory: ScriptDirectory,
        draft: Draft,
        message: str,
        options: Mapping[str, Any],
    ) -> RevisionContext:
        arguments = {
            "message": message, "autogenerate": True, "sql": False, "head": "head",
            "splice": False, "branch_label": None, "version_path": None, "rev_id": None,
            "depends_on": None,
        }  # fmt: skip
        generated = RevisionContext(Config(), directory, arguments)
        generated.template_args["allow_drop"] = draft.allow_drop  # type: ignore[assignment]  # read by our template

        def compare(heads: Any, context: Any) -> list[Any]:
            generated.run_autogenerate(heads, context)
            return []

        with alembic_errors():
            _run(connection, directory, compare, options, revision_context=generated)
        return generated

    def _require_latest(self, connection: sa.Connection, directory: ScriptDirectory) -> None:
        current, heads = set(_heads(connection)), set(directory.get_heads())
        if current != heads:
            raise MigrationError(
                problem=f"the database is at {_names(current)}, and the files end at "
                f"{_names(heads)}.",
                advise="run db.migrations.upgrade() first; db.migrations.stamp() if this "
                "database has those tables already",
            )

    def _written(self, script: Script | None) -> Revision:
        if script is None:
            raise MigrationError(problem="Alembic wrote no file.")
        return self.files.describe(script)

    def _options(self, draft: Draft, *, afresh: bool = False) -> dict[str, Any]:
        """Return Alembic's options, for our own calls and for `alembic`."""
        return {
            **comparison_options(self.specs, draft.drop_tables),
            "render_item": render_item,
            "process_revision_directives": directives(
                self.database.driver,
                self.specs,
                draft.renames,
                allow_drop=draft.allow_drop,
                afresh=afresh,
            ),
        }

    # -------------------------------------------------------------- carrying out

    async def upgrade(self, target: str, *, allow_drop: bool) -> list[Revision]:
        """Carry out the files up to a revision, in one transaction."""
        return await self._move(lambda d, heads: d._upgrade_revs(target, heads), allow_drop)  # noqa: SLF001 - what `alembic upgrade` calls

    async def downgrade(self, target: str, *, allow_drop: bool) -> list[Revision]:
        """Undo the files down to a revision, in one transaction."""
        return await self._move(lambda d, heads: d._downgrade_revs(target, heads), allow_drop)  # noqa: SLF001 - what `alembic downgrade` calls

    async def stamp(self, target: str) -> None:
        """Note a revision as carried out."""
        directory = self.files.open()

        def work(connection: sa.Connection) -> None:
            with alembic_errors():
                _begun(connection)
                MigrationContext.configure(connection).stamp(directory, target)

        await run_schema_work(self.database, work, write=True)

    async def _move(self, find: Callable[..., Any], allow_drop: bool) -> list[Revision]:  # noqa: FBT001 - from keywords
        async with _alone():
            return await run_schema_work(
                self.database,
                lambda connection: self._moved(connection, find, allow_drop=allow_drop),
                write=True,
                prelude=self.database.driver.before_rebuild,
            )

    def _moved(
        self, connection: sa.Connection, find: Callable[..., Any], *, allow_drop: bool
    ) -> list[Revision]:
        for statement in self.database.driver.migration_prelude:
            connection.exec_driver_sql(statement)
        directory = self._directory_for(_heads(connection))
        done: list[Script] = []

        def steps(heads: Any, context: Any) -> Iterator[Any]:
            for step in find(directory, heads):
                done.append(step.revision)
                context.impl.before_loss = _guard(step, allow_drop=allow_drop)
                yield step

        try:
            with alembic_errors():
                _run(connection, directory, steps, {})
        except (DataFlowError, DBAPIError, OSError):
            raise
        except Exception as error:
            name = done[-1].revision if done else "?"
            problem = f"revision {name!r} fails: {shown(error)}."
            raise MigrationError(problem=problem) from error
        check_references(connection, self.database)
        return [self.files.describe(script) for script in done]

    # ------------------------------------------------------- Alembic's own command

    def run_env(self, context: Any) -> None:
        """Do what an `env.py` does; `context` is `alembic.context`."""
        options = self._options(
            Draft("", autogenerate=True, renames={}, drop_tables=(), allow_drop=False)
        )
        if context.is_offline_mode():
            context.configure(
                dialect_name=self.database.driver.dialect.name, literal_binds=True,
                dialect_opts={"paramstyle": "named"}, **options,
            )  # fmt: skip
            with context.begin_transaction():
                context.run_migrations()
            return

        def work(connection: sa.Connection) -> None:
            for statement in self.database.driver.migration_prelude:
                connection.exec_driver_sql(statement)
            _begun(connection)
            context.configure(connection=connection, **options)
            with_own_implementation(context.get_context())
            context.run_migrations()
            check_references(connection, self.database)

        prelude = self.database.driver.before_rebuild
        try:
            portal.call(run_schema_work(self.database, work, write=True, prelude=prelude))
        except DataFlowError as error:
            raise CommandError(str(error)) from error


def _run(
    connection: sa.Connection,
    directory: ScriptDirectory,
    steps: Steps,
    options: Mapping[str, Any],
    **more: Any,
) -> None:
    """Carry out steps on a connection, with `alembic.op` and `alembic.context` in place."""
    _begun(connection)
    with EnvironmentContext(Config(), directory, fn=steps, **more) as environment:
        dry = "revision_context" in more
        environment.configure(connection=connection, dont_mutate=dry, **options)
        with_own_implementation(environment.get_context())
        environment.run_migrations()


def _begun(connection: sa.Connection) -> None:
    """Begin our transaction, so that Alembic begins and ends none."""
    if not connection.in_transaction():
        connection.begin()


def _heads(connection: sa.Connection) -> tuple[str, ...]:
    return tuple(MigrationContext.configure(connection).get_current_heads())


def _is_empty(generated: RevisionContext) -> bool:
    upgrade = generated.generated_revisions[0].upgrade_ops
    return upgrade is None or not upgrade.ops


def _guard(step: Any, *, allow_drop: bool) -> Callable[[Change], None]:
    """Return what refuses a loss in a revision that does not say that it is meant."""
    script = step.revision
    meant = step.is_upgrade and getattr(script.module, "allow_drop", False) is True

    def refuse(change: Change) -> None:
        if not (allow_drop or meant):
            raise DataLossError(problem=f"{change}, in revision {script.revision!r}")

    return refuse


def _names(revisions: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(revisions))) or "no revision"
