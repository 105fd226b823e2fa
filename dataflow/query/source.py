"""What filters, sorts and expressions name their fields in: a model, or a pipeline's stage."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from dataflow.errors import FilterError
from dataflow.models.columntypes import JsonValue
from dataflow.models.spec import FieldSpec

__all__ = ["MAX_PARTS", "Source", "place_of"]

MAX_PARTS = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


class Source(Protocol):
    """Named fields, each with a column or another SQL expression."""

    @property
    def fields(self) -> Mapping[str, FieldSpec]:
        """Return the fields by name; parts of known documents have dotted names."""
        ...

    def field(self, name: str, at: str | None = None) -> FieldSpec:
        """Return a field; an unknown name is an error with the nearest one."""
        ...


def place_of(source: Source, key: str, at: str | None = None) -> tuple[FieldSpec, tuple[str, ...]]:
    """Return the field that a dotted name begins with, and the path inside its document.

    Raises:
        UnknownFieldError: If there is no such field.
        FilterError: If the field holds no document, or the path is malformed.
    """
    found = source.fields.get(key)
    if found is not None:
        return found, ()
    head = key
    path: tuple[str, ...] = ()
    while "." in head:
        head, _, part = head.rpartition(".")
        path = (part, *path)
        found = source.fields.get(head)
        if found is not None:
            _check_path(found, key, path, at)
            return found, path
    return source.field(key.partition(".")[0], at), ()


def _check_path(field: FieldSpec, key: str, path: tuple[str, ...], at: str | None) -> None:
    if not isinstance(field.column.type, JsonValue):
        problem = f"field {field.name!r} holds no JSON, so {key!r} names nothing in it."
        raise FilterError(problem=problem, at=at)
    if not all(path) or len(path) > MAX_PARTS or not _is_storable("".join(path)):
        problem = f"the path {key!r} must have 1 to {MAX_PARTS} parts of plain text."
        raise FilterError(problem=problem, at=at)


def _is_storable(text: str) -> bool:
    """Whether a text has neither U+0000 nor lone surrogates, which no JSON key has."""
    return "\0" not in text and not _SURROGATE.search(text)
