"""Conditions on JSON documents, decided in Python for SQLite, which has no paths for them.

The trees are those of the query room; each is read once and kept as a function.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from dataflow.database.sqlite_text import like_matcher, regex_matcher

__all__ = ["compare_json", "matches_json", "tree_text", "type_rank"]

Test = Callable[[Any], bool]
Tree = list[Any]
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
    "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_MISSING: Any = object()


def type_rank(value: Any) -> int:
    """Return the place of a value's type in MongoDB's order of types."""
    if value is None:
        return 1
    if isinstance(value, bool):
        return 6
    if isinstance(value, int | float):
        return 2
    if isinstance(value, str):
        return 3
    return 4 if isinstance(value, dict) else 5


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does, where true is not 1."""
    if type_rank(left) != type_rank(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def compare_json(left: Any, right: Any) -> int:
    """Return -1, 0 or 1 in MongoDB's order: null, numbers, texts, objects, arrays, booleans."""
    ranks = type_rank(left), type_rank(right)
    if ranks[0] != ranks[1]:
        return -1 if ranks[0] < ranks[1] else 1
    if isinstance(left, list):
        for a, b in zip(left, right, strict=False):
            if found := compare_json(a, b):
                return found
        return (len(left) > len(right)) - (len(left) < len(right))
    if isinstance(left, dict):
        return _compare_objects(left, right)
    return 0 if left is None else (left > right) - (left < right)


def _compare_objects(left: dict[str, Any], right: dict[str, Any]) -> int:
    for (key, a), (other, b) in zip(sorted(left.items()), sorted(right.items()), strict=False):
        if found := (key > other) - (key < other) or compare_json(a, b):
            return found
    return (len(left) > len(right)) - (len(left) < len(right))


def matches_json(document: str | None, program: str) -> bool:
    """Whether a document, as JSON text, fulfils a tree, as JSON text; None never does."""
    return document is not None and _compiled(program)(_parsed(document))


@lru_cache(maxsize=4)
def _parsed(document: str) -> Any:
    """Return a document; the conditions of one filter ask for the same one in turn."""
    return json.loads(document)


def tree_text(tree: Tree) -> str:
    """Return a tree as JSON text.

    It is compiled here already, because inside SQLite the reason of a refusal would be lost.

    Raises:
        MissingExtraError: For a regular expression without its engine.
        DataValueError: For one that the engine refuses.
    """
    program = json.dumps(tree)
    _compiled(program)
    return program


@lru_cache(maxsize=1_000)
def _compiled(program: str) -> Test:
    return _test(json.loads(program))


def _test(tree: Tree) -> Test:
    kind, *rest = tree
    return _TESTS[kind](*rest)


def _and(*trees: Tree) -> Test:
    tests = [_test(tree) for tree in trees]
    return lambda document: all(test(document) for test in tests)


def _or(*trees: Tree) -> Test:
    tests = [_test(tree) for tree in trees]
    return lambda document: any(test(document) for test in tests)


def _not(tree: Tree) -> Test:
    test = _test(tree)
    return lambda document: not test(document)


def _values(document: Any, path: list[str]) -> Iterator[Any]:
    """Yield the values at a path; `_MISSING` where an object lacks a key."""
    if not path:
        yield document
        return
    key, rest = path[0], path[1:]
    if isinstance(document, list):
        for item in document:
            if isinstance(item, dict):
                yield from _values(item, path)
        if key.isascii() and key.isdigit() and int(key) < len(document):
            yield from _values(document[int(key)], rest)
    elif isinstance(document, dict) and key in document:
        yield from _values(document[key], rest)
    else:
        yield _MISSING


def _present(document: Any, path: list[str]) -> Iterator[Any]:
    return (value for value in _values(document, path) if value is not _MISSING)


def _spread(document: Any, path: list[str]) -> Iterator[Any]:
    """Yield the values at a path that are no arrays, and the elements of those that are."""
    for value in _present(document, path):
        if isinstance(value, list):
            yield from (item for item in value if not isinstance(item, list))
        else:
            yield value


def _arrays(document: Any, path: list[str]) -> Iterator[list[Any]]:
    return (value for value in _present(document, path) if isinstance(value, list))


def _is(path: list[str], kind: str, value: Any) -> Test:
    test = _value_test(kind, value)
    return lambda document: any(test(found) for found in _spread(document, path))


def _value_test(kind: str, value: Any) -> Test:
    if kind in ("like", "ilike"):
        return _on_text(like_matcher(value, ignore_case=kind == "ilike"))
    if kind == "regex":
        body, ignore_case, dot_all = value
        return _on_text(regex_matcher(body, ignore_case=ignore_case, dot_all=dot_all))
    if kind == "in":
        known = {(type_rank(item), item) for item in value}
        return lambda found: not isinstance(found, dict) and (type_rank(found), found) in known
    compare, rank = _ORDERS[kind], type_rank(value)
    if value is None:
        return lambda found: found is None
    return lambda found: type_rank(found) == rank and compare(found, value)


def _on_text(test: Callable[[str], bool]) -> Test:
    return lambda found: isinstance(found, str) and test(found)


def _missing(path: list[str]) -> Test:
    return lambda document: any(value is _MISSING for value in _values(document, path))


def _exists(path: list[str]) -> Test:
    return lambda document: any(True for _ in _present(document, path))


def _size(path: list[str], kind: str, number: int) -> Test:
    compare = _ORDERS[kind]
    return lambda document: any(compare(len(found), number) for found in _arrays(document, path))


def _has(path: list[str], value: Any) -> Test:
    return lambda document: any(
        _same(item, value) for found in _arrays(document, path) for item in found
    )


def _element(path: list[str], tree: Tree) -> Test:
    test = _test(tree)
    return lambda document: any(test(item) for found in _arrays(document, path) for item in found)


def _deep(path: list[str], value: Any) -> Test:
    def test(document: Any) -> bool:
        for found in _present(document, path):
            items = found if isinstance(found, list) else []
            if _same(found, value) or any(_same(item, value) for item in items):
                return True
        return False

    return test


def _text(path: list[str], pattern: str) -> Test:
    test = _on_text(like_matcher(pattern))
    return lambda document: any(test(found) for found in _present(document, path))


_TESTS: dict[str, Callable[..., Test]] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "is": _is,
    "missing": _missing,
    "exists": _exists,
    "size": _size,
    "has": _has,
    "element": _element,
    "object": lambda: lambda document: isinstance(document, dict),
    "deep": _deep,
    "same": _deep,
    "text": _text,
    "deep has": _has,
}
