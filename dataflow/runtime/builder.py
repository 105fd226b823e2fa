"""`WorkflowBuilder`: steps are added and connected, then checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol, Self, Unpack, cast

from dataflow.errors import (
    DefinitionError,
    DuplicateNodeError,
    ParameterError,
    WorkflowDefinitionError,
    shown,
)
from dataflow.nodes.function import node_type_of
from dataflow.nodes.node import Node
from dataflow.nodes.registry import Registry, find_node_type
from dataflow.places import caller_place
from dataflow.runtime.check import check_workflow
from dataflow.runtime.order import find_hazards, serial_order
from dataflow.runtime.description import read_type, unmark
from dataflow.runtime.options import StepOptions, checked_options
from dataflow.runtime.references import (
    InputReference,
    NodeHandle,
    Reference,
    copy_containers,
    find_handles,
    find_references,
)
from dataflow.runtime.retry import Retry
from dataflow.runtime.workflow import NO_DEFAULT, Connection, Step, Workflow, WorkflowInput

__all__ = ["WorkflowBuilder"]


class _HasNodes(Protocol):
    @property
    def nodes(self) -> Registry: ...



class WorkflowBuilder:
    """Collects steps and connections; `build()` checks all of it and freezes it.

    Args:
        name: Shown in events and errors.
        db: Where node types are looked up; None: in all live DataFlow objects.
    """

    def __init__(self, name: str = "workflow", *, db: _HasNodes | None = None) -> None:
        """Begin empty."""
        self.name = name
        self._registry = None if db is None else _registry_of(db)
        self._steps: dict[str, Step] = {}
        self._connections: dict[Connection, str] = {}
        self._inputs: dict[str, WorkflowInput] = {}

    def add_node(
        self,
        node_type: Any,
        node_id: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        /,
        **options: Unpack[StepOptions],
    ) -> NodeHandle:
        """Add a step and check its inputs at once.

        Args:
            node_type: A node type's name, its class, or a decorated function.
            node_id: Name of the step; None: the type's name, numbered.
            inputs: Values and references by input name.
            **options: `retry` (a `Retry` or a number of attempts), `timeout_s`
                (seconds), `on_error` (`"fail"` or `"continue"`), `when` (a reference;
                the step is skipped when its value is false).

        Returns:
            A handle: the id, and references by subscription: `user["id"]`.

        Raises:
            UnknownNodeError: If there is no such type, naming the nearest.
            DuplicateNodeError: If the id is taken.
            ParameterError: If an input is unknown or has a wrong value.
        """
        place = caller_place()
        found = self._type(node_type, place, node_id)
        step_id = self._id(found, node_id, place)
        given = self._inputs_of(inputs, place, step_id)
        self._refuse_handles(found, given, f"{place}, node {step_id!r}")
        step = Step(step_id, found, MappingProxyType(given), place, **self._options(options, place, step_id))
        self._check_now(step)
        step = replace(step, inputs=MappingProxyType(_accepted(found, given)))
        self._steps[step_id] = step
        for reference in find_references([given, step.when]):
            self._note_reference(reference.path, reference.reference, step)
        return NodeHandle(step_id)

    def _type(self, node_type: Any, place: str, node_id: str | None) -> type[Node]:
        if isinstance(node_type, str):
            at = place if node_id is None else f"{place}, node {node_id!r}"
            return find_node_type(node_type, self._registry, at)
        found = node_type_of(node_type)
        if found is None or not callable(getattr(found, "run", None)):
            raise ParameterError(
                problem=f"{node_type!r} is not a node type"
                + ("." if found is None else ": it has no run method."),
                advise="give a name, a Node class, or a function decorated with @node",
                at=place,
            )
        return found

    def _id(self, node_type: type[Node], node_id: str | None, place: str) -> str:
        if node_id is None:
            base, number = node_type.node_type, 1
            while f"{base}_{number}" in self._steps:
                number += 1
            return f"{base}_{number}"
        if not isinstance(node_id, str) or not node_id or "." in node_id:
            raise ParameterError(
                problem=f"a node id must be a text without dots, not {node_id!r}.", at=place
            )
        if node_id in self._steps:
            raise DuplicateNodeError(
                kind="node", name=node_id, first=self._steps[node_id].location, at=place
            )
        return str(node_id)

    @staticmethod
    def _inputs_of(inputs: Any, place: str, step_id: str) -> dict[str, Any]:
        if inputs is None:
            return {}
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            raise ParameterError(
                problem=f"inputs must be a dict with names as keys, not {inputs!r}.",
                at=f"{place}, node {step_id!r}",
            )
        copies: dict[str, Any] = {}
        for name, value in inputs.items():
            try:
                copies[name] = copy_containers(value)
            except RecursionError:
                raise ParameterError(
                    problem=f"input {name!r} contains itself, or is nested too deep.",
                    at=f"{place}, node {step_id!r}",
                ) from None
        return copies

    def _refuse_handles(self, node_type: type[Node], given: Mapping[str, Any], at: str) -> None:
        """Refuse handles as values: as a text, each would be the name of its step."""
        for name, value in given.items():
            for handle in find_handles(value):
                raise ParameterError(
                    problem=f"{node_type.node_type}: input {name!r} is node {str(handle)!r} "
                    "itself, not one of its outputs.",
                    advise=_reference_text(self._steps.get(handle), str(handle), name),
                    at=at,
                )

    @staticmethod
    def _options(options: StepOptions, place: str, step_id: str) -> dict[str, Any]:
        at = f"{place}, node {step_id!r}"
        try:
            return checked_options(cast("dict[str, Any]", dict(options)))
        except DefinitionError as error:
            error.at = at
            raise

    def _check_now(self, step: Step) -> None:
        """Check what is known already; connections may still give the rest."""
        plain, connected = split_inputs(step.inputs)
        at = f"{step.location}, node {step.id!r}"
        try:
            problems = step.node_type.check_inputs(plain, connected)
        except DefinitionError as error:
            error.at = at
            raise
        if problems:
            problem = f"{step.node_type.node_type}: {'; '.join(problems)}"
            raise ParameterError(problem=problem, at=at)

    def _note_reference(
        self, path: tuple[Any, ...], reference: Reference | InputReference, step: Step
    ) -> None:
        if isinstance(reference, Reference):
            is_when = path[0] == 1
            name = "when" if is_when else str(path[1])
            edge = Connection(reference.step, step.id, reference.output, name)
            self._connections.setdefault(edge, step.location)

    def add_connection(
        self,
        source: str,
        output_or_target: str,
        target: str | None = None,
        input: str | None = None,  # noqa: A002 - the word users write
    ) -> Self:
        """Connect an output to an input; with two ids alone, keep their order.

        Problems are reported by `build()`, so nodes may be added afterwards.

        Raises:
            ParameterError: If a part is no text.
        """
        for part in (source, output_or_target, target, input):
            if part is not None and not isinstance(part, str):
                raise ParameterError(
                    problem=f"a connection is made of texts, not {shown(part)}.",
                    advise="add_connection('create_user', 'id', 'first_post', 'author_id')",
                    at=caller_place(),
                )
        if target is None:
            edge = Connection(str(source), str(output_or_target))
        else:
            edge = Connection(str(source), str(target), output_or_target, input or output_or_target)
        self._connections.setdefault(edge, caller_place())
        return self

    def connect(self, source: str, target: str) -> Self:
        """Connect `"create_user.id"` to `"first_post.author_id"`.

        Raises:
            ParameterError: If an end is not `"node.name"`.
        """
        ends = [end.partition(".") if isinstance(end, str) else ("", "", "") for end in (source, target)]
        for text, (_, dot, name) in zip((source, target), ends, strict=True):
            if not dot or not name:
                raise ParameterError(
                    problem=f"{text!r} is not 'node.name'.",
                    advise="for example connect('create_user.id', 'first_post.author_id')",
                    at=caller_place(),
                )
        edge = Connection(ends[0][0], ends[1][0], ends[0][2], ends[1][2])
        self._connections.setdefault(edge, caller_place())
        return self

    def add_input(
        self, name: str, annotation: Any = Any, *, default: Any = NO_DEFAULT
    ) -> InputReference:
        """Declare a parameter of the workflow and return a reference to it.

        Raises:
            ParameterError: If the name is no text, or the default does not fit.
            DuplicateNodeError: If the name is taken.
        """
        if not isinstance(name, str):
            problem = f"the name of a workflow's input is a text, not {shown(name)}."
            raise ParameterError(problem=problem, at=caller_place())
        if name in self._inputs:
            raise DuplicateNodeError(
                kind="workflow input", name=name, first="an earlier add_input", at=caller_place()
            )
        declared = WorkflowInput(name, annotation, default)
        if not declared.required:
            declared.check(default, caller_place())
        self._inputs[name] = declared
        return InputReference(name)

    def input(self, name: str) -> InputReference:
        """Return a reference to a parameter of the workflow."""
        return InputReference(name)

    def build(self) -> Workflow:
        """Check everything and return the frozen workflow.

        Raises:
            WorkflowDefinitionError: With all problems found: unknown nodes, outputs
                and inputs in connections, missing inputs, wrong types, cycles.
        """
        problems = check_workflow(self._steps, self._connections, self._inputs)
        if problems:
            raise WorkflowDefinitionError(workflow=self.name, problems=tuple(problems))
        edges = {(edge.source, edge.target) for edge in self._connections}
        order = serial_order(list(self._steps), edges)
        effects = {step.id: step.node_type.effects_with(step.inputs) for step in self._steps.values()}
        hazards = [pair for pair in find_hazards(order, effects) if pair not in edges]
        steps = {step_id: self._steps[step_id] for step_id in order}
        return Workflow(
            name=self.name,
            steps=MappingProxyType(steps),
            connections=tuple(self._connections),
            hazards=tuple(hazards),
            inputs=MappingProxyType(dict(self._inputs)),
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, db: _HasNodes | None = None) -> Self:
        """Return a builder with the steps that `Workflow.to_dict` wrote.

        Raises:
            ParameterError: If the data have another shape.
        """
        try:
            builder = cls(data.get("name", "workflow"), db=db)
            for name, declared in data.get("inputs", {}).items():
                annotation = read_type(declared.get("type", "any"))
                builder.add_input(name, annotation, default=declared.get("default", NO_DEFAULT))
            for step in data["steps"]:
                builder._add_described(step)
            for edge in data.get("connections", ()):
                ends = (edge["source"], edge["target"], edge.get("output"), edge.get("input"))
                builder._connections.setdefault(Connection(*ends), "from_dict")
        except (KeyError, TypeError, AttributeError) as error:
            raise ParameterError(problem=f"this is not a described workflow: {error!r}.") from None
        return builder

    def _add_described(self, step: Mapping[str, Any]) -> None:
        options = {name: step[name] for name in ("timeout_s", "on_error") if name in step}
        if "retry" in step:
            options["retry"] = Retry(**step["retry"])
        if "when" in step:
            options["when"] = unmark(step["when"])
        try:
            self.add_node(step["type"], step["id"], unmark(step["inputs"]), **options)
        except DefinitionError as error:
            error.at = f"from_dict, node {step['id']!r}"
            raise


def _registry_of(db: Any) -> Registry:
    found = getattr(db, "nodes", None)
    if isinstance(found, Registry):
        return found
    raise ParameterError(problem=f"db must be a DataFlow, not {shown(db)}.", at=caller_place())


def _reference_text(source: Step | None, step_id: str, wanted: str) -> str:
    """Return which reference to write instead of a handle."""
    outputs = source and source.node_type.outputs_with(source.inputs)
    if not outputs:
        return f'write {step_id}["<output>"]'
    likely = next((name for name in (wanted, "id") if name in outputs), next(iter(outputs)))
    line = f'write {step_id}["{likely}"]'
    shown = ", ".join(map(repr, list(outputs)[:12])) + (", …" if len(outputs) > 12 else "")
    return line if len(outputs) == 1 else f"{line}; its outputs are {shown}"


def _accepted(node_type: type[Node], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return inputs with the plain ones in their declared types."""
    plain, _ = split_inputs(inputs)
    return {**inputs, **node_type.accept(plain)}


def split_inputs(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the inputs without references, and the names of the others."""
    connected = [name for name, value in inputs.items() if any(find_references(value))]
    return {name: value for name, value in inputs.items() if name not in connected}, connected
