"""The annotations of a class, resolved one by one, with the place where it stands."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar, Final, get_origin

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, MappedColumn, declared_attr

from dataflow.errors import AnnotationError, did_you_mean
from dataflow.models.base import Model

__all__ = ["Hints", "hints_of"]

_HEAD = re.compile(r"[\s\"']*([\w.]+)")
_BUILTIN = ("int", "float", "bool", "str", "bytes", "list", "dict", "set", "frozenset", "tuple")


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
            AnnotationError: If it is malformed.
        """
        annotation, owner = self.raw[name]
        scope = _scope(owner)
        if _means(annotation, Final, {**scope, **self.names}):
            raise self.refusal(name, "the values of a column are never Final.", "leave Final out")
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints = typing.get_type_hints(holder, scope, {**self.names}, include_extras=True)
        except NameError:
            raise
        except Exception as error:  # noqa: BLE001 - a text is code, and may raise anything
            reason = str(error) or type(error).__name__
            problem = f"the annotation {annotation!r} cannot be read: {reason.rstrip('.')}."
            raise self.refusal(name, problem) from None
        return hints[name]

    def unknown_name(self, field: str, name: str) -> AnnotationError:
        """Return the error for an annotation with a name that does not exist."""
        known = {**_scope(self.raw[field][1]), **self.names}.items()
        kinds = [key for key, value in known if isinstance(value, type)]
        return self.refusal(
            field,
            f"the annotation names {name!r}, which is not defined.",
            did_you_mean(name, [*_BUILTIN, *kinds], "import it, or define it before the model"),
        )

    def refusal(self, field: str, problem: str, advise: str | None = None) -> AnnotationError:
        """Return the error for a field that the class cannot have."""
        return AnnotationError(
            field=field,
            model=self.model.__name__,
            problem=problem,
            advise=advise,
            at=self.location,
        )

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
    names = dict(frame.f_locals) if frame is not None else {}
    for base in reversed(model.__mro__[:-1]):
        if base is Model:
            continue
        scope = {**_scope(base), **names}
        for name, annotation in inspect.get_annotations(base).items():
            if not name.startswith("__") and not _means(annotation, ClassVar, scope):
                raw[name] = (annotation, base)
    return Hints(model, raw, names, _location(model, frame))


def _scope(owner: type) -> dict[str, Any]:
    module = sys.modules.get(owner.__module__)
    return {**vars(module)} if module else {}


def _means(annotation: Any, form: Any, scope: Mapping[str, Any]) -> bool:
    """Whether an annotation is a special form such as `ClassVar`, by itself or of something."""
    if not isinstance(annotation, str):
        return annotation is form or get_origin(annotation) is form
    head = _HEAD.match(annotation)
    if head is None:
        return False
    first, *rest = head[1].split(".")
    told = reduce(lambda found, name: getattr(found, name, None), rest, scope.get(first))
    # What is imported for type checkers alone is known by its name.
    return told is form or (told is None and [first, *rest][-1] == form.__name__)


def _location(model: type, frame: types.FrameType | None) -> str:
    if frame is None:
        return model.__module__
    filename = frame.f_code.co_filename
    line = frame.f_lineno
    return f"{filename}:{line}"
