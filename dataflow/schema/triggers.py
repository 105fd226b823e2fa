"""The triggers and policies of models: which are there, and which are missing.

A name changes with its definition, so the names in the catalog tell all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from dataflow.database.driver import Driver
from dataflow.database.guard import LOG_GUARDS, PREFIX, Guard, is_policy, kind_of
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG
from dataflow.models.spec import ModelSpec

__all__ = ["TriggerWork", "find_trigger_work"]

_DIGEST = len(PREFIX) + 16


@dataclass(frozen=True)
class TriggerWork:
    """What the triggers and policies in a database lack, compared with the models.

    Attributes:
        missing: Table and name of each trigger or policy, or table of the audit log, to
            create.
        unwanted: Table and name of each trigger or policy that no model asks for any more.
        stale: Names of triggers and policies whose definition is another one now.
        drops: Statements that remove what is stale, to run before tables change.
        creates: Statements that create what is missing, to run after it.
    """

    missing: tuple[tuple[str, str], ...] = ()
    unwanted: tuple[tuple[str, str], ...] = ()
    stale: frozenset[str] = frozenset()
    drops: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    unwanted_drops: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return what is missing, as a phrase."""
        return "; ".join(
            f"{kind_of(name)} {name!r} of {table!r} is missing"
            if name
            else f"table {table!r} is missing"
            for table, name in self.missing
        )


def find_trigger_work(
    connection: sa.Connection,
    driver: Driver,
    specs: Sequence[ModelSpec],
    renewed: Collection[str] = (),
) -> TriggerWork:
    """Compare the triggers of the models' tables with those that they should have.

    Args:
        connection: Where; reads catalogs only.
        driver: Writes the triggers.
        specs: The models.
        renewed: Tables whose policies and refusing triggers must be out of the way for a
            while.
    """
    inspector = sa.inspect(connection)
    present = _present(connection, driver, inspector.default_schema_name)
    guards = {spec.table.fullname: driver.audit.guard_of(spec) for spec in specs}
    if not present and not any(guards.values()):
        return TriggerWork()
    views = set(inspector.get_view_names())
    wanted = [guard for guard in guards.values() if guard and guard.table.name not in views]
    audited = any(guard.audited for guard in wanted)
    work = _Work(driver, inspector.default_schema_name or "", present, renewed)
    work.audited = audited
    if audited:
        tables = set(inspector.get_table_names())
        for table in (AUDIT_LOG, AUDIT_HEADS):
            if table.name not in tables:
                work.create_table(table)
        wanted += LOG_GUARDS
    for guard in wanted:
        work.compare(guard)
    for spec in specs:
        if guards[spec.table.fullname] is None:
            work.compare(Guard(spec.table, spec.name, (), ()))
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
        self.audited = False
        self._supported = False
        self._missing: list[tuple[str, str]] = []
        self._unwanted: list[tuple[str, str]] = []
        self._stale: list[str] = []
        self._drops: list[str] = []
        self._unwanted_drops: list[str] = []
        self._tables: list[str] = []
        self._creates: list[str] = []

    def create_table(self, table: sa.Table) -> None:
        dialect = self._driver.dialect
        self._missing.append((table.name, ""))
        self._tables.append(str(sa.schema.CreateTable(table).compile(dialect=dialect)).strip())
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            self._tables.append(str(sa.schema.CreateIndex(index).compile(dialect=dialect)))

    def compare(self, guard: Guard) -> None:
        table = guard.table.fullname
        wanted = self._driver.triggers(guard, self._schema)
        kinds = {name[_DIGEST:] for name in wanted}
        there = self._present.get(table, [])
        kept = set(there) & set(wanted)
        if table in self._renewed:
            kept = {name for name in kept if "_refuse_" not in name and not is_policy(name)}
        self._supported |= bool(guard.audited or guard.refused)
        for name in there:
            drop = self._driver.trigger_drop(name, guard.table)
            if name in kept:
                continue
            if name[_DIGEST:] in kinds:
                self._stale.append(name)
                self._drops.append(drop)
            else:
                self._unwanted.append((table, name))
                self._unwanted_drops.append(drop)
        for name, statements in wanted.items():
            if name not in kept:
                self._creates += statements
            if name not in there:
                self._missing.append((table, name))

    def result(self) -> TriggerWork:
        support: Iterable[str] = ()
        if self._creates and self._supported:
            support = self._driver.trigger_support(self._schema, audited=self.audited)
        return TriggerWork(
            tuple(self._missing),
            tuple(self._unwanted),
            frozenset(self._stale),
            tuple(_once(self._drops)),
            tuple(_once([*self._tables, *support, *self._creates])),
            tuple(_once(self._unwanted_drops)),
        )


def _once(statements: Iterable[str]) -> Iterator[str]:
    return iter(dict.fromkeys(statements))
