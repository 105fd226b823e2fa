"""Filters: from a MongoDB-style dict to a shape and its values.

A *shape* is the filter without its values: a nested tuple that can be hashed. SQL
is compiled once per shape; values only fill its parameters.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, get_origin

import sqlalchemy as sa

from dataflow.errors import FilterError, did_you_mean, shown
from dataflow.models.spec import FieldSpec
from dataflow.query.dates import instant_of, is_date
from dataflow.query.documents import (
    OPERATORS,
    is_deep,
    is_operators,
    json_value,
    leaf,
    list_of,
    node_count,
    with_options,
)
from dataflow.query.foreignjson import has_parts
from dataflow.query.regex import RegexError, regex_of
from dataflow.query.source import Source, place_of
from dataflow.query.text import pattern_for, pattern_of_regex, pattern_problem

__all__ = [
    "EMPTY",
    "MAX_DEPTH",
    "MAX_TERMS",
    "NOT_AN_EXPRESSION",
    "Filter",
    "Shape",
    "Validate",
    "is_expression",
    "parse_filter",
]

MAX_DEPTH = 32
MAX_TERMS = 1_000
NOT_AN_EXPRESSION = 'for Model.age > 2 write {"age": {"$gt": 2}}'
"""Advice for those who know SQLAlchemy."""

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
        return self.named("w")

    def named(self, prefix: str) -> dict[str, Any]:
        """Return the values under names that begin with a prefix."""
        return {f"{prefix}{number}": value for number, value in enumerate(self.values)}


EMPTY = Filter((), ())


class _Parser:
    """One walk over a filter; collects values while it builds the shape."""

    def __init__(self, source: Source, validate: Validate, at: str | None) -> None:
        self.source = source
        self.validate = validate
        self.at = at
        self.values: list[Any] = []
        self.terms = 0

    def refuse(self, problem: str, advise: str | None = None) -> FilterError:
        return FilterError(problem=problem, advise=advise, at=self.at)

    def document(self, document: Any, depth: int) -> Shape:
        if depth > MAX_DEPTH:
            raise self.refuse(f"the filter is nested deeper than {MAX_DEPTH}.")
        if type(document) is not dict and not isinstance(document, Mapping):
            kind = "an SQL expression" if is_expression(document) else type(document).__name__
            advise = NOT_AN_EXPRESSION if is_expression(document) else None
            raise self.refuse(f"a filter must be a dict, not {kind}.", advise)
        entries = document.items()
        parts = [part for key, value in entries if (part := self.entry(key, value, depth))]
        return parts[0] if len(parts) == 1 else ("and", *parts) if parts else ()

    def entry(self, key: Any, value: Any, depth: int) -> Shape:
        if not isinstance(key, str):
            raise self.refuse(f"a filter's keys must be texts, not {key!r}.")
        if key.startswith("$"):
            return self.logical(key, value, depth)
        field, path = place_of(self.source, key, self.at)
        if has_parts(field.column.type):
            return _Document(self, field, path).shape(value, depth)
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
        if type(value) is not dict and (not isinstance(value, Mapping) or is_date(value)):
            return self.term("$eq", field, value)
        if len(value) == 1 and "$date" in value:
            return self.term("$eq", field, value)
        if not value:
            raise self.refuse(f"the filter of field {field.name!r} is an empty dict.")
        value = with_options(value, f"field {field.name!r}", self.at)
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
        self.count_terms(1)
        if isinstance(field.column.type, sa.ARRAY) and operator not in _OF_ARRAYS:
            raise self.refuse(
                f"{operator} of field {field.name!r}: such arrays are compared as a whole.",
                f"in a pipeline they are lists: {{'$expr': {{'$in': [value, '${field.name}']}}}}",
            )
        return _OPERATORS[operator](self, operator, field, value)

    def count_terms(self, number: int) -> None:
        self.terms += number
        if self.terms > MAX_TERMS:
            raise self.refuse(f"the filter has more than {MAX_TERMS} terms.")

    def value(self, field: FieldSpec, value: Any) -> None:
        self.values.append(self.validate.value(field, self.resolved(field, value)))

    def resolved(self, field: FieldSpec, value: Any) -> Any:
        """Return the instant that `{"$date": …}` means, or its day for a date field."""
        if not is_date(value):
            return value
        instant = instant_of(value, self.at)
        return instant.date() if field.declared is dt.date else instant

    def many(self, operator: str, field: FieldSpec, values: Any) -> list[Any]:
        found = list_of(values)
        if found is None:
            raise self.refuse(f"{operator} of field {field.name!r} takes a list.")
        return found


def _equality(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if value is None:
        return ("null" if operator == "$eq" else "notnull", field.name)
    parser.value(field, value)
    # "Not equal" holds for null, as in MongoDB; a required field needs no such care.
    return ("distinct" if operator == "$ne" and field.nullable else operator, field.name)


def _comparison(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if value is None:
        raise parser.refuse(f"{operator} of field {field.name!r} cannot compare with None.")
    if field.declared is int and type(value) is float and not value.is_integer():
        return _between_whole_numbers(parser, operator, field, value)
    parser.value(field, value)
    return (operator, field.name)


def _between_whole_numbers(parser: _Parser, operator: str, field: FieldSpec, value: float) -> Shape:
    """Compare whole numbers with one between two of them."""
    if not math.isfinite(value):
        parser.value(field, value)
    upward = operator in ("$gt", "$gte")
    parser.value(field, math.ceil(value) if upward else math.floor(value))
    return ("$gte" if upward else "$lte", field.name)


def _membership(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    values = parser.many(operator, field, value)
    present = [parser.resolved(field, item) for item in values if item is not None]
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
    low, high = bounds
    above = _comparison(parser, "$gte", field, low)
    return ("and", above, _comparison(parser, "$lte", field, high))


def _presence(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if not isinstance(value, bool):
        raise parser.refuse(f"{operator} of field {field.name!r} takes True or False.")
    is_null = value if operator == "$null" else not value
    return ("null" if is_null else "notnull", field.name)


def _text(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if not isinstance(field.column.type, sa.String):
        raise parser.refuse(f"{operator} compares text, and field {field.name!r} holds none.")
    if not isinstance(value, str):
        raise parser.refuse(f"{operator} of field {field.name!r} takes a text, not {shown(value)}.")
    problem = pattern_problem(operator, value)
    if problem is not None:
        raise parser.refuse(f"{operator} of field {field.name!r} {problem}.")
    parser.validate.value(field, value)
    parser.values.append(pattern_for(operator, value))
    return ("ilike" if operator in ("$ilike", "$icontains") else "like", field.name)


def _regex(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    if not isinstance(field.column.type, sa.String) or not isinstance(value, str):
        return _text(parser, operator, field, value)
    if (plain := pattern_of_regex(value)) is not None:
        return _text(parser, "$like", field, plain)
    try:
        regex = regex_of(parser.validate.value(field, value))
    except RegexError as error:
        problem = f"the regular expression {shown(value)} of field {field.name!r}: {error}."
        raise parser.refuse(problem) from None
    parser.values += [regex, regex]
    return ("regex", field.name)


def _size(parser: _Parser, operator: str, field: FieldSpec, value: Any) -> Shape:
    del value
    raise parser.refuse(f"{operator} takes a JSON list, and field {field.name!r} holds none.")


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
    "$regex": _regex,
    "$size": _size,
    "$all": _size,
    "$elemMatch": _size,
}
_OF_ARRAYS = ("$eq", "$ne", "$exists", "$null")


class _Document:
    """The filter of one path in a JSON field."""

    def __init__(self, parser: _Parser, field: FieldSpec, path: tuple[str, ...]) -> None:
        self.parser = parser
        self.field = field
        self.path = path
        self.what = ".".join((field.name, *path))

    def shape(self, value: Any, depth: int) -> Shape:
        if not is_operators(value) or is_date(value):
            return self.term("$eq", value)
        value = with_options(value, f"field {self.what!r}", self.parser.at)
        parts = [self.operator(key, item, depth) for key, item in value.items()]
        return parts[0] if len(parts) == 1 else ("and", *parts)

    def operator(self, operator: Any, value: Any, depth: int) -> Shape:
        if operator != "$not":
            return self.term(operator, value)
        if depth >= MAX_DEPTH:
            raise self.parser.refuse(f"the filter is nested deeper than {MAX_DEPTH}.")
        if not is_operators(value):
            raise self.parser.refuse(f"$not of field {self.what!r} takes operators.")
        return ("not", self.shape(value, depth + 1))

    def term(self, operator: Any, value: Any) -> Shape:
        parser = self.parser
        parser.count_terms(1)
        if operator not in OPERATORS:
            raise parser.refuse(
                f"there is no operator {operator!r} (in the filter of field {self.what!r}).",
                did_you_mean(str(operator), (*OPERATORS, "$not")),
            )
        if not self.path and operator == "$exists":
            return _presence(parser, operator, self.field, value)
        if operator in ("$eq", "$contains") and isinstance(value, Mapping | list | tuple):
            return self.whole("deep" if operator == "$eq" else "deep has", value)
        if operator == "$ne":
            return ("not", self.term("$eq", value))
        if operator in ("$in", "$nin", "$all"):
            return self.list_term(operator, value)
        tree = leaf(operator, self.path, value, parser.at, owner=self.field.name)
        if operator == "$contains" and self.is_list:
            tree = ["has", [], json_value(value, "$contains", parser.at)]  # indexes serve this one
        parser.count_terms(node_count(tree))
        parser.values.append(tree)
        shape = self.test
        if operator == "$null" or (operator == "$eq" and value is None):
            shape = ("or", ("null", self.field.name), shape)
        negative = operator in ("$null", "$exists") and value is False
        return ("not", shape) if negative else shape

    @property
    def is_list(self) -> bool:
        """Whether the path leads to a list and never to a text."""
        declared = self.field.declared
        listed = (get_origin(declared) or declared) in (list, tuple, set)
        return not self.path and (listed or isinstance(self.field.column.type, sa.ARRAY))

    @property
    def test(self) -> Shape:
        return ("json", self.field.name)

    def whole(self, kind: str, value: Any) -> Shape:
        """Compare with a whole object or array."""
        if is_date(value):
            return self.term("$eq", instant_of(value, self.parser.at))
        plain = json_value(value, f"the filter of field {self.what!r}", self.parser.at)
        self.parser.values += [[kind, list(self.path), plain]] * 3
        return ("json equal", self.field.name)

    def refuse_operators(self, operator: str, values: list[Any]) -> None:
        for value in values:
            allowed = operator == "$all" and _is_matched(value)
            if is_operators(value) and not is_date(value) and not allowed:
                problem = f"{operator} of field {self.what!r} takes values, not {shown(value)}."
                raise self.parser.refuse(problem)

    def member(self, value: Any) -> Shape:
        """Test what `$all` names: a value, or `{"$elemMatch": …}`."""
        if _is_matched(value):
            return self.term("$elemMatch", value["$elemMatch"])
        return self.term("$eq", value)

    def list_term(self, operator: str, value: Any) -> Shape:
        values = self.parser.many(operator, self.field, value)
        self.refuse_operators(operator, values)
        plain = [item for item in values if item is not None and not _is_whole(item)]
        others = [item for item in values if item is None or _is_whole(item)]
        parts = [] if operator == "$all" else [self.term("$eq", item) for item in others]
        if operator == "$all":
            parts = [self.member(item) for item in others]
            parts += [self.term("$eq", item) for item in plain]
            return ("and", *parts) if parts else ("or",)
        if plain:
            at = self.parser.at
            self.parser.values.append(leaf("$in", self.path, plain, at, owner=self.field.name))
            parts.append(self.test)
        either: Shape = ("or", *parts)
        return ("not", either) if operator == "$nin" else either


def _is_matched(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"$elemMatch"}


def is_expression(value: Any) -> bool:
    """Whether a value is SQLAlchemy's, for the database to work out."""
    return isinstance(value, sa.ClauseElement) or hasattr(value, "__clause_element__")


def _is_whole(value: Any) -> bool:
    return is_deep(value) or isinstance(value, Mapping | tuple)


def parse_filter(source: Source, filter: Any, validate: Validate, at: str | None = None) -> Filter:
    """Check a filter against a model or a stage of a pipeline, and split it into shape and values.

    Args:
        source: What has the fields.
        filter: `{"age": {"$gt": 18}, "name": "Ada"}`; None and `{}` match everything.
        validate: Checks values against their field.
        at: The caller's place, for errors.

    Raises:
        UnknownFieldError: For a field that the model lacks.
        FilterError: For an unknown operator, a wrong shape, more than 32 levels or
            1,000 terms.
        RecordValidationError: For a value that does not fit its field.
    """
    if filter is None or (isinstance(filter, Mapping) and not filter):
        return EMPTY
    parser = _Parser(source, validate, at)
    shape = parser.document(filter, 1)
    return Filter(shape, tuple(parser.values))
