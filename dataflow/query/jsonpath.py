"""Conditions on a document, written as SQL/JSON paths for PostgreSQL.

Source: https://www.postgresql.org/docs/current/functions-json.html. In lax mode a step
goes into the elements of an array, as MongoDB's paths do; a filter does so once more,
which is how a condition reaches the elements of an array at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from dataflow.query.regex import Regex, posix_of
from dataflow.query.text import regex_of_like

__all__ = ["element_paths", "paths_to", "predicate_for"]

Tree = list[Any]
_GROUP = 50
_ARRAY = '{at}.type() == "array"'
_SINGLE = '{at}.type() != "object" && {at}.type() != "array"'


class _Place(NamedTuple):
    """One reading of a path: the parent, how the last key follows, what must hold first."""

    parent: str
    tail: str = ""
    guard: str = ""

    @property
    def path(self) -> str:
        return self.parent + self.tail

    @property
    def is_direct(self) -> bool:
        """Whether the path names one value, without going into arrays."""
        return not self.tail.startswith(".")

    def key(self, name: str) -> _Place:
        return _Place(self.path, f".{_literal(name)}", self.guard)

    def item(self, number: int) -> _Place:
        if self.is_direct:
            is_array = f'{self.path}.type() == "array"'
            guard = f"{self.guard} && {is_array}" if self.guard else is_array
            return _Place(self.parent, f"{self.tail}[{number}]", guard)
        return _Place(self.where(_ARRAY), f"{self.tail}[{number}]", self.guard)

    def holds(self, condition: str) -> str:
        """Return the test that the value itself, not an element of it, fulfils a condition."""
        if self.is_direct:
            return self.guarded(f"({condition.format(at=self.path)})")
        return self.guarded(f"exists({self.where(condition)})")

    def where(self, *conditions: str) -> str:
        """Return the path to the parents that are objects, whose value fulfils conditions.

        A filter goes into an array of them, and a key would go into an array in there.
        """
        tests = " && ".join(['@.type() == "object"', *conditions])
        return f"{self.parent} ? ({tests.format(at='@' + self.tail)})"

    def guarded(self, test: str) -> str:
        return f"({self.guard} && {test})" if self.guard else test


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _braced(value: Any) -> str:
    """Return a literal in a text that is to be formatted."""
    return _literal(value).replace("{", "{{").replace("}", "}}")


def _readings(value: Any) -> list[Any]:
    """Return the numbers in documents that a value is equal to, in order; else the value.

    The digits of a float are the fewest that tell it from others. From 10¹⁶ it is a whole
    number too, whose own digits differ.
    """
    if type(value) not in (int, float) or not 1e16 <= abs(value) <= sys.float_info.max:
        return [value]
    near = float(value)
    if int(near) != value:
        return [value]
    return sorted({int(near), int(Decimal(repr(near)))})


def _equals(at: str, value: Any, literal: Callable[[Any], str] = _literal) -> str:
    return _joined("||", [f"{at} == {literal(number)}" for number in _readings(value)])


def _bound(operator: str, value: Any) -> str:
    """Return the limit of an order; whole numbers are exact."""
    if not isinstance(value, float):
        return _literal(value)
    return _literal(_readings(value)[-1 if operator in (">", "<=") else 0])


def _places(base: str, path: Sequence[str]) -> list[_Place]:
    """Return the readings of a path; a number is a key, or the index of an array."""
    places = [_Place(base)]
    for part in path:
        following = [place.key(part) for place in places]
        if part.isascii() and part.isdigit() and len(part) < 10:
            following += [place.item(int(part)) for place in places]
        places = following
    return places


def _joined(operator: str, parts: Sequence[str]) -> str:
    """Join tests in groups, because the server limits how deep they nest."""
    if not parts:
        return "(1 == 1)" if operator == "&&" else "(1 == 0)"
    while len(parts) > _GROUP:
        starts = range(0, len(parts), _GROUP)
        parts = [_joined(operator, parts[start : start + _GROUP]) for start in starts]
    return f"({f' {operator} '.join(parts)})" if len(parts) > 1 else parts[0]


def predicate_for(tree: Tree, base: str = "$") -> str:
    """Return a jsonpath predicate that is true for documents that fulfil a tree."""
    kind, *rest = tree
    return _WRITERS[kind](base, *rest)


def _is(base: str, path: list[str], operator: str, value: Any) -> str:
    condition = f'@.type() != "array" && {_condition(operator, value)}'
    tests = [
        place.guarded(f"exists({place.path} ? ({condition}))") for place in _places(base, path)
    ]
    return _joined("||", tests)


def _condition(operator: str, value: Any) -> str:
    if operator == "in":
        return _joined("||", [_equals("@", item) for item in value] or ["1 == 0"])
    if operator == "==":
        return _equals("@", value)
    if operator in ("like", "ilike"):
        flags = "is" if operator == "ilike" else "s"
        return f'@ like_regex {_literal(regex_of_like(value))} flag "{flags}"'
    if operator == "regex":
        regex = Regex(*value)
        flags = "is" if regex.ignore_case else "s"
        return f'@ like_regex {_literal(posix_of(regex))} flag "{flags}"'
    return f"@ {operator} {_bound(operator, value)}"


def _missing(base: str, path: list[str]) -> str:
    """Some object on the way lacks its key, or a single value stands where one should be."""
    tests = []
    for depth, part in enumerate(path):
        key = f".{_literal(part)}"
        for place in _places(base, path[:depth]):
            lacks = f'exists({place.path} ? (@.type() == "object" && !exists(@{key})))'
            tests.append(place.guarded(lacks))
            tests.append(place.holds(_SINGLE))
    return _joined("||", tests)


def _exists(base: str, path: list[str]) -> str:
    places = _places(base, path)
    return _joined("||", [place.guarded(f"exists({place.path})") for place in places])


def _size(base: str, path: list[str], operator: str, number: int) -> str:
    condition = f'{{at}}.type() == "array" && {{at}}.size() {operator} {number}'
    return _joined("||", [place.holds(condition) for place in _places(base, path)])


def _in_array(place: _Place, rest: str) -> str:
    """Return the test that an array at a place has what `rest` selects from it.

    A filter goes into the array itself; behind `[*]` it would go into arrays in it, too.
    """
    if place.is_direct:
        return place.guarded(f'({place.path}.type() == "array" && exists({place.path}{rest}))')
    return place.guarded(f"exists({place.where(_ARRAY)}{place.tail}{rest})")


def _text(base: str, path: list[str], pattern: str) -> str:
    regex = _braced(regex_of_like(pattern))
    condition = f'{{at}}.type() == "string" && {{at}} like_regex {regex} flag "s"'
    return _joined("||", [place.holds(condition) for place in _places(base, path)])


def _same(base: str, path: list[str], value: Any) -> str:
    condition = _equal("{at}", value)
    tests = [place.holds(condition) for place in _places(base, path)]
    if isinstance(value, dict):
        rest = f" ? ({condition.format(at='@')})"
        tests += [_in_array(place, rest) for place in _places(base, path)]
    return _joined("||", tests)


def _equal(at: str, value: Any) -> str:
    """Return the test for a value of the same structure, as text to be formatted."""
    if isinstance(value, list):
        parts = [_equal(f"{at}[{number}]", item) for number, item in enumerate(value)]
        return _joined("&&", [f'{at}.type() == "array"', f"{at}.size() == {len(value)}", *parts])
    if not isinstance(value, dict):
        test = _equals(at, value, _braced)
        return f'({at}.type() != "array" && {test})'
    keys = {key: _braced(key) for key in value}
    parts = [_equal(f"{at}.{keys[key]}", item) for key, item in value.items()]
    known = _joined("||", [f"@.key == {key}" for key in keys.values()] or ["1 == 0"])
    others = f"!exists({at}.keyvalue() ? (!({known})))"
    return _joined("&&", [f'{at}.type() == "object"', others, *parts])


def _has(base: str, path: list[str], value: Any) -> str:
    rest = f' ? (@.type() != "array" && {_equals("@", value)})'
    return _joined("||", [_in_array(place, rest) for place in _places(base, path)])


def _element(base: str, path: list[str], tree: Tree) -> str:
    rest = f" ? ({predicate_for(tree, '@')})"
    return _joined("||", [_in_array(place, rest) for place in _places(base, path)])


_WRITERS: dict[str, Callable[..., str]] = {
    "and": lambda base, *trees: _joined("&&", [predicate_for(tree, base) for tree in trees]),
    "or": lambda base, *trees: _joined("||", [predicate_for(tree, base) for tree in trees]),
    "not": lambda base, tree: f"!({predicate_for(tree, base)})",
    "is": _is,
    "missing": _missing,
    "exists": _exists,
    "size": _size,
    "has": _has,
    "element": _element,
    "text": _text,
    "same": _same,
    "object": lambda base: f'({base}.type() == "object")',
}


def paths_to(path: Sequence[str]) -> list[str]:
    """Return jsonpaths to the values at a path and to the elements of arrays there."""
    found = [_alone(place) for place in _places("$", path)]
    return [text for one in found for text in (one, f"{one}[*]")]


def element_paths(path: Sequence[str]) -> list[str]:
    """Return jsonpaths to the elements of arrays at a path."""
    return [f"{_alone(place, is_array=True)}[*]" for place in _places("$", path)]


def _alone(place: _Place, *, is_array: bool = False) -> str:
    """Return a jsonpath that selects a place where what must hold first does."""
    if place.is_direct:  # where a step into what is no array is an error, and selects nothing
        return f"strict {place.path}"
    tests = [*([place.guard] if place.guard else []), *([_ARRAY] if is_array else [])]
    return place.where(*tests) + place.tail if tests else place.path
