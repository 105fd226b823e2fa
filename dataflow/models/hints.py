"""The annotations of a class, resolved one by one, with the place where it stands."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_origin

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, MappedColumn, declared_attr

from dataflow.models.base import Model

__all__ = ["Hints", "hints_of"]


@dataclass(frozen=True, slots=True)
class Hints:
    """Annotations and class values of a model class.

    Attributes:
        raw: `{name: annotation as written}`, base classes first.
        location: `"file:line"` of the class.
    """

    model: type
    raw: Mapping[str, tuple[Any, type]]
    names: Mapping[str, Any]
    location: str

    def value(self, name: str, default: Any) -> Any:
        """Return the class value to the right of an annotation, or the default."""
        for base in self.model.__mro__:
            if name in vars(base):
                return vars(base)[name]
        return default

    def resolved(self, name: str) -> Any:
        """Return an annotation with its texts evaluated.

        Raises:
            NameError: If it names something that does not exist.
        """
        annotation, owner = self.raw[name]
        module = sys.modules.get(owner.__module__)
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        scope = {**vars(module)} if module else {}
        hints = typing.get_type_hints(holder, scope, {**self.names}, include_extras=True)
        return hints[name]

    def is_declarative(self) -> bool:
        """Whether the class is written in SQLAlchemy's declarative style."""
        for base in self.model.__mro__[:-1]:
            if any(
                isinstance(value, MappedColumn | sa.Column | declared_attr)
                for value in vars(base).values()
            ):
                return True
        return any(_is_mapped(annotation) for annotation, _ in self.raw.values())


def _is_mapped(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("Mapped[", "orm.Mapped[", "sqlalchemy.orm.Mapped["))
    return get_origin(annotation) is Mapped


def hints_of(model: type, frame: types.FrameType | None) -> Hints:
    """Collect the annotations of a class and its plain bases.

    Args:
        model: The class that is being decorated.
        frame: The frame in which it is decorated; its names resolve annotations
            given as text, and its line is the model's location.
    """
    raw: dict[str, tuple[Any, type]] = {}
    for base in reversed(model.__mro__[:-1]):
        if base is Model:
            continue
        for name, annotation in inspect.get_annotations(base).items():
            if not name.startswith("__") and not _is_class_variable(annotation):
                raw[name] = (annotation, base)
    names = dict(frame.f_locals) if frame is not None else {}
    return Hints(model, raw, names, _location(model, frame))


def _is_class_variable(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.startswith(("ClassVar", "typing.ClassVar"))
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _location(model: type, frame: types.FrameType | None) -> str:
    if frame is None:
        return model.__module__
    filename = frame.f_code.co_filename
    line = frame.f_lineno
    return f"{filename}:{line}"
