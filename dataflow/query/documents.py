"""Filters on JSON: from MongoDB's operators to a tree of conditions on one document.

A tree is made of lists, so that it can travel as JSON:

    ["and", tree, …]   ["or", tree, …]   ["not", tree]
    ["is", path, operator, value]      a value at the path, or in an array there
    ["missing", path]                  the path leads nowhere
    ["exists", path]                   the path leads to something, be it null
    ["size", path, operator, number]   an array there, by its length
    ["has", path, value]               an array there that has the value
    ["element", path, tree]            an array there with an element that fulfils the tree
    ["object"]                         the document itself is an object
    ["text", path, pattern]            a text there, not in an array, that is LIKE a pattern
    ["same", path, value]              an object or array there that is equal to a value
    ["deep", path, value]              as "is ==", for a whole object or array
    ["deep has", path, value]          as "has", for a whole object or array

A path is a list of keys; each step goes into the elements of an array too, and a
number is also the index of an array, as in MongoDB.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from dataflow.errors import FilterError, did_you_mean, shown
from dataflow.query.dates import instant_of, is_date
from dataflow.query.regex import RegexError, regex_of
from dataflow.query.text import pattern_for

__all__ = [
    "OPERATORS",
    "Tree",
    "is_deep",
    "is_operators",
    "json_value",
    "leaf",
    "list_of",
    "node_count",
    "parse_elements",
    "with_options",
]

Tree = list[Any]
Path = list[str]
_COMPARE = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<=", "$eq": "==", "$ne": "!="}
_MAX_DEPTH = 16


def is_operators(value: Any) -> bool:
    """Whether a value is a dict of operators, and not a document to compare with."""
    return isinstance(value, Mapping) and any(str(key).startswith("$") for key in value)


def is_deep(value: Any) -> bool:
    """Whether a value is an object or array, which is compared as a whole."""
    return isinstance(value, dict | list)


def json_value(value: Any, what: str, at: str | None = None) -> Any:
    """Return a compared value as JSON has it.

    Instants, dates, UUIDs and enums become text, as pydantic stores them in documents;
    a Decimal becomes a number.

    Raises:
        FilterError: If JSON has no such value.
    """
    if is_date(value):
        value = instant_of(value, at)
    try:
        plain = _plain(value)
    except (PydanticSerializationError, TypeError, ValueError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, TypeError | ValueError) and str(error) else ""
        problem = f"{what} cannot compare JSON with {type(value).__name__} {shown(value)}{reason}."
        raise FilterError(problem=problem, at=at) from None
    return plain


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError
    if isinstance(value, Mapping):
        return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return _plain_scalar(value, depth)


def _plain_scalar(value: Any, depth: int) -> Any:
    if isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if value is None or type(value) in (bool, int, float):
        return value
    if isinstance(value, bytes | bytearray | memoryview | set | frozenset):
        raise ValueError  # noqa: TRY004 - caught above, told as one error
    return _plain(to_jsonable_python(value), depth + 1)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"an object's keys are texts, not {shown(value)}")
    if "\0" in value:
        raise ValueError("JSON text cannot hold the character U+0000")
    value.encode()
    return str(value)


def with_options(operators: Mapping[str, Any], what: str, at: str | None) -> Mapping[str, Any]:
    """Return operators with MongoDB's `$options` folded into its `$regex`.

    Raises:
        FilterError: If there is no `$regex`, or the options are no letters.
    """
    if "$options" not in operators:
        return operators
    options, pattern = operators["$options"], operators.get("$regex")
    if not isinstance(pattern, str) or not isinstance(options, str):
        raise FilterError(problem=f"$options of {what} needs a $regex, and letters.", at=at)
    rest = {key: item for key, item in operators.items() if key != "$options"}
    return {**rest, "$regex": f"(?{options}){pattern}" if options else pattern}


def node_count(tree: Tree) -> int:
    """Return how many conditions a tree has."""
    parts = {"and": tree[1:], "or": tree[1:], "not": tree[1:], "element": tree[2:]}
    return 1 + sum(map(node_count, parts.get(tree[0], ())))


def list_of(values: Any) -> list[Any] | None:
    """Return a list, tuple, set or the like as a list; None for anything else.

    An iterator is none of them: it could be read once only, and a filter is read often.
    """
    if type(values) is list:
        return values.copy()  # what most callers give; the checks below cost more
    if isinstance(values, str | bytes | Mapping | Iterator) or not isinstance(values, Iterable):
        return None
    return list(values)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One operator on one path, in a field, at a depth of nested `$elemMatch`."""

    operator: str
    path: Path
    value: Any
    at: str | None
    depth: int
    owner: str

    @property
    def what(self) -> str:
        place = ".".join(part for part in (self.owner, *self.path) if part)
        return f"{self.operator} of {place!r}" if place else self.operator

    def refuse(self, problem: str, advise: str | None = None) -> FilterError:
        return FilterError(problem=f"{self.what} {problem}", advise=advise, at=self.at)

    def plain(self, value: Any) -> Any:
        return json_value(value, self.what, self.at)

    def scalar(self, value: Any) -> Any:
        plain = self.plain(value)
        if is_deep(plain):
            raise self.refuse("compares single values, not objects or arrays.")
        return plain

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse(f"takes a text, not {shown(self.value)}.")
        return str(self.scalar(self.value))

    def many(self) -> list[Any]:
        found = list_of(self.value)
        if found is None:
            raise self.refuse("takes a list.")
        return found

    def equal(self, value: Any) -> Tree:
        plain = self.scalar(value)
        found: Tree = ["is", self.path, "==", plain]
        return ["or", found, ["missing", self.path]] if plain is None else found


def _compare(term: _Leaf) -> Tree:
    value = term.scalar(term.value)
    if value is None:
        raise term.refuse("cannot compare with None.")
    return ["is", term.path, _COMPARE[term.operator], value]


def _between(term: _Leaf) -> Tree:
    bounds = [term.scalar(bound) for bound in term.many()]
    if len(bounds) != 2 or None in bounds:
        raise term.refuse("takes two values: [low, high].")
    low, high = bounds
    return ["and", ["is", term.path, ">=", low], ["is", term.path, "<=", high]]


def _either(term: _Leaf) -> Tree:
    values = [term.scalar(value) for value in term.many()]
    found: Tree = ["is", term.path, "in", values]
    return ["or", found, ["missing", term.path]] if None in values else found


def _every(term: _Leaf) -> Tree:
    values = term.many()
    if values and all(isinstance(value, Mapping) and "$elemMatch" in value for value in values):
        return ["and", *(_element(replace(term, value=value["$elemMatch"])) for value in values)]
    return ["and", *(term.equal(value) for value in values)] if values else ["or"]


def _presence(term: _Leaf) -> Tree:
    if not isinstance(term.value, bool):
        raise term.refuse("takes True or False.")
    # False is negated outside, together with a column that is null.
    return term.equal(None) if term.operator == "$null" else ["exists", term.path]


def _size(term: _Leaf) -> Tree:
    tests = term.value if isinstance(term.value, Mapping) else {"$eq": term.value}
    parts: list[Tree] = []
    for operator, number in tests.items():
        if operator not in _COMPARE:
            raise term.refuse(f"has no operator {operator!r}.", did_you_mean(operator, _COMPARE))
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**31:
            raise term.refuse(f"takes a whole number from 0, not {shown(number)}.")
        parts.append(["size", term.path, _COMPARE[operator], number])
    return ["and", *parts]


def _contains(term: _Leaf) -> Tree:
    value = term.scalar(term.value)
    has: Tree = ["has", term.path, value]
    if not isinstance(value, str):
        return has
    return ["or", has, ["text", term.path, pattern_for("$contains", value)]]


def _pattern(term: _Leaf) -> Tree:
    ignore_case = term.operator in ("$ilike", "$icontains")
    pattern = pattern_for(term.operator, term.text())
    return ["is", term.path, "ilike" if ignore_case else "like", pattern]


def _regex(term: _Leaf) -> Tree:
    try:
        regex = regex_of(term.text())
    except RegexError as error:
        raise term.refuse(f"cannot use {shown(term.value)}: {error}.") from None
    return ["is", term.path, "regex", list(regex)]


def _element(term: _Leaf) -> Tree:
    if not isinstance(term.value, Mapping) or not term.value:
        raise term.refuse("takes a filter, or operators for single values.")
    return ["element", term.path, parse_elements(term.value, term.at, term.depth + 1)]


OPERATORS: dict[str, Callable[[_Leaf], Tree]] = {
    "$eq": lambda term: term.equal(term.value),
    "$ne": lambda term: ["not", term.equal(term.value)],
    "$gt": _compare,
    "$gte": _compare,
    "$lt": _compare,
    "$lte": _compare,
    "$in": _either,
    "$nin": lambda term: ["not", _either(term)],
    "$between": _between,
    "$exists": _presence,
    "$null": _presence,
    "$like": _pattern,
    "$ilike": _pattern,
    "$startswith": _pattern,
    "$endswith": _pattern,
    "$contains": _contains,
    "$icontains": _pattern,
    "$regex": _regex,
    "$size": _size,
    "$all": _every,
    "$elemMatch": _element,
}


def leaf(
    operator: str,
    path: tuple[str, ...],
    value: Any,
    at: str | None = None,
    depth: int = 0,
    owner: str = "",
) -> Tree:
    """Return the tree of one operator on one path of a field, at a depth of `$elemMatch`.

    Raises:
        FilterError: For an unknown operator or a value that it does not take.
    """
    rule = OPERATORS.get(operator)
    term = _Leaf(operator, list(path), value, at, depth, owner)
    if rule is None:
        problem = f"there is no operator {operator!r} for JSON."
        raise FilterError(problem=problem, advise=did_you_mean(operator, OPERATORS), at=at)
    return rule(term)


def parse_elements(filter: Mapping[str, Any], at: str | None, depth: int = 1) -> Tree:
    """Return the tree for one element of an array: `$elemMatch`'s filter or operators.

    Raises:
        FilterError: For an unknown operator, a wrong shape or more than 16 levels.
    """
    _check_depth(depth, at)
    entries = with_options(filter, "$elemMatch", at).items()
    parts = [_element_part(key, value, at, depth) for key, value in entries]
    return parts[0] if len(parts) == 1 else ["and", *parts]


def _check_depth(depth: int, at: str | None) -> None:
    if depth > _MAX_DEPTH:
        raise FilterError(problem=f"$elemMatch is nested deeper than {_MAX_DEPTH}.", at=at)


def _element_part(key: Any, value: Any, at: str | None, depth: int) -> Tree:
    if not isinstance(key, str):
        raise FilterError(problem=f"a filter's keys must be texts, not {key!r}.", at=at)
    if key in ("$and", "$or", "$nor"):
        if not isinstance(value, list | tuple) or not value:
            raise FilterError(problem=f"{key} takes a non-empty list of filters.", at=at)
        parts = [_nested(item, at, depth) for item in value]
        tree: Tree = ["and" if key == "$and" else "or", *parts]
        return ["not", tree] if key == "$nor" else tree
    if key == "$not":
        return ["not", _nested(value, at, depth)]
    if key.startswith("$"):
        if isinstance(value, list | tuple) and key in ("$eq", "$ne"):
            raise FilterError(problem=f"{key} in $elemMatch compares no lists in lists.", at=at)
        return _element_leaf(key, (), value, at, depth)
    return ["and", ["object"], _element_field(tuple(key.split(".")), value, at, depth)]


def _element_field(path: tuple[str, ...], value: Any, at: str | None, depth: int) -> Tree:
    _check_depth(depth, at)
    if not all(path) or "\0" in "".join(path):
        raise FilterError(problem=f"the path {'.'.join(path)!r} has an empty part.", at=at)
    if not is_operators(value) or is_date(value):
        return _element_equal(path, value, at)
    parts: list[Tree] = []
    for operator, item in with_options(value, f"field {'.'.join(path)!r}", at).items():
        if operator == "$not":
            parts.append(["not", _element_field(path, _operators(item, at), at, depth + 1)])
        else:
            tree = _element_leaf(operator, path, item, at, depth)
            parts.append(["not", tree] if operator in ("$exists", "$null") and not item else tree)
    return ["and", *parts]


def _element_leaf(
    operator: str, path: tuple[str, ...], value: Any, at: str | None, depth: int
) -> Tree:
    if operator in ("$eq", "$ne"):
        tree = _element_equal(path, value, at)
        return ["not", tree] if operator == "$ne" else tree
    return leaf(operator, path, value, at, depth)


def _element_equal(path: tuple[str, ...], value: Any, at: str | None) -> Tree:
    if not isinstance(value, Mapping | list | tuple) or is_date(value):
        return leaf("$eq", path, value, at)
    return ["same", list(path), json_value(value, "$elemMatch", at)]


def _nested(value: Any, at: str | None, depth: int) -> Tree:
    if not isinstance(value, Mapping) or not value:
        raise FilterError(problem="a filter must be a dict that is not empty.", at=at)
    return parse_elements(value, at, depth + 1)


def _operators(value: Any, at: str | None) -> Mapping[str, Any]:
    if not is_operators(value):
        raise FilterError(problem="$not takes operators, as in {'$not': {'$gt': 5}}.", at=at)
    found: Mapping[str, Any] = value
    return found
