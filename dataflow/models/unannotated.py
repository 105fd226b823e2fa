"""Values in the body of a model class that lack the annotation which makes a field."""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import uuid
from decimal import Decimal
from typing import Any

from dataflow.errors import AnnotationError
from dataflow.models.fields import FieldInfo
from dataflow.models.hints import Hints

__all__ = ["refuse_unannotated"]

_PLAIN = (
    bool, int, float, str, bytes, Decimal, dt.date, dt.time, dt.timedelta, uuid.UUID,
    enum.Enum, list, dict, set, frozenset, tuple, type(None), FieldInfo,
)  # fmt: skip
"""Types of values that a field may have; methods, descriptors and classes are others."""


def refuse_unannotated(model: type, hints: Hints) -> None:
    """Refuse values without an annotation in the classes that give fields.

    Raises:
        AnnotationError: Naming the first, with the line to write instead.
    """
    annotated = {name for base in model.__mro__ for name in inspect.get_annotations(base)}
    for base in {model: None} | {owner: None for _, owner in hints.raw.values()}:
        for name, value in vars(base).items():
            if name.startswith("_") or name in annotated or not isinstance(value, _PLAIN):
                continue
            raise AnnotationError(
                field=name,
                model=model.__name__,
                problem="it has a value, but no annotation, and would be no column.",
                advise=_fix(name, value),
                at=hints.location,
            )


def _fix(name: str, value: Any) -> str:
    if value is None:
        return f"write {name}: <type> | None = None"
    if isinstance(value, FieldInfo):
        return f"write {name}: <type> = Field(…)"
    kind = type(value).__name__
    text = str(value) if isinstance(value, enum.Enum) else repr(value)
    shown = text if len(text) <= 40 else "…"
    return (
        f"write {name}: {kind} = {shown}; or {name}: ClassVar[{kind}] = {shown} if it is no field"
    )
