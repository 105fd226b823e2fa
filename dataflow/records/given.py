"""What callers give as values of a record: dicts, or objects that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from dataflow.models.spec import ModelSpec

__all__ = ["rows_of", "values_of"]


def values_of(given: Any, spec: ModelSpec, *, changes: bool = False) -> Any:
    """Return the values of a pydantic model, a dataclass or an object of the model as a dict.

    Generated fields that are None have no value yet, and are left out.

    Args:
        given: The object; a mapping, and whatever else, is returned as it is.
        spec: The model that the values are for.
        changes: Whether fields that nobody has set on a pydantic model are left out.
    """
    if isinstance(given, Mapping):
        return given
    if isinstance(given, spec.model):
        known = {*spec.fields, *spec.relationships}
        values = {name: value for name, value in vars(given).items() if name in known}
    elif isinstance(given, BaseModel):
        values = given.model_dump(exclude_unset=changes)
    elif is_dataclass(given) and not isinstance(given, type):
        values = {field.name: getattr(given, field.name) for field in fields(given)}
    else:
        return given
    return {
        name: value
        for name, value in values.items()
        if value is not None or name not in spec.fields or spec.fields[name].generated is None
    }


def rows_of(given: list[Any], spec: ModelSpec, *, changes: bool = False) -> list[Any]:
    """Return the same for many; dicts cost next to nothing."""
    if set(map(type, given)) <= {dict}:
        return given
    return [values_of(row, spec, changes=changes) for row in given]
