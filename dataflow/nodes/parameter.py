"""`NodeParameter`: one input of a node, as its schema says."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, get_args, get_origin

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from dataflow.errors import ParameterError

__all__ = ["REQUIRED", "NodeParameter", "is_compatible", "members_of", "type_text"]


class _Required:
    """The type of `REQUIRED`, which marks an input without a default."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


@dataclass(frozen=True)
class NodeParameter:
    """One input of a node.

    Attributes:
        annotation: The declared type; `Any` when none is declared.
        default: The value when none is given, or `REQUIRED`.
        aliases: Other accepted spellings.
    """

    name: str
    annotation: Any = Any
    default: Any = REQUIRED
    description: str | None = None
    aliases: tuple[str, ...] = field(default=())

    @property
    def required(self) -> bool:
        """Whether a value must be given or connected."""
        return self.default is REQUIRED

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The pydantic adapter of the type; anything goes where pydantic has no schema."""
        try:
            return TypeAdapter(self.annotation, config=ConfigDict(arbitrary_types_allowed=True))
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                return self._without_schema(error)
        try:
            return TypeAdapter(self.annotation)
        except PydanticUserError as error:
            return self._without_schema(error)

    def _without_schema(self, error: PydanticUserError) -> TypeAdapter[Any]:
        if isinstance(error, PydanticSchemaGenerationError):
            return TypeAdapter(Any)
        if error.code == "typed-dict-version":
            raise ParameterError(
                problem=f"input {self.name!r}: typing.TypedDict cannot be read before Python 3.12.",
                advise="import TypedDict from typing_extensions on Python < 3.12",
            ) from None
        raise error

    @property
    def type_name(self) -> str:
        """The type as a person writes it."""
        return type_text(self.annotation)


def type_text(annotation: Any) -> str:
    """Return an annotation as a person writes it."""
    if get_origin(annotation) is Annotated:
        return type_text(get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        return " | ".join(type_text(member) for member in get_args(annotation))
    if annotation is type(None):
        return "None"
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")


_LOOSE: dict[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def is_compatible(source: Any, target: Any) -> bool:
    """Whether a value of one declared type may go where another is expected.

    Only a sure mismatch is one: plain classes of which neither is the other.
    """
    return any(_fits(s, t) for s in members_of(source) for t in members_of(target))


def members_of(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union; another annotation is a union of one."""
    if get_origin(annotation) is Annotated:
        return members_of(get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        return tuple(m for arg in get_args(annotation) for m in members_of(arg))
    return (annotation,)


def _fits(source: Any, target: Any) -> bool:
    source, target = get_origin(source) or source, get_origin(target) or target
    if not isinstance(source, type) or not isinstance(target, type):
        return True
    if source is type(None):
        return False
    return (
        issubclass(source, target)
        or issubclass(target, source)
        or source in _LOOSE.get(target, ())
        or not (source.__module__ == target.__module__ == "builtins")
    )
