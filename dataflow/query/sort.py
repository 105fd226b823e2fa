"""Sort orders, in every spelling that is accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from dataflow.errors import FilterError, shown
from dataflow.models.spec import ModelSpec
from dataflow.query.foreignjson import is_document

__all__ = ["Sort", "order_for", "parse_sort", "total_order"]

Sort = tuple[tuple[str, bool], ...]
"""`((field, descending), …)`"""

_DIRECTIONS = {1: False, -1: True, "asc": False, "desc": True, "ASC": False, "DESC": True}


def parse_sort(spec: ModelSpec, sort: Any, at: str | None = None) -> Sort:
    """Return the order as pairs of field name and whether it descends.

    Args:
        spec: The model.
        sort: `{"created_at": -1}`, `"-created_at"`, `["-created_at", "name"]`,
            `[("created_at", -1)]` or `[{"field": "created_at", "direction": "desc"}]`.
        at: The caller's place, for errors.

    Raises:
        UnknownFieldError: For a field that the model lacks.
        FilterError: For another shape or direction.
    """
    if sort is None:
        return ()
    items: Sequence[Any]
    if isinstance(sort, Mapping) and "field" not in sort:
        items = list(sort.items())
    elif isinstance(sort, str | Mapping):
        items = [sort]
    elif isinstance(sort, Sequence):
        items = sort
    else:
        raise FilterError(problem=f"a sort cannot be {shown(sort)}.", at=at)
    pairs = tuple(_pair(item, at) for item in items)
    for name, _ in pairs:
        if is_document(spec.field(name, at).column.type):
            raise FilterError(problem=f"field {name!r} holds JSON and has no order.", at=at)
    return pairs


def _pair(item: Any, at: str | None) -> tuple[str, bool]:
    if isinstance(item, str):
        return item[1:] if item.startswith(("+", "-")) else item, item.startswith("-")
    if isinstance(item, Mapping):
        known_keys = set(item) <= {"field", "direction"}
        name, direction = item.get("field") if known_keys else None, item.get("direction", 1)
    elif isinstance(item, Sequence) and len(item) == 2:
        name, direction = item
    else:
        name = direction = None
    known = isinstance(direction, str | int) and direction in _DIRECTIONS
    if not isinstance(name, str) or not known:
        raise FilterError(
            problem=f"a sort entry cannot be {shown(item)}.",
            advise='write "-created_at", {"created_at": -1} or {"field": …, "direction": "desc"}',
            at=at,
        )
    return name, _DIRECTIONS[direction]


def total_order(spec: ModelSpec, sort: Sort) -> Sort:
    """Return the order with the key added, so that no two records are equal in it."""
    if not sort:
        return _by(spec.key)
    names = [name for name, _ in sort]
    down = bool(sort) and sort[-1][1]
    return (*sort, *((name, down) for name in spec.key if name not in names))


@lru_cache(maxsize=1_000)
def _by(names: tuple[str, ...]) -> Sort:
    return tuple((name, False) for name in names)


def order_for(spec: ModelSpec, sort: Sort) -> list[sa.ColumnElement[Any]]:
    """Return ORDER BY entries; null sorts below every value, on every database."""
    entries: list[sa.ColumnElement[Any]] = []
    for name, descending in sort:
        field = spec.fields[name]
        entry = field.column.desc() if descending else field.column.asc()
        if field.nullable:
            entry = entry.nulls_last() if descending else entry.nulls_first()
        entries.append(entry)
    return entries
