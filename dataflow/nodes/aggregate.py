"""`AggregateNode`: a pipeline over the records of any model, as a step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

from dataflow.errors import DatabaseError, DefinitionError
from dataflow.nodes.effects import UNKNOWN, Effects, Resource
from dataflow.nodes.node import Node
from dataflow.nodes.parameter import REQUIRED, NodeParameter
from dataflow.records.aggregates import aggregate_of, run_aggregate
from dataflow.records.store import Store

__all__ = ["AggregateNode", "aggregate_node"]

Inputs = Mapping[str, Any]


class AggregateNode(Node):
    """Run a pipeline of MongoDB's stages over a model's records, in one statement.

    Output: `records` and their `count`; `value`, if the last stage is a bare accumulator.
    """

    blocking: ClassVar[bool] = False
    mutates_inputs: ClassVar[bool] = False
    store_of: ClassVar[Callable[[Any], Store]]

    @classmethod
    def parameters(cls) -> dict[str, NodeParameter]:
        """Return model, pipeline and filter."""
        found = (
            NodeParameter("model", Any, REQUIRED, "class, name or table name"),
            NodeParameter("pipeline", list[dict[str, Any]], REQUIRED, "MongoDB's stages"),
            NodeParameter("filter", dict[str, Any] | None, None, "holds before the first stage"),
        )
        return {parameter.name: parameter for parameter in found}

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return records, count and value."""
        return {"records": list[Any], "count": int, "value": Any}

    @classmethod
    def accept(cls, values: Inputs) -> dict[str, Any]:
        """Return the values as they are: the pipeline is checked as a whole."""
        return dict(values)

    @classmethod
    def check_inputs(cls, values: Inputs, connected: Collection[str]) -> list[str]:
        """Return every problem that can be known without running."""
        problems = super().check_inputs(values, connected)
        if problems or not {"model", "pipeline"} <= set(values):
            return problems
        try:
            store = cls.store_of(values["model"])
            aggregate_of(store, store.where(values.get("filter")), values["pipeline"])
        except (DefinitionError, DatabaseError) as error:
            advice = error.advice()
            return [f"{error.problem_text()} {advice}" if advice else error.problem_text()]
        return []

    @classmethod
    def effects_with(cls, inputs: Inputs) -> Effects:
        """Return the tables that the pipeline reads; unknown while they are connected."""
        try:
            names = [inputs["model"], *_joined(inputs["pipeline"])]
            stores = [cls.store_of(name) for name in names]
        except (DefinitionError, KeyError, TypeError):
            return UNKNOWN
        reads: set[Resource] = {(store.database, store.spec.table.fullname) for store in stores}
        return Effects(reads=frozenset(reads))

    async def run(
        self, *, model: Any, pipeline: Any, filter: Inputs | None = None
    ) -> dict[str, Any]:
        """Return the result of the pipeline."""
        store = type(self).store_of(model)
        found = await run_aggregate(store, store.where(filter), pipeline)
        if isinstance(found, list):
            return {"records": found, "count": len(found), "value": None}
        return {"records": [], "count": 0, "value": found}


def _joined(pipeline: Any) -> list[Any]:
    """Return the models that `$lookup` names at any depth."""
    found: list[Any] = []
    for stage in pipeline:
        for name, options in stage.items():
            if name == "$lookup":
                found.append(options["from"])
            elif name == "$facet":
                found += [model for inner in options.values() for model in _joined(inner)]
    return found


def aggregate_node(store_of: Callable[[Any], Store], database: Any) -> type[AggregateNode]:
    """Return the class for the models of one DataFlow."""
    members = {
        "__doc__": AggregateNode.__doc__,
        "__module__": AggregateNode.__module__,
        "store_of": staticmethod(store_of),
        "database": database,
    }
    return type("AggregateNode", (AggregateNode,), members)
