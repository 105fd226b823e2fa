"""UPDATE statements in sessions: they raise versions and name who made them, as objects do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import ORMExecuteState

from dataflow.context import actor
from dataflow.errors import ParameterError
from dataflow.records.scope import Scope

__all__ = ["complete_update"]


def complete_update(state: ORMExecuteState) -> None:
    """Add to an UPDATE of a model what it does not set itself.

    Raises:
        ParameterError: If rows name records of a versioned model by key without the version.
    """
    scope = _scope_of(state) if state.is_update else None
    if scope is None:
        return
    statement: Any = state.statement
    given = {getattr(name, "key", name) for name in (*(statement._values or ()), *_names(state))}  # noqa: SLF001 - shown nowhere else
    added = {name: value for name, value in _kept(state, scope) if name not in given}
    if not added:
        return
    if state.is_orm_statement and isinstance(state.parameters, list):
        _refuse(scope, added)  # SQLAlchemy takes no more values beside the rows' own
    elif statement._maintain_values_ordering:  # noqa: SLF001 - likewise
        more: Any = sa.update(statement.table).values(added)
        statement = statement._generate()  # noqa: SLF001 - a copy, as every method of it makes
        statement._values = statement._values.union(more._values)  # noqa: SLF001 - values() refuses
        state.statement = statement
    else:
        state.statement = statement.values(added)


def _scope_of(state: ORMExecuteState) -> Scope | None:
    table = getattr(state.statement, "table", None)
    scopes = state.session.info.get("scopes")
    if scopes is None or not isinstance(table, sa.Table):
        return None
    scope: Scope | None = scopes().get(table.fullname)
    return scope if scope is not None and scope.owns(table) else None


def _names(state: ORMExecuteState) -> Iterator[str]:
    rows = state.parameters
    first = rows[0] if isinstance(rows, list) and rows else rows
    yield from first if isinstance(first, Mapping) else ()


def _kept(state: ORMExecuteState, scope: Scope) -> Iterator[tuple[str, Any]]:
    """Yield the names of fields that are kept, and their values."""
    if scope.version is not None:
        column = state.statement.table.c[scope.version.key]  # type: ignore[attr-defined]  # of an UPDATE
        yield scope.version.key, column + 1
    who = state.session.info.get("actor") or actor.get()
    if who is not None and "updated_by" in scope.spec.fields:
        yield "updated_by", who


def _refuse(scope: Scope, added: Mapping[str, Any]) -> None:
    if scope.version is not None and scope.version.key in added:
        raise ParameterError(
            problem=f"rows for {scope.spec.name!r} lack 'version', which tells stale ones.",
            advise="give the version that each record has, or use a repository's bulk_update()",
        )
