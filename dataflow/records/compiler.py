"""Statements of one model, compiled once per shape and kept."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from dataflow.context import ALL_TENANTS, tenant
from dataflow.database.driver import Driver
from dataflow.models.spec import ModelSpec
from dataflow.query.conditions import condition_for
from dataflow.query.filters import Filter
from dataflow.records.prepared import Prepared, RowReader, prepare
from dataflow.records.scope import Scope
from dataflow.records.statements import (
    Conditions,
    columns_of,
    delete_statement,
    evaluated,
    insert_statement,
    only_one,
    update_statement,
)

__all__ = ["Compiler"]

T = TypeVar("T")


class Compiler:
    """Builds conditions that carry the model's scope, and caches compiled statements.

    The number of shapes is bounded: above `LIMIT` the oldest are forgotten.
    """

    LIMIT = 2_000

    def __init__(self, spec: ModelSpec, scope: Scope, driver: Driver) -> None:
        """Begin with an empty cache."""
        self.spec = spec
        self.scope = scope
        self._driver = driver
        self._dialect = driver.dialect
        self._kept: dict[Hashable, Any] = {}
        self._readers: dict[tuple[str, ...], RowReader] = {}
        self._unique = [frozenset(names) for names in spec.unique_sets]

    def get(self, shape: Hashable, build: Callable[..., T], *args: Any) -> T:
        """Return the statement of a shape, building it the first time."""
        if tenant.get() is ALL_TENANTS:
            shape = (ALL_TENANTS, shape)
        found: T | None = self._kept.get(shape)
        if found is None:
            if len(self._kept) >= self.LIMIT:
                self._kept.pop(next(iter(self._kept)), None)
            found = self._kept[shape] = build(*args)
        return found

    def compile(self, statement: Any, names: Sequence[str] = ()) -> Prepared:
        """Compile a statement that returns the named fields."""
        key = tuple(names)
        columns, reader = columns_of(self.spec, key), self._readers.get(key)
        prepared = prepare(statement, self._dialect, columns, reader, self.spec)
        self._readers[key] = prepared.reader
        return prepared

    def conditions(self, where: Filter, *, include_deleted: bool) -> Conditions:
        """Return the conditions of scope and filter."""
        condition = condition_for(self.spec, where.shape) if where.shape else None
        return [self.scope.visible(include_deleted=include_deleted), condition]

    def single(self, where: Filter, *, include_deleted: bool) -> Conditions:
        """Return conditions that hold for no record when several match the filter."""
        conditions = self.conditions(where, include_deleted=include_deleted)
        if not self.is_single(where, include_deleted=include_deleted):
            conditions.append(only_one(self.spec, list(conditions)))
        return conditions

    def is_single(self, where: Filter, *, include_deleted: bool = False) -> bool:
        """Whether unique constraints let at most one record match."""
        shape = where.shape
        terms = shape[1:] if shape and shape[0] == "and" else (shape,)
        equal = {term[1] for term in terms if term and term[0] == "$eq"}
        unique = self._unique[:1] if include_deleted else self._unique
        return any(names <= equal for names in unique)

    def forget(self) -> None:
        """Let all statements be compiled anew."""
        self._kept.clear()

    def _caller_terms(self) -> Sequence[sa.ColumnElement[Any]]:
        return self._driver.caller_terms if self._driver.audit.covers(self.spec) else ()

    def insert(self, names: Sequence[str]) -> Any:
        """Return the INSERT of fields, bound as `v_<field>`."""
        return insert_statement(self.spec, names, self._caller_terms())

    def update(self, names: Sequence[str], conditions: Conditions) -> Any:
        """Return the UPDATE of fields, bound as `v_<field>`."""
        conditions = [*conditions, *evaluated(self._caller_terms())]
        return update_statement(self.spec, self.scope, names, conditions)

    def deletion(self, conditions: Conditions, *, soft: bool) -> Any:
        """Return the statement that deletes, or marks as deleted, what matches."""
        if not soft:
            return delete_statement(self.spec, [*conditions, *evaluated(self._caller_terms())])
        return self.update([*self.scope.marks, *self.scope.updated()], conditions)
