"""Filter shapes, turned into SQLAlchemy conditions with numbered parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dataflow.models.columntypes import comparable
from dataflow.query.call import Call
from dataflow.query.filters import Shape
from dataflow.query.foreignjson import as_document
from dataflow.query.grouped import Grouped
from dataflow.query.inlist import InList
from dataflow.query.jsonmatch import JsonEqual, JsonMatch
from dataflow.query.regexmatch import RegexMatch
from dataflow.query.source import Source
from dataflow.query.text import ESCAPE

__all__ = ["condition_for"]

_GROUP = 50


class _Builder:
    """Builds the SQLAlchemy condition of a shape, numbering its parameters."""

    def __init__(self, source: Source, prefix: str) -> None:
        self.source = source
        self.prefix = prefix
        self.count = 0

    def build(self, shape: Shape) -> sa.ColumnElement[bool]:
        if not shape:
            return sa.true()
        kind = shape[0]
        if kind in ("and", "or", "not", "negate"):
            return self.logical(kind, [self.build(part) for part in shape[1:]])
        column = self.source.fields[shape[1]].column
        return self.comparison(kind, as_document(column, nulls=kind in _NULL_TESTS))

    def logical(self, kind: str, parts: list[sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
        if kind == "and":
            return _balanced(sa.and_, sa.true(), parts)
        if kind == "or":
            return _balanced(sa.or_, sa.false(), parts)
        if kind == "negate":
            return sa.not_(parts[0])
        # NOT of an unknown is unknown; a negated filter matches what the filter does not.
        return sa.not_(sa.func.coalesce(parts[0], sa.false()))

    def comparison(self, kind: str, column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        if kind in _NULL_TESTS:
            return _NULL_TESTS[kind](column)
        if kind in _ELEMENTS:
            element, values = _ELEMENTS[kind]
            return element(column, *(self.name() for _ in range(values)))
        return _COMPARE[kind](column, sa.bindparam(self.name(), type_=comparable(column.type)))

    def name(self) -> str:
        """Return the name of the next parameter."""
        self.count += 1
        return f"{self.prefix}{self.count - 1}"


def _balanced(
    join: Callable[..., sa.ColumnElement[bool]],
    neutral: sa.ColumnElement[bool],
    parts: list[sa.ColumnElement[bool]],
) -> sa.ColumnElement[bool]:
    """Join conditions in groups, because SQLite limits the depth of an expression."""
    while len(parts) > _GROUP:
        starts = range(0, len(parts), _GROUP)
        groups = [join(neutral, *parts[start : start + _GROUP]) for start in starts]
        parts = [Grouped(group) for group in groups]
    return join(neutral, *parts)


_NULL_TESTS: dict[str, Callable[[Any], sa.ColumnElement[bool]]] = {
    "null": lambda column: column.is_(None),
    "notnull": lambda column: column.is_not(None),
}
_ELEMENTS: dict[str, tuple[Callable[..., sa.ColumnElement[bool]], int]] = {
    "in": (InList, 1),
    "regex": (RegexMatch, 2),
    "json": (JsonMatch, 1),
    "json equal": (JsonEqual, 3),
}
_COMPARE: dict[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "$eq": lambda column, value: column == value,
    "$ne": lambda column, value: column != value,
    "distinct": lambda column, value: column.is_distinct_from(value),
    "$gt": lambda column, value: column > value,
    "$gte": lambda column, value: column >= value,
    "$lt": lambda column, value: column < value,
    "$lte": lambda column, value: column <= value,
    "like": lambda column, value: column.like(value, escape=ESCAPE),
    "ilike": lambda column, value: Call("ilike", column, value, type_=sa.Boolean()),
}


def condition_for(source: Source, shape: Shape, prefix: str = "w") -> sa.ColumnElement[bool]:
    """Return the WHERE condition of a shape, with parameters `w0`, `w1`, …."""
    return _Builder(source, prefix).build(shape)
