"""The error for what is stored and does not fit the declared type."""

from __future__ import annotations

from pydantic import ValidationError

from dataflow.errors import DataFlowError, StoredValueError
from dataflow.models.spec import ModelSpec

__all__ = ["unreadable"]

_MASK = "***"


def unreadable(error: Exception, spec: ModelSpec, name: str) -> DataFlowError:
    """Return our error for one that the conversion of a value raised.

    Args:
        error: What was raised; it may hold the value.
        spec: The model that was read.
        name: The field; a value that is not one of the model's own is not shown.
    """
    if isinstance(error, DataFlowError):
        return error
    field = spec.fields.get(name)
    is_shown = field is not None and not field.info.secret
    reason = _reason(error) if is_shown else _MASK
    return StoredValueError(model=spec.name, field=name, reason=reason)


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return ": ".join([*(".".join(map(str, first["loc"])),) * bool(first["loc"]), first["msg"]])
    return str(error).partition("\n")[0] or type(error).__name__
