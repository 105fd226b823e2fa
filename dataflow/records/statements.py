"""The statements of the single-record verbs and lists; pure, one function each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from dataflow.models.spec import ModelSpec
from dataflow.records.scope import Scope

__all__ = [
    "Condition",
    "Conditions",
    "columns_of",
    "count_statement",
    "delete_statement",
    "evaluated",
    "insert_statement",
    "only_one",
    "select_statement",
    "update_statement",
]

Condition = sa.ColumnElement[bool]
Conditions = list[Condition | None]


def columns_of(spec: ModelSpec, names: Iterable[str]) -> list[tuple[str, TypeEngine[Any]]]:
    """Return name and type of fields, as a row reader wants them."""
    return [(name, spec.fields[name].column.type) for name in names]


def _columns(spec: ModelSpec, names: Iterable[str]) -> list[sa.Column[Any]]:
    return [spec.fields[name].column for name in names]


def _bound(spec: ModelSpec, name: str) -> sa.BindParameter[Any]:
    return sa.bindparam(f"v_{name}", type_=spec.fields[name].column.type)


def insert_statement(
    spec: ModelSpec, names: Sequence[str], also: Sequence[sa.ColumnElement[Any]] = ()
) -> Any:
    """INSERT of the named fields as `v_<field>`, returning the whole record.

    Args:
        spec: The model.
        names: Its fields.
        also: Expressions to evaluate with it, returned after the record.
    """
    values = {spec.fields[name].column: _bound(spec, name) for name in names}
    insert = sa.insert(spec.table)
    insert = insert.values(values) if values else insert.values()
    return insert.inline().returning(*_columns(spec, spec.fields), *also)


def select_statement(spec: ModelSpec, names: Sequence[str], conditions: Conditions) -> Any:
    """SELECT of the named fields where all conditions hold."""
    given = [condition for condition in conditions if condition is not None]
    return sa.select(*_columns(spec, names)).where(*given)


def count_statement(spec: ModelSpec, conditions: Conditions) -> Any:
    """SELECT of how many records fulfil all conditions."""
    given = [condition for condition in conditions if condition is not None]
    return sa.select(sa.func.count()).select_from(spec.table).where(*given)


def only_one(spec: ModelSpec, conditions: Conditions) -> Condition:
    """Return the condition that exactly one record fulfils the given ones."""
    found = select_statement(spec, spec.key, conditions).limit(2).subquery()
    return sa.select(sa.func.count()).select_from(found).scalar_subquery() == 1


def update_statement(
    spec: ModelSpec, scope: Scope, names: Sequence[str], conditions: Conditions
) -> Any:
    """UPDATE of the named fields from `v_<field>` where all conditions hold."""
    given = [condition for condition in conditions if condition is not None]
    values: dict[Any, Any] = {spec.fields[name].column: _bound(spec, name) for name in names}
    values |= {spec.table.c[name]: value for name, value in scope.increments().items()}
    # Columns' own onupdate values belong to ORM sessions; here the scope gives them.
    return sa.update(spec.table).values(values).where(*given)


def evaluated(terms: Sequence[sa.ColumnElement[Any]]) -> Conditions:
    """Return conditions that always hold, and for which each term is evaluated once."""
    return [sa.select(term).scalar_subquery().is_not(None) for term in terms]


def delete_statement(spec: ModelSpec, conditions: Conditions) -> Any:
    """DELETE where all conditions hold."""
    given = [condition for condition in conditions if condition is not None]
    return sa.delete(spec.table).where(*given)
