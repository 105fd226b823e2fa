"""The checks of `build()`: every problem of a workflow, reported together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from dataflow.errors import did_you_mean
from dataflow.nodes.parameter import is_compatible, type_text
from dataflow.runtime.order import find_cycle
from dataflow.runtime.references import InputReference, Reference, find_references
from dataflow.runtime.workflow import Connection, Step, WorkflowInput

__all__ = ["check_workflow"]


def check_workflow(
    steps: Mapping[str, Step],
    connections: Mapping[Connection, str],
    inputs: Mapping[str, WorkflowInput],
) -> list[str]:
    """Return all problems as sentences with their place; empty when fine."""
    if not steps:
        return ["it has no nodes"]
    problems = [*_unknown_ends(steps, connections), *_unknown_inputs(steps, inputs)]
    known = {
        edge: place
        for edge, place in connections.items()
        if edge.source in steps and edge.target in steps
    }
    for edge, place in known.items():
        problems += [f"{text}\n     at: {place}" for text in _edge_problems(steps, edge)]
    problems += _missing(steps, known)
    cycle = find_cycle(list(steps), {(edge.source, edge.target) for edge in known})
    if cycle:
        problems.append(f"the connections form a cycle: {' → '.join(cycle)}")
    return problems


def _unknown_ends(
    steps: Mapping[str, Step], connections: Mapping[Connection, str]
) -> Iterator[str]:
    for edge, place in connections.items():
        for end in (edge.source, edge.target):
            if end not in steps:
                yield f"a connection names node {end!r}, which does not exist; " + (
                    f"{did_you_mean(end, steps)}\n     at: {place}"
                )


def _unknown_inputs(
    steps: Mapping[str, Step], inputs: Mapping[str, WorkflowInput]
) -> Iterator[str]:
    for step in steps.values():
        for found in find_references([dict(step.inputs), step.when]):
            if not isinstance(found.reference, InputReference):
                continue
            problem = _input_problem(step, found.path, found.reference.name, inputs)
            if problem:
                yield f"{problem}\n     at: {step.location}"


def _input_problem(
    step: Step, path: tuple[Any, ...], name: str, inputs: Mapping[str, WorkflowInput]
) -> str | None:
    declared = inputs.get(name)
    if declared is None:
        return (
            f"node {step.id!r} uses the workflow input {name!r}, which is not declared; "
            f"add_input({name!r})"
        )
    whole = len(path) == 2 and path[0] == 0
    wanted = step.node_type.input_type(str(path[1])) if whole else Any
    if is_compatible(declared.annotation, wanted):
        return None
    return (
        f"the workflow input {name!r} is {type_text(declared.annotation)}, but "
        f"{step.id}.{path[1]} takes {type_text(wanted)}"
    )


def _edge_problems(steps: Mapping[str, Step], edge: Connection) -> Iterator[str]:
    if edge.output is None or edge.input is None:
        return
    source, target = steps[edge.source].node_type, steps[edge.target].node_type
    outputs = _outputs_of(steps[edge.source])
    if outputs is not None and edge.output not in outputs:
        yield (
            f"node {edge.source!r} ({source.node_type}) has no output {edge.output!r}; "
            f"{did_you_mean(edge.output, outputs)}"
        )
        return
    if _is_reference(steps[edge.target], edge):
        return
    problems = target.check_inputs({}, [edge.input])
    if problems:
        yield f"node {edge.target!r} ({target.node_type}): {'; '.join(problems)}"
    elif outputs is not None:
        given, wanted = outputs[edge.output], target.input_type(edge.input)
        if not is_compatible(given, wanted):
            yield (
                f"{edge.source}.{edge.output} is {type_text(given)}, but "
                f"{edge.target}.{edge.input} takes {type_text(wanted)}"
            )


def _outputs_of(step: Step) -> dict[str, Any] | None:
    """Return a step's outputs; one that may go on after an error has three more."""
    outputs = step.node_type.outputs_with(step.inputs)
    if outputs is None or step.on_error != "continue":
        return outputs
    return {**dict.fromkeys(("error", "error_type", "failed"), Any), **outputs}


def _is_reference(step: Step, edge: Connection) -> bool:
    """Whether an edge came from a reference inside a value, checked when it was added."""
    when = step.when
    if edge.input == "when" and when == Reference(edge.source, edge.output or ""):
        return True
    value = step.inputs.get(edge.input or "")
    return isinstance(value, dict | list | tuple) and any(find_references(value))


def _missing(steps: Mapping[str, Step], connections: Mapping[Connection, str]) -> Iterator[str]:
    connected: dict[str, set[str]] = defaultdict(set)
    for edge in connections:
        if edge.input is not None:
            connected[edge.target].add(edge.input)
    for step in steps.values():
        given = {*step.inputs, *connected[step.id]}
        for problem in step.node_type.check_missing(given):
            yield f"node {step.id!r} ({step.node_type.node_type}): {problem}\n     at: {step.location}"
