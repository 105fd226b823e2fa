"""`Workflow`: a checked, frozen graph of steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from dataflow.errors import ParameterError
from dataflow.nodes.node import Node
from dataflow.runtime.description import describe_retry, mark, write_type
from dataflow.runtime.references import InputReference, Reference
from dataflow.runtime.retry import Retry

__all__ = ["Connection", "Step", "Workflow", "WorkflowInput"]

NO_DEFAULT: Any = object()


@dataclass(frozen=True, slots=True)
class WorkflowInput:
    """A parameter of a workflow."""

    name: str
    annotation: Any
    default: Any = NO_DEFAULT

    @property
    def required(self) -> bool:
        """Whether a run must give it."""
        return self.default is NO_DEFAULT

    def check(self, value: Any, at: str | None = None) -> Any:
        """Return a value in the declared type.

        Raises:
            ParameterError: If it does not fit.
        """
        if self.annotation is Any:
            return value
        try:
            return TypeAdapter(self.annotation).validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]["msg"]
            problem = f"workflow input {self.name!r}: {reason} (got {value!r})."
            raise ParameterError(problem=problem, at=at) from None


@dataclass(frozen=True, slots=True)
class Connection:
    """An edge; without output and input it is order only."""

    source: str
    target: str
    output: str | None = None
    input: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A node in a workflow.

    Attributes:
        inputs: Given values; may hold references at any depth.
        location: `"file:line"` where it was added.
    """

    id: str
    node_type: type[Node]
    inputs: Mapping[str, Any]
    location: str
    retry: Retry | None = None
    timeout_s: float | None = None
    on_error: Literal["fail", "continue"] = "fail"
    when: Reference | InputReference | None = None


@dataclass(frozen=True)
class Workflow:
    """A frozen workflow.

    Attributes:
        steps: `{step id: Step}` in a possible order of execution.
        connections: Edges that the user made, references included.
        hazards: Pairs `(earlier, later)` that keep their order because of the data
            that they touch.
    """

    name: str
    steps: Mapping[str, Step]
    connections: tuple[Connection, ...]
    hazards: tuple[tuple[str, str], ...]
    inputs: Mapping[str, WorkflowInput] = field(default_factory=dict)

    def __hash__(self) -> int:
        """Hash by identity; a workflow is one object."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """Compare by identity."""
        return self is other

    @cached_property
    def graph(self) -> Any:
        """The steps as a `networkx.DiGraph`.

        Nodes carry `node_type`; edges carry `kind` (`"data"`, `"order"`, `"hazard"`)
        and for data `connections`, a list of `(output, input)`.
        """
        import networkx as nx

        graph = nx.DiGraph(name=self.name)
        for step in self.steps.values():
            graph.add_node(step.id, node_type=step.node_type.node_type)
        for earlier, later in self.hazards:
            graph.add_edge(earlier, later, kind="hazard", connections=[])
        for edge in self.connections:
            kind = "order" if edge.output is None else "data"
            known = graph.get_edge_data(edge.source, edge.target, {})
            pairs = list(known.get("connections", []))
            if edge.output is not None:
                pairs.append((edge.output, edge.input))
            kind = "data" if pairs else kind
            graph.add_edge(edge.source, edge.target, kind=kind, connections=pairs)
        return graph

    def to_dict(self) -> dict[str, Any]:
        """Return the workflow as JSON values; `WorkflowBuilder.from_dict` reads them.

        Raises:
            WorkflowDefinitionError: If an input holds a value that JSON cannot carry.
        """
        return {
            "name": self.name,
            "inputs": {item.name: self._input_dict(item) for item in self.inputs.values()},
            "steps": [self._step_dict(step) for step in self.steps.values()],
            "connections": [
                {"source": c.source, "output": c.output, "target": c.target, "input": c.input}
                for c in self.connections
            ],
        }

    def _input_dict(self, item: WorkflowInput) -> dict[str, Any]:
        place = f"input {item.name!r}"
        described = {"type": write_type(item.annotation, place, self.name)}
        if not item.required:
            described["default"] = mark(item.default, place, self.name)
        return described

    def _step_dict(self, step: Step) -> dict[str, Any]:
        described: dict[str, Any] = {
            "id": step.id,
            "type": step.node_type.node_type,
            "inputs": {
                name: mark(value, f"{step.id}.{name}", self.name)
                for name, value in step.inputs.items()
            },
        }
        if step.retry is not None:
            described["retry"] = describe_retry(step.retry, step.id, self.name)
        if step.timeout_s is not None:
            described["timeout_s"] = step.timeout_s
        if step.on_error != "fail":
            described["on_error"] = step.on_error
        if step.when is not None:
            described["when"] = mark(step.when, f"{step.id}.when", self.name)
        return described

    def to_json(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2)

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart."""
        names = {step_id: f"n{number}" for number, step_id in enumerate(self.steps)}
        lines = ["flowchart TD"]
        for step in self.steps.values():
            label = f"{step.id}<br/>{step.node_type.node_type}".replace('"', "#quot;")
            lines.append(f'    {names[step.id]}["{label}"]')
        for edge in self.connections:
            label = f"|{edge.output} → {edge.input}|" if edge.output else ""
            lines.append(f"    {names[edge.source]} -->{label} {names[edge.target]}")
        known = {(edge.source, edge.target) for edge in self.connections}
        for earlier, later in self.hazards:
            if (earlier, later) not in known:
                lines.append(f"    {names[earlier]} -.-> {names[later]}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return name and size."""
        return f"Workflow({self.name!r}, {len(self.steps)} steps)"
