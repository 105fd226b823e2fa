"""Models as pydantic types: what FastAPI and other users of pydantic answer with and take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Annotated, Any, NotRequired

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, with_config
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from dataflow.models.spec import ModelSpec

__all__ = ["core_schema", "let_pydantic_know"]

_HOOK = "__get_pydantic_core_schema__"
"""The class method that pydantic asks for the schema of a type that is not its own."""


def let_pydantic_know(spec: ModelSpec) -> None:
    """Make a model's class a type that pydantic knows, unless it is one."""
    if hasattr(spec.model, _HOOK) or is_dataclass(spec.model):
        return

    setattr(spec.model, _HOOK, classmethod(lambda _, __, handler: core_schema(spec, handler)))


def core_schema(spec: ModelSpec, handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return the schema of a model's records: objects of the class, or dicts.

    All fields may be missing, since the database fills some in and a query may leave some
    out. Fields with `secret=True` are taken, and never given out.

    Args:
        spec: The model.
        handler: Makes the schemas of the fields' types.
    """
    hints = {
        name: NotRequired[Annotated[field.annotation, Field(exclude=field.info.secret)]]
        for name, field in spec.fields.items()
    }
    settings = ConfigDict(extra="forbid", title=spec.name)
    record = with_config(settings)(TypedDict(spec.name, hints))  # type: ignore[operator]  # built from data
    return handler.generate_schema(Annotated[record, BeforeValidator(_as_record(spec))])


def _as_record(spec: ModelSpec) -> Callable[[Any], Any]:
    def as_record(value: Any) -> Any:
        """Return what an object has loaded; whatever else was given, as it is."""
        if not isinstance(value, spec.model):
            return value
        return {name: item for name, item in vars(value).items() if name in spec.fields}

    return as_record
