"""The triggers and policies of models: which are there, and which are missing.

A name changes with its definition, so the names in the catalog tell all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from dataflow.database.driver import Driver, Support
from dataflow.database.guard import LOG_GUARDS, PREFIX, Guard, is_policy, kind_of
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG
from dataflow.models.spec import ModelSpec

__all__ = ["TriggerWork", "describe", "find_trigger_work", "once"]

_DIGEST = len(PREFIX) + 16


@dataclass(frozen=True)
class TriggerWork:
    """What the triggers and policies in a database lack, compared with the models.

    Attributes:
        missing: Table and name of each trigger or policy, or table of the audit log, to
            create.
        unwatched: Those of them of whose kind the table has no other version either.
        unwanted: Table and name of each trigger or policy that no model asks for any more.
        stale: Names of triggers and policies whose definition is another one now.
        drops: Statements that remove what is stale, to run before tables change.
        unwanted_drops: Statements that remove what is unwanted, likewise.
        obstacles: Those of both kinds that records must be rid of before they change.
        tables: Tables of the audit log to create, after it.
        support: What triggers need and the database lacks, by name, to create then.
        triggers: Statements that create triggers and policies, to run last.
        undo: Statements that remove what both create, or bring back its former version.
    """

    missing: tuple[tuple[str, str], ...] = ()
    unwatched: tuple[tuple[str, str], ...] = ()
    unwanted: tuple[tuple[str, str], ...] = ()
    stale: frozenset[str] = frozenset()
    drops: tuple[str, ...] = ()
    unwanted_drops: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    tables: tuple[sa.Table, ...] = ()
    support: Mapping[str, Support] = field(default_factory=dict)
    triggers: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()

    @property
    def other_drops(self) -> list[str]:
        """Statements that remove what is no obstacle, and may watch over changes of records."""
        drops = (*self.drops, *self.unwanted_drops)
        return [drop for drop in drops if drop not in self.obstacles]

    def creates(self, dialect: sa.Dialect) -> Iterator[str]:
        """Yield the statements that create what is missing, to run after tables change."""
        for table in self.tables:
            yield str(sa.schema.CreateTable(table).compile(dialect=dialect)).strip()
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                yield str(sa.schema.CreateIndex(index).compile(dialect=dialect))
        yield from (item.create for item in self.support.values())
        yield from self.triggers


def describe(missing: Iterable[tuple[str, str]]) -> str:
    """Return what is missing, as a phrase."""
    return "; ".join(
        f"{kind_of(name)} {name!r} of {table!r} is missing"
        if name
        else f"table {table!r} is missing"
        for table, name in missing
    )


def find_trigger_work(
    connection: sa.Connection,
    driver: Driver,
    specs: Sequence[ModelSpec],
    renewed: Collection[str] = (),
    *,
    afresh: bool = False,
) -> TriggerWork:
    """Compare the triggers of the models' tables with those that they should have.

    Args:
        connection: Where; reads catalogs only.
        driver: Writes the triggers.
        specs: The models.
        renewed: Tables whose policies and refusing triggers must be out of the way for a
            while. Those that no model has are about to be dropped.
        afresh: Whether to compare with a database that has nothing yet.
    """
    inspector = sa.inspect(connection)
    default = inspector.default_schema_name
    present = {} if afresh else _present(connection, driver, default)
    guards = {spec.table.fullname: driver.audit.guard_of(spec) for spec in specs}
    if not present and not any(guards.values()):
        return TriggerWork()
    views = set(inspector.get_view_names())
    wanted = [guard for guard in guards.values() if guard and guard.table.name not in views]
    audited = any(guard.audited for guard in wanted)
    work = _Work(driver, default or "", present, renewed)
    if audited:
        tables = set() if afresh else set(inspector.get_table_names())
        work.create_tables(table for table in (AUDIT_LOG, AUDIT_HEADS) if table.name not in tables)
        wanted += LOG_GUARDS
    for guard in wanted:
        work.compare(guard)
    for spec in specs:
        if guards[spec.table.fullname] is None:
            work.compare(Guard(spec.table, spec.name, (), ()))
    for name in sorted(set(renewed) - {spec.table.name for spec in specs}):
        work.compare(Guard(sa.Table(name, sa.MetaData()), "", (), ()))
    if work.needs_support:
        there = {} if afresh else driver.support_there(connection)
        work.support(driver.trigger_support(default or "", audited=audited), there)
    return work.result()


def _present(
    connection: sa.Connection, driver: Driver, default: str | None
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for schema, table, name in connection.exec_driver_sql(driver.triggers_query):
        full = table if schema in (None, default) else f"{schema}.{table}"
        found.setdefault(full, []).append(name)
    return found


class _Work:
    """Collects the work of one database."""

    def __init__(
        self, driver: Driver, schema: str, present: dict[str, list[str]], renewed: Collection[str]
    ) -> None:
        self._driver = driver
        self._schema = schema
        self._present = present
        self._renewed = renewed
        self._supported = False
        self._missing: list[tuple[str, str]] = []
        self._unwanted: list[tuple[str, str]] = []
        self._stale: list[str] = []
        self._drops: list[str] = []
        self._unwanted_drops: list[str] = []
        self._obstacles: list[str] = []
        self._tables: tuple[sa.Table, ...] = ()
        self._support: dict[str, Support] = {}
        self._undo_support: list[str] = []
        self._creates: list[str] = []
        self._undo: list[str] = []

    @property
    def needs_support(self) -> bool:
        return self._supported and bool(self._creates)

    def create_tables(self, tables: Iterable[sa.Table]) -> None:
        self._tables = tuple(tables)
        self._missing += [(table.name, "") for table in self._tables]

    def support(self, wanted: Mapping[str, Support], there: Mapping[str, Support]) -> None:
        self._support = {
            name: item
            for name, item in wanted.items()
            if name not in there or there[name].source != item.source
        }
        self._undo_support = [
            there[name].create if name in there else item.drop
            for name, item in reversed(self._support.items())
        ]

    def compare(self, guard: Guard) -> None:
        table = guard.table.fullname
        wanted = self._driver.triggers(guard, self._schema)
        kinds = {name[_DIGEST:] for name in wanted}
        there = self._present.get(table, [])
        kept = set(there) & set(wanted)
        if table in self._renewed:
            kept = {name for name in kept if not _obstructs(name)}
        self._supported |= bool(guard.audited or guard.refused)
        self._remove(guard, [name for name in there if name not in kept], kinds)
        for name, statements in wanted.items():
            if name not in kept:
                self._creates += statements
                self._undo.append(self._driver.trigger_drop(name, guard.table))
            if name not in there:
                self._missing.append((table, name))

    def _remove(self, guard: Guard, names: Iterable[str], kinds: Collection[str]) -> None:
        for name in names:
            drop = self._driver.trigger_drop(name, guard.table)
            if _obstructs(name):
                self._obstacles.append(drop)
            if name[_DIGEST:] in kinds:
                self._stale.append(name)
                self._drops.append(drop)
            else:
                self._unwanted.append((guard.table.fullname, name))
                self._unwanted_drops.append(drop)

    def _unwatched(self) -> Iterator[tuple[str, str]]:
        for table, name in self._missing:
            if name[_DIGEST:] not in {there[_DIGEST:] for there in self._present.get(table, [])}:
                yield table, name

    def result(self) -> TriggerWork:
        return TriggerWork(
            tuple(self._missing),
            tuple(self._unwatched()),
            tuple(self._unwanted),
            frozenset(self._stale),
            once(self._drops),
            once(self._unwanted_drops),
            once(self._obstacles),
            self._tables,
            self._support,
            once(self._creates),
            once(filter(None, [*self._undo, *self._undo_support])),
        )


def _obstructs(name: str) -> bool:
    """Whether something keeps records from being changed."""
    return "_refuse_" in name or is_policy(name)


def once(statements: Iterable[str]) -> tuple[str, ...]:
    """Return statements in their order, each once."""
    return tuple(dict.fromkeys(statements))
