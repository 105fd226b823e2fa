"""Triggers and policies in a revision file: their SQL, and the way back.

Loads Alembic; import this module at use only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.operations import ops

from dataflow.database.driver import Driver
from dataflow.schema.triggers import TriggerWork, once

__all__ = ["GuardSteps", "SqlOp", "guard_steps"]


class SqlOp(ops.MigrateOperation):
    """Runs statements that only one kind of database understands."""

    def __init__(self, kind: str, statements: Sequence[str]) -> None:
        """Keep what is set."""
        self.kind = kind
        self.statements = statements

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` prints."""
        return ("execute", *self.statements)


@dataclass(frozen=True, slots=True)
class GuardSteps:
    """What a file does about triggers, before and after its tables change, and back.

    Attributes:
        first: What is out of the way even before records change.
    """

    first: tuple[Any, ...]
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    undo_after: tuple[Any, ...]
    undo_before: tuple[Any, ...]


def guard_steps(connection: sa.Connection, driver: Driver, work: TriggerWork) -> GuardSteps:
    """Return the steps that do what is to be done.

    The way back removes what they create, and creates again what they remove, as the
    database has it now.
    """
    tables: list[Any] = []
    for table in work.tables:
        tables.append(ops.CreateTableOp.from_table(table))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        tables += map(ops.CreateIndexOp.from_index, indexes)
    dialect = driver.dialect.name
    creates = [*(item.create for item in work.support.values()), *work.triggers]
    return GuardSteps(
        _sql(dialect, work.obstacles),
        _sql(dialect, work.other_drops),
        (*tables, *_sql(dialect, creates)),
        (
            *_sql(dialect, work.undo),
            *(operation.reverse() for operation in reversed(tables)),
        ),
        _sql(dialect, _former_triggers(connection, driver, work)),
    )


def _sql(kind: str, statements: Iterable[str]) -> tuple[SqlOp, ...]:
    found = once(statements)
    return (SqlOp(kind, found),) if found else ()


def _former_triggers(connection: sa.Connection, driver: Driver, work: TriggerWork) -> list[str]:
    dropped = work.stale | {name for _, name in work.unwanted}
    if not dropped:
        return []
    rows = connection.exec_driver_sql(driver.sources_query)
    return [statement for name, statement in rows if name in dropped]


# ------------------------------------------------------------------- as written


@renderers.dispatch_for(SqlOp)
def _write_sql(_: Any, operation: SqlOp) -> list[str]:
    lines = [f"if op.get_context().dialect.name == {operation.kind!r}:"]
    return [*lines, *(f"op.execute({_text(sql)})" for sql in operation.statements), ""]


def _text(sql: str) -> str:
    """Return a statement as Python text that Alembic hands on as it is."""
    clause = sa.text(sql)
    if clause._bindparams or str(clause) != sql:  # noqa: SLF001 - told nowhere else
        # `:name` is a parameter in a text; in DDL only the percent sign is special.
        return f"sa.DDL({sql.replace('%', '%%')!r})"
    if "\n" not in sql or not _is_plain(sql):
        return repr(sql)
    return f'{"r" if chr(92) in sql else ""}"""\n{sql}\n"""'


def _is_plain(sql: str) -> bool:
    """Whether lines may be indented, as Alembic does: none ends within quotes."""
    lines = sql.split("\n")
    odd = any(line.count(mark) % 2 for line in lines for mark in "'\"")
    return not odd and '"""' not in sql and not re.search(r"[^\n -~\xa1-\U0010ffff]", sql)
