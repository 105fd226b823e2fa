"""ON CONFLICT, which PostgreSQL and SQLite write alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dataflow.database.driver import UpsertPlan

__all__ = ["on_conflict"]


def on_conflict(plan: UpsertPlan, named: Callable[[sa.Column[Any]], str]) -> str:
    """Return the clause of an INSERT into a table `t`.

    Args:
        plan: What conflicts, and what is set then.
        named: Returns a column's name, quoted where it must be.
    """
    among = "" if plan.among is None else f" WHERE {named(plan.among)} IS NULL"
    conflict = ", ".join(map(named, plan.conflict))
    target = f"({conflict}){among} " if conflict else ""
    return f"ON CONFLICT {target}{_resolution(plan, named)}"


def _resolution(plan: UpsertPlan, named: Callable[[sa.Column[Any]], str]) -> str:
    if not plan.update:
        return "DO NOTHING"
    sets = [f"{named(column)} = excluded.{named(column)}" for column in plan.update]
    if plan.increment is not None:
        sets.append(f"{named(plan.increment)} = t.{named(plan.increment)} + 1")
    if plan.revive is not None:
        sets.append(f"{named(plan.revive)} = NULL")
    return f"DO UPDATE SET {', '.join(sets)}"
