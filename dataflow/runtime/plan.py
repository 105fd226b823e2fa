"""`Plan`: a workflow prepared for running, so that a run only walks arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from dataflow.nodes.node import Node
from dataflow.runtime.references import InputReference, Reference, find_references
from dataflow.runtime.threads import threads
from dataflow.runtime.workflow import Step, Workflow

__all__ = ["Binding", "Plan", "PlannedStep", "Template", "plan_workflow"]


class Binding(NamedTuple):
    """An input that takes an output whole."""

    input: str
    source: int
    output: str


class Template(NamedTuple):
    """An input with references inside, and where each finds its value."""

    input: str
    value: Any
    sources: tuple[tuple[Reference, int], ...]


class PlannedStep:
    """One step, ready to run.

    Attributes:
        static: Inputs that are the same in every run.
        copied: Names of those that a run gets a copy of, because it may change them.
        edges: `(source index, output)` of each data edge, for skipping.
        copied_all: Whether values given to a run are copied too.
        trusted: Whether outputs need no check: the step is one of our own nodes.
        conditional: Whether the step may be skipped.
        simple: Whether it has no retry, timeout, condition or own error handling.
    """

    __slots__ = (
        "bindings", "call", "conditional", "copied", "copied_all", "edges", "followers", "id",
        "index", "inputs_used", "is_async", "node_type", "simple", "static", "step", "templates", "trusted", "waits",
    )  # fmt: skip

    def __init__(self, index: int, step: Step) -> None:
        """Make the node object and choose how it is called."""
        self.index = index
        self.id = step.id
        self.step = step
        self.node_type = step.node_type
        self.call, self.is_async = _call_of(step.node_type)
        self.static: dict[str, Any] = {}
        self.copied: tuple[str, ...] = ()
        self.copied_all = step.node_type.mutates_inputs
        self.trusted = not step.node_type.mutates_inputs
        self.bindings: tuple[Binding, ...] = ()
        self.templates: tuple[Template, ...] = ()
        self.inputs_used: tuple[tuple[str, str], ...] = ()
        self.edges: tuple[tuple[int, str], ...] = ()
        self.followers: tuple[int, ...] = ()
        self.waits = 0
        self.conditional = False
        self.simple = False


class Plan(NamedTuple):
    """All steps in a possible serial order, with the indexes of those that wait for none.

    Holds no reference to its workflow, whose last user decides how long both live.
    """

    name: str
    steps: tuple[PlannedStep, ...]
    roots: tuple[int, ...]
    waits: tuple[int, ...]
    databases: tuple[Any, ...]

    def places(self, ids: Collection[str]) -> dict[str, str]:
        """Return `{step id: "file:line"}` where steps were added."""
        return {step.id: step.step.location for step in self.steps if step.id in ids}


def _call_of(node_type: type[Node]) -> tuple[Callable[..., Any], bool]:
    run = node_type().run
    if inspect.iscoroutinefunction(run):
        return run, True
    if not node_type.blocking:
        return run, False

    return partial(threads.run, run), True


def plan_workflow(workflow: Workflow) -> Plan:
    """Precompute followers, bindings and conditions of every step."""
    index = {step_id: number for number, step_id in enumerate(workflow.steps)}
    steps = [PlannedStep(number, step) for number, step in enumerate(workflow.steps.values())]
    pairs = {(index[edge.source], index[edge.target]) for edge in workflow.connections}
    pairs |= {(index[earlier], index[later]) for earlier, later in workflow.hazards}
    followers: list[list[int]] = [[] for _ in steps]
    for source, target in sorted(pairs):
        followers[source].append(target)
        steps[target].waits += 1
    for step, after in zip(steps, followers, strict=True):
        step.followers = tuple(after)
    for step in steps:
        _bind(step, workflow, index)
    _mark_conditional(steps)
    for step in steps:
        plain = step.step.retry is None and step.step.timeout_s is None
        step.simple = (
            plain and not step.conditional and step.step.on_error == "fail"
            and not step.templates and not step.inputs_used
        )  # fmt: skip
    return Plan(
        name=workflow.name,
        steps=tuple(steps),
        roots=tuple(step.index for step in steps if not step.waits),
        waits=tuple(step.waits for step in steps),
        databases=_databases(workflow),
    )


def _bind(step: PlannedStep, workflow: Workflow, index: Mapping[str, int]) -> None:
    static, templates, used = {}, [], []
    for name, value in step.step.inputs.items():
        found = list(find_references(value))
        references = [f.reference for f in found if isinstance(f.reference, Reference)]
        if not found:
            static[name] = value
        elif isinstance(value, InputReference):
            used.append((name, value.name))
        elif not isinstance(value, Reference):
            sources = tuple((reference, index[reference.step]) for reference in references)
            templates.append(Template(name, value, sources))
    bindings: dict[str, Binding] = {}
    edges = []
    templated = {template.input for template in templates}
    for edge in workflow.connections:
        if edge.target != step.id or edge.output is None or edge.input is None:
            continue
        source = index[edge.source]
        if edge.input != "when" or step.step.when != Reference(edge.source, edge.output):
            edges.append((source, edge.output))
            if edge.input not in templated:
                bindings[edge.input] = Binding(edge.input, source, edge.output)
    step.static = {name: value for name, value in static.items() if name not in bindings}
    if step.node_type.mutates_inputs:
        step.copied = tuple(n for n, v in step.static.items() if isinstance(v, dict | list | tuple))
    step.bindings = tuple(bindings.values())
    step.templates = tuple(templates)
    step.inputs_used = tuple(used)
    step.edges = tuple(edges)


def _mark_conditional(steps: Sequence[PlannedStep]) -> None:
    """Mark the steps that may be skipped; sources come before their targets."""
    for step in steps:
        step.conditional = step.step.when is not None or any(
            steps[source].conditional or steps[source].node_type.branches
            for source, _ in step.edges
        )


def _databases(workflow: Workflow) -> tuple[Any, ...]:
    found: dict[Any, None] = {}
    for step in workflow.steps.values():
        if step.node_type.database is not None:
            found[step.node_type.database] = None
    return tuple(found)
