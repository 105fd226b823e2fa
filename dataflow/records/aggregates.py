"""Running pipelines: compiled once per shape, read in the declared types."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

from dataflow.errors import FilterError
from dataflow.query.filters import Filter
from dataflow.query.pipeline import compile_pipeline
from dataflow.query.rows import Plan, Table
from dataflow.records.prepared import Prepared, prepare
from dataflow.records.store import Store
from dataflow.records.validation import Comparisons

__all__ = ["Aggregate", "aggregate_of", "run_aggregate"]

Record = dict[str, Any]
MAX_NODES = 10_000


class Aggregate(NamedTuple):
    """A pipeline, ready to run.

    Attributes:
        values: Values of the statement's parameters by name.
        scalar: Whether the only value of the only row is the result.
        empty: The result of a scalar pipeline without rows.
    """

    prepared: Prepared
    values: Mapping[str, Any]
    scalar: bool
    empty: Any

    def with_values(self, where: Filter) -> Aggregate:
        """Return the same with the values of a filter, which are never kept."""
        return self._replace(values={**self.values, **where.parameters})


def aggregate_of(
    store: Store, where: Filter, pipeline: Any, *, include_deleted: bool = False
) -> Aggregate:
    """Return a pipeline over the records that match a filter.

    Statements are kept by the pipeline's whole text and the filter's shape, so that a
    pipeline behind a filter whose values change is compiled once.

    Raises:
        FilterError: For an unknown stage, operator or shape.
        UnknownFieldError: For a field that a stage lacks.
    """
    _check_size(pipeline)
    key = _frozen(pipeline)
    if key is None:
        return _compiled(store, where, pipeline, include_deleted).with_values(where)
    shape = ("aggregate", where.shape, key, include_deleted)
    found = store.compiler.get(shape, _compiled, store, where, pipeline, include_deleted)
    return found.with_values(where)


def _compiled(
    store: Store,
    where: Filter,
    pipeline: Any,
    include_deleted: bool,  # noqa: FBT001 - part of a shape
) -> Aggregate:
    plan = Plan(_tables(store), lambda: Comparisons(store.validator), store.spec.name)
    conditions = store.compiler.conditions(where, include_deleted=include_deleted)
    table = Table(store.spec, [condition for condition in conditions if condition is not None])
    found = compile_pipeline(plan, table, pipeline)
    dialect = store.database.driver.dialect
    prepared = prepare(found.statement, dialect, found.columns, spec=store.spec)
    return Aggregate(prepared, found.values, found.scalar, found.empty)


def _tables(store: Store) -> Callable[[Any], Table]:
    def table_of(model: Any) -> Table:
        other = store.other(model)
        if other.database is not store.database:
            problem = f"$lookup cannot join {other.spec.name!r}, which is in another database."
            raise FilterError(problem=problem)
        return Table(other.spec, [other.scope.visible()])

    return table_of


def _check_size(pipeline: Any) -> None:
    """Refuse a pipeline of more than `MAX_NODES` values, before it is walked any further.

    Raises:
        FilterError: Naming the limit.
    """
    left, waiting = MAX_NODES, [pipeline]
    while waiting:
        value = waiting.pop()
        inner = value.values() if isinstance(value, Mapping) else value
        if isinstance(value, Mapping | list | tuple):
            left -= len(value)
            waiting.extend(inner)
        if left < 0:
            raise FilterError(problem=f"the pipeline has more than {MAX_NODES} values.")


def _frozen(value: Any) -> Hashable | None:
    """Return a pipeline as a key of a cache; None where its meaning changes with time."""
    try:
        return _freeze(value)
    except (TypeError, RecursionError):  # what is nested too deep is refused when compiled
        return None


def _freeze(value: Any) -> Hashable:
    if isinstance(value, Mapping):
        if "$date" in value:
            raise TypeError
        return ("{", *((key, _freeze(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return ("[", *map(_freeze, value))
    if value == "$$NOW":
        raise TypeError
    hash(value)
    return (type(value), value)


async def run_aggregate(
    store: Store, where: Filter, pipeline: Any, *, include_deleted: bool = False
) -> Any:
    """Return the records of a pipeline, or the scalar of one that ends in an accumulator."""
    await store.ready()
    aggregate = aggregate_of(store, where, pipeline, include_deleted=include_deleted)
    prepared = aggregate.prepared
    rows = await store.database.fetch(prepared.sql, prepared.args(aggregate.values))
    records: list[Record] = prepared.reader.many(rows)
    if not aggregate.scalar:
        return records
    return records[0].get("value") if records else aggregate.empty
