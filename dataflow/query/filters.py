"""Filters: from a MongoDB-style dict to a shape and its values, then to SQL.

A *shape* is the filter without its values: a nested tuple that can be hashed. SQL
is compiled once per shape; values only fill its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from dataflow.errors import FilterError, did_you_mean
from dataflow.models.columntypes import JsonValue
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.query.grouped import Grouped
from dataflow.query.inlist import InList
from dataflow.query.text import ESCAPE, pattern_for, pattern_of_regex

__all__ = ["EMPTY", "MAX_DEPTH", "MAX_TERMS", "Filter", "Validate", "condition_for", "parse_filter"]

MAX_DEPTH = 32
MAX_TERMS = 1_000
_GROUP = 50

Shape = tuple[Any, ...]


class Validate(Protocol):
    """Checks values against a field and returns them in the declared type."""

    def value(self, field: FieldSpec, value: Any) -> Any:
        """Raise RecordValidationError when the value does not fit."""

    def values(self, field: FieldSpec, values: list[Any]) -> list[Any]:
        """Do the same for many values in one call."""
        ...


class Filter(NamedTuple):
    """A parsed filter.

    Attributes:
        shape: The structure, hashable.
        values: The values in the order of the shape's parameters `w0`, `w1`, ….
    """

    shape: Shape
    values: tuple[Any, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the values by parameter name."""
        return {f"w{number}": value for number, value in enumerate(self.values)}


EMPTY = Filter((), ())


class _Parser:
    """One walk over a filter; collects values while it builds the shape."""

    def __init__(self, spec: ModelSpec, validate: Validate, at: str | None) -> None:
        self.spec = spec
        self.validate = validate
        self.at = at
        self.values: list[Any] = []
        self.terms = 0

    def refuse(self, problem: str, advise: str | None = None) -> FilterError:
        return FilterError(problem=problem, advise=advise, at=self.at)

    def document(self, document: Any, depth: int) -> Shape:
        if depth > MAX_DEPTH:
            raise self.refuse(f"the filter is nested deeper than {MAX_DEPTH}.")
        if not isinstance(document, Mapping):
            raise self.refuse(f"a filter must be a dict, not {type(document).__name__}.")
        parts = [self.entry(key, value, depth) for key, value in document.items()]
        parts = [part for part in parts if part]
        return parts[0] if len(parts) == 1 else ("and", *parts) if parts else ()

    def entry(self, key: Any, value: Any, depth: int) -> Shape:
        if not isinstance(key, str):
            raise self.refuse(f"a filter's keys must be texts, not {key!r}.")
        if key.startswith("$"):
            return self.logical(key, value, depth)
        field = self.spec.fields.get(key)
        if field is None:
            self.spec.field(key, self.at)
            raise AssertionError
        return self.field(field, value, depth)

    def logical(self, operator: str, value: Any, depth: int) -> Shape:
        if operator == "$not":
            return ("not", self.document(value, depth + 1))
        if operator not in ("$and", "$or", "$nor"):
            known = (*_OPERATORS, "$and", "$or", "$nor", "$not")
            raise self.refuse(
                f"there is no operator {operator!r} for whole filters.",
                did_you_mean(operator, known),
            )
        if not isinstance(value, list | tuple) or not value:
            raise self.refuse(f"{operator} takes a non-empty list of filters.")
        parts = tuple(self.document(item, depth + 1) for item in value)
        if operator == "$and":
            parts = tuple(part for part in parts if part)
            return ("and", *parts) if parts else ()
        either: Shape = ("or", *parts) if all(parts) else ()
        return ("not", either) if operator == "$nor" else either

    def field(self, field: FieldSpec, value: Any, depth: int) -> Shape:
        if not isinstance(value, Mapping):
            return self.term("$eq", field, value)
        if not value:
            raise self.refuse(f"the filter of field {field.name!r} is an empty dict.")
        parts = [self.operator(field, key, item, depth) for key, item in value.items()]
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def operator(self, field: FieldSpec, operator: Any, value: Any, depth: int) -> Shape:
        if operator == "$not":
            if depth >= MAX_DEPTH:
                raise self.refuse(f"the filter is nested deeper than {MAX_DEPTH}.")
            return ("not", self.field(field, value, depth + 1))
        if operator not in _OPERATORS:
            raise self.refuse(
                f"there is no operator {operator!r} (in the filter of field {field.name!r}).",
                did_you_mean(str(operator), (*_OPERATORS, "$not")),
            )
        return self.term(operator, field, value)

    def term(self, operator: str, field: FieldSpec, value: Any) -> Shape:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.refuse(f"the filter has more than {MAX_TERMS} terms.")
        if isinstance(field.column.type, JsonValue) and operator not in ("$null", "$exists"):
            raise self.refuse(f"field {field.name!r} holds JSON, which {operator} cannot compare.")
        return _OPERATORS[operator](self, operator, field, value)

    def value(self, field: FieldSpec, value: Any) -> None:
        self.values.append(self.validate.value(field, value))

    def many(self, operator: str, field: FieldSpec, values: Any) -> list[Any]:
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise self.refuse(f"{operator} of field {field.name!r} takes a list.")
        return list(values)


def _equality(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if value is None:
        return ("null" if operator == "$eq" else "notnull", field.name)
    parser.value(field, value)
    # "Not equal" holds for null, as in MongoDB; a required field needs no such care.
    return ("distinct" if operator == "$ne" and field.nullable else operator, field.name)


def _comparison(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if value is None:
        raise parser.refuse(f"{operator} of field {field.name!r} cannot compare with None.")
    parser.value(field, value)
    return (operator, field.name)


def _membership(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    values = parser.many(operator, field, value)
    present = [item for item in values if item is not None]
    present = parser.validate.values(field, present)
    has_null = len(present) < len(values)
    parser.values.append(present)
    inner: Shape = ("in", field.name)
    if operator == "$in":
        return ("or", inner, ("null", field.name)) if has_null else inner
    if has_null:
        return ("and", ("negate", inner), ("notnull", field.name))
    return ("not", inner) if field.nullable else ("negate", inner)


def _range(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    bounds = parser.many(operator, field, value)
    if len(bounds) != 2 or None in bounds:
        raise parser.refuse(f"$between of field {field.name!r} takes two values: [low, high].")
    for bound in bounds:
        parser.value(field, bound)
    return ("and", ("$gte", field.name), ("$lte", field.name))


def _presence(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if not isinstance(value, bool):
        raise parser.refuse(f"{operator} of field {field.name!r} takes True or False.")
    is_null = value if operator == "$null" else not value
    return ("null" if is_null else "notnull", field.name)


def _text(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if not isinstance(field.column.type, sa.String):
        raise parser.refuse(f"{operator} compares text, and field {field.name!r} holds none.")
    if not isinstance(value, str):
        raise parser.refuse(f"{operator} of field {field.name!r} takes a text, not {value!r}.")
    pattern: str | None = pattern_for(operator, value)
    if operator == "$regex":
        pattern = pattern_of_regex(value)
        if pattern is None:
            raise parser.refuse(
                f"the regular expression {value!r} of field {field.name!r} has no LIKE pattern.",
                "use plain text with ^ at its start or $ at its end, or $like with % and _",
            )
    parser.values.append(parser.validate.value(field, pattern))
    return ("ilike" if operator in ("$ilike", "$icontains") else "like", field.name)


_Rule = Callable[[_Parser, str, FieldSpec, Any], Shape]
_OPERATORS: dict[str, _Rule] = {
    "$eq": _equality,
    "$ne": _equality,
    "$gt": _comparison,
    "$gte": _comparison,
    "$lt": _comparison,
    "$lte": _comparison,
    "$in": _membership,
    "$nin": _membership,
    "$between": _range,
    "$exists": _presence,
    "$null": _presence,
    "$like": _text,
    "$ilike": _text,
    "$startswith": _text,
    "$endswith": _text,
    "$contains": _text,
    "$icontains": _text,
    "$regex": _text,
}


def parse_filter(spec: ModelSpec, filter: Any, validate: Validate, at: str | None = None) -> Filter:
    """Check a filter against a model and split it into shape and values.

    Args:
        spec: The model.
        filter: `{"age": {"$gt": 18}, "name": "Ada"}`; None and `{}` match everything.
        validate: Checks values against their field.
        at: The caller's place, for errors.

    Raises:
        UnknownFieldError: For a field that the model lacks.
        FilterError: For an unknown operator, a wrong shape, more than 32 levels or
            1,000 terms.
        RecordValidationError: For a value that does not fit its field.
    """
    if not filter and (filter is None or isinstance(filter, Mapping)):
        return EMPTY
    parser = _Parser(spec, validate, at)
    shape = parser.document(filter, 1)
    return Filter(shape, tuple(parser.values))


class _Builder:
    """Builds the SQLAlchemy condition of a shape, numbering its parameters."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.count = 0

    def build(self, shape: Shape) -> sa.ColumnElement[bool]:
        if not shape:
            return sa.true()
        kind = shape[0]
        if kind in ("and", "or", "not", "negate"):
            return self.logical(kind, [self.build(part) for part in shape[1:]])
        return self.comparison(kind, self.spec.fields[shape[1]].column)

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
        name = f"w{self.count}"
        self.count += 1
        if kind == "in":
            return InList(column, name)
        return _COMPARE[kind](column, sa.bindparam(name, type_=column.type))


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
_COMPARE: dict[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "$eq": lambda column, value: column == value,
    "$ne": lambda column, value: column != value,
    "distinct": lambda column, value: column.is_distinct_from(value),
    "$gt": lambda column, value: column > value,
    "$gte": lambda column, value: column >= value,
    "$lt": lambda column, value: column < value,
    "$lte": lambda column, value: column <= value,
    "like": lambda column, value: column.like(value, escape=ESCAPE),
    "ilike": lambda column, value: column.ilike(value, escape=ESCAPE),
}


def condition_for(spec: ModelSpec, shape: Shape) -> sa.ColumnElement[bool]:
    """Return the WHERE condition of a shape, with parameters `w0`, `w1`, …."""
    return _Builder(spec).build(shape)
