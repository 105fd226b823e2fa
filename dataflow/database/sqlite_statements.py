"""SQLite's statements of the bulk verbs, each for one row or for many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import sqlalchemy as sa

from dataflow.database.driver import Columns, Row, UpdatePlan, UpsertPlan
from dataflow.database.on_conflict import on_conflict
from dataflow.database.sqlite_triggers import DIALECT

__all__ = [
    "ROWS_AT_ONCE",
    "has_unique",
    "insert_sql",
    "many_at_once",
    "named",
    "table_name",
    "update_sql",
    "upsert_sql",
]

ROWS_AT_ONCE = 100
"""Rows of one statement, which takes half the time of one by one; a third, with triggers."""
_COLUMNS_AT_ONCE = 300
"""Above this, 100 rows could have more parameters than SQLite's 32,766."""

named: Callable[[sa.Column[Any]], str] = DIALECT.identifier_preparer.format_column
table_name: Callable[[sa.Table], str] = DIALECT.identifier_preparer.format_table


def insert_sql(table: sa.Table, columns: Columns, many: int) -> str:
    """Return the INSERT of as many rows."""
    if not columns:
        return f"INSERT INTO {table_name(table)} DEFAULT VALUES"
    names = ", ".join(map(named, columns))
    # The alias keeps a table called "excluded" apart from an upsert's own word.
    return f"INSERT INTO {table_name(table)} AS t ({names}) {_values(len(columns), many)}"


def upsert_sql(plan: UpsertPlan, many: int) -> str:
    """Return the INSERT of as many rows that updates, or leaves, the records in its way."""
    insert = insert_sql(plan.table, plan.columns, many)
    return f"{insert} {on_conflict(plan, named)}"


def update_sql(plan: UpdatePlan, many: int) -> str:
    """Return the UPDATE of as many records; each row has what is set, and then the key."""
    width = len(plan.changed) + len(plan.key)
    values = [f"s.column{n}" for n in range(1, width + 1)] if many > 1 else ["?"] * width
    sets = [f"{named(c)} = {value}" for c, value in zip(plan.changed, values, strict=False)]
    if plan.increment is not None:
        sets.append(f"{named(plan.increment)} = t.{named(plan.increment)} + 1")
    keys = zip(plan.key, values[len(plan.changed) :], strict=True)
    match = " AND ".join(f"t.{named(column)} = {value}" for column, value in keys)
    if plan.live is not None:
        match += f" AND t.{named(plan.live)} IS NULL"
    source = f" FROM ({_values(width, many)}) AS s" if many > 1 else ""
    return f"UPDATE {table_name(plan.table)} AS t SET {', '.join(sets)}{source} WHERE {match}"


def _values(width: int, many: int) -> str:
    marks = f"({', '.join('?' * width)})"
    return f"VALUES {', '.join([marks] * many)}"


def has_unique(table: sa.Table, columns: Columns) -> bool:
    """Whether values of some columns must not repeat, alone or with others."""
    indexes = (index.columns for index in table.indexes if index.unique)
    constraints = (c.columns for c in table.constraints if isinstance(c, sa.UniqueConstraint))
    return not set(columns).isdisjoint(chain.from_iterable((*indexes, *constraints)))


def many_at_once(
    raw: Any,
    rows: Sequence[Row],
    sql: Callable[[int], str],
    at_once: int = ROWS_AT_ONCE,
) -> int:
    """Run a statement for all rows, and return how many records it has changed.

    Args:
        raw: The connection of `sqlite3` that runs it.
        rows: Its arguments.
        sql: Returns the statement for as many rows.
        at_once: How many it may be for.
    """
    many = at_once if rows and 0 < len(rows[0]) <= _COLUMNS_AT_ONCE else 1
    whole = len(rows) - len(rows) % many if many > 1 else 0
    changed = 0
    if whole:
        starts = range(0, whole, many)
        flat = [list(chain.from_iterable(rows[n : n + many])) for n in starts]
        changed += max(raw.executemany(sql(many), flat).rowcount, 0)
    if whole < len(rows):
        changed += max(raw.executemany(sql(1), rows[whole:]).rowcount, 0)
    return changed
