"""Workflows as JSON values: references and literals that look like them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from dataflow.errors import WorkflowDefinitionError
from dataflow.runtime.references import InputReference, Reference
from dataflow.runtime.retry import Retry

__all__ = ["describe_retry", "mark", "read_type", "unmark", "write_type"]

_TYPES = {"any": Any, **{t.__name__: t for t in (int, float, str, bool, list, dict)}}
_MARKS = ({"$ref"}, {"$input"}, {"$literal"})


def write_type(annotation: Any, place: str, workflow: str) -> str:
    """Return the name of a plain type.

    Raises:
        WorkflowDefinitionError: For a type that JSON has no name for.
    """
    for name, known in _TYPES.items():
        if annotation is known:
            return name
    text = f"{place} has the type {annotation!r}, which cannot be written as JSON"
    raise WorkflowDefinitionError(workflow=workflow, problems=(text,))


def read_type(name: str) -> Any:
    """Return the type that `write_type` named."""
    return _TYPES[name]


def mark(value: Any, place: str, workflow: str) -> Any:
    """Return a value as JSON, references as dicts that `unmark` recognises.

    Raises:
        WorkflowDefinitionError: For a value that JSON cannot carry.
    """
    try:
        return to_jsonable_python(_mark(value))
    except ValueError as error:
        text = f"{place} cannot be written as JSON: {error}"
        raise WorkflowDefinitionError(workflow=workflow, problems=(text,)) from None


def _mark(value: Any) -> Any:
    if isinstance(value, Reference):
        return {"$ref": [value.step, value.output]}
    if isinstance(value, InputReference):
        return {"$input": value.name}
    if isinstance(value, Mapping):
        marked = {key: _mark(item) for key, item in value.items()}
        return {"$literal": marked} if set(marked) in _MARKS else marked
    if isinstance(value, list | tuple):
        return [_mark(item) for item in value]
    return value


def unmark(value: Any) -> Any:
    """Return a value with its references restored."""
    if isinstance(value, Mapping):
        if set(value) == {"$ref"}:
            return Reference(*value["$ref"])
        if set(value) == {"$input"}:
            return InputReference(value["$input"])
        if set(value) == {"$literal"}:
            value = value["$literal"]
        return {key: unmark(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unmark(item) for item in value]
    return value


def describe_retry(retry: Retry, place: str, workflow: str) -> dict[str, Any]:
    """Return a policy as JSON.

    Raises:
        WorkflowDefinitionError: If it names exceptions, which JSON cannot carry.
    """
    if retry.on != (Exception,):
        text = f"{place} retries on named exceptions, which cannot be written as JSON"
        raise WorkflowDefinitionError(workflow=workflow, problems=(text,))
    return {
        "attempts": retry.attempts,
        "delay_s": retry.delay_s,
        "factor": retry.factor,
        "max_delay_s": retry.max_delay_s,
        "jitter": retry.jitter,
    }
