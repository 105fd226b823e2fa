"""What filters, sorts and expressions name their fields in: a model, or a pipeline's stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dataflow.errors import FilterError
from dataflow.models.plaintext import is_storable
from dataflow.models.spec import FieldSpec
from dataflow.query.foreignjson import has_parts
from dataflow.query.kinds import Array, Document, Kind, PackedJson, Scalar

__all__ = ["MAX_PARTS", "Source", "place_of"]

MAX_PARTS = 32


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
    name = key.partition(".")[0]
    if name in getattr(source, "link_names", ()):
        problem = f"{name!r} is a link, and filters compare fields."
        advise = "filter by the field that holds the key, or by the other model's records"
        raise FilterError(problem=problem, advise=advise, at=at)
    return source.field(name, at), ()


def _check_path(field: FieldSpec, key: str, path: tuple[str, ...], at: str | None) -> None:
    if not has_parts(field.column.type):
        problem = f"field {field.name!r} holds no JSON, so {key!r} names nothing in it."
        raise FilterError(problem=problem, at=at)
    if isinstance(field.column.type, PackedJson):
        _check_packed(field.column.type.kind, key, path, at)
    if not all(path) or len(path) > MAX_PARTS or not is_storable("".join(path)):
        problem = f"the path {key!r} must have 1 to {MAX_PARTS} parts of plain text."
        raise FilterError(problem=problem, at=at)


def _check_packed(kind: Kind, key: str, path: tuple[str, ...], at: str | None) -> None:
    """Refuse to compare values that are encoded as text in a list that a stage made."""
    for part in path:
        kind = kind.item if isinstance(kind, Array) else kind
        if isinstance(kind, Document):
            kind = kind.fields.get(part, kind)
    if isinstance(kind, Scalar) and kind.family in _ENCODED:
        problem = f"{key!r} holds {kind.name} inside a list, which a filter cannot compare."
        raise FilterError(problem=problem, advise="$unwind the list first", at=at)


_ENCODED = ("decimal", "instant", "time", "duration", "uuid", "bytes")
