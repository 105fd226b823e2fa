"""Values of a session's objects: validated, once, before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy.orm.attributes import instance_state

from dataflow.errors import RecordValidationError
from dataflow.models.declare import spec_for
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.query.filters import is_expression
from dataflow.records.validation import Problem, Validator

__all__ = ["check_changes", "check_new", "note_checked", "validator_of"]

_CHECKED = "dataflow_checked"
"""Where an object's state keeps the values that are validated already."""


@lru_cache(maxsize=1_024)
def validator_of(model: Any) -> Validator:
    """Return the validator of a model's objects; building one takes milliseconds."""
    return Validator(spec_for(model), encode=False)


def note_checked(record: Any, values: Mapping[str, Any]) -> None:
    """Note values of an object as validated: a flush looks at others alone."""
    instance_state(record).info.setdefault(_CHECKED, {}).update(values)


def check_new(record: Any, spec: ModelSpec) -> None:
    """Validate what a new object holds, and leave it there in the types of its fields.

    None stands for no value, as it does for SQLAlchemy: a default may follow.

    Raises:
        RecordValidationError: Naming every field that does not fit.
    """
    state, missing = instance_state(record), []
    checked, held = state.info.pop(_CHECKED, {}), state.dict
    values: dict[str, Any] = {}
    for name, field in spec.fields.items():
        value = held.get(name)
        if value is None:
            if field.required and not _is_filled_in(spec, field):
                missing.append(name)
        elif value is not checked.get(name) and not is_expression(value):
            values[name] = value
    _check(record, spec, values, missing)


def check_changes(record: Any, spec: ModelSpec) -> None:
    """Validate what has changed in an object since it was read or written, likewise.

    Raises:
        RecordValidationError: Naming every field that does not fit.
    """
    state = instance_state(record)
    checked, held = state.info.pop(_CHECKED, {}), state.dict
    values: dict[str, Any] = {}
    for name, before in state.committed_state.items():
        field, value = spec.fields.get(name), held.get(name)
        if field is None or (value is None and (field.nullable or _is_filled_in(spec, field))):
            continue
        if name in checked and value is checked[name]:
            continue
        if not is_expression(value) and (value is not before and value != before):
            values[name] = value
    _check(record, spec, values, ())


def _is_filled_in(spec: ModelSpec, field: FieldSpec) -> bool:
    """Whether the flush itself may still find the value: that of a link, or the tenant's."""
    return field is spec.tenant or bool(field.column.foreign_keys)


def _check(
    record: Any, spec: ModelSpec, values: Mapping[str, Any], missing: list[str] | tuple[()]
) -> None:
    if not values and not missing:
        return
    validator = validator_of(spec.model)
    problems: list[Problem] = [(None, name, "a value is required", None) for name in missing]
    try:
        found = validator.held(values)
    except RecordValidationError as error:
        raise validator.refuse([*problems, *error.problems]) from None
    if problems:
        raise validator.refuse(problems)
    for name, value in found.items():
        if value is not values[name] and not _is_same(value, values[name]):
            setattr(record, name, value)


def _is_same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    # Equal is not enough for 1.0 and True in a list, or for an instant of another zone.
    return bool(one == other) if type(one) is str else repr(one) == repr(other)
