"""Our queries in mongomock's words, and where mongomock is not MongoDB."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.faults.mongo.comparing import plain
from bench.faults.mongo.documents import Document

DIFFERENCES = {
    # Skipped: the case is not compared.
    "null below a scalar": "{'a.b': null} holds where a is a scalar or null; mongomock finds "
    "nothing there to compare with null",
    "null at an index": "a number is also a key of each object in the array, which lacks it, so "
    "null matches in MongoDB; mongomock takes numbers as indexes only",
    "array in an array": "mongomock's $in looks for an array's elements only, not for the array",
    "list in a list": "ours refuses {'$elemMatch': {'$eq': []}}",
    "letters beyond ASCII": "PostgreSQL folds their case by the database's locale, which is C in "
    "tests",
    "missing against null": "expressions tell missing from null; mongomock leaves the field out",
    "a path into an array": "gives an array of what there is; mongomock leaves the field out if "
    "one element lacks the key",
    "an object that lacks a key": "mongomock's $push leaves the whole object out",
    # Rewritten: put in words that MongoDB's documentation calls equal.
    "several operators on one path": "mongomock applies them to the same element; $and does not",
    "$not": "mongomock's $not fails where the path ends early, and with $options; $nor does not",
    "$ne and $nin": "the same through arrays of objects; $nor of $eq and $in",
    "$exists false": "mongomock asks whether one element lacks the key; $nor of $exists true",
    "$size": "mongomock counts the keys of objects, and 1 for scalars; $type array beside it",
    "$all": "mongomock fails where an array of objects holds arrays; $and of $eq",
    "$options": "mongomock takes them outside of $elemMatch and $not only; a compiled pattern",
    "a column that is null": "our columns are never absent, $exists means not null",
    "missing inside an expression": "mongomock leaves the field out or fails; $ifNull null",
    "null in an operator": "mongomock fails for parts of dates, and takes 'None' for a substring",
    "a key that lacks a part": "MongoDB groups by {} apart from {a: null}, though a key of one "
    "value takes what is missing for null; ours is null in both",
    "$not of a list": "mongomock takes the list itself for true",
    "accumulators that mongomock lacks": "$push, and the rest in Python; its $addToSet takes 0 and "
    "'' for null, its $sum has no decimals",
    "operators that mongomock lacks": "$round and $dateTrunc, computed in Python",
    "stages that mongomock lacks": "$sortByCount and our $distinct, by $group",
    "$group of nothing": "gives nothing; mongomock gives one group for _id null",
    "$count of nothing": "gives nothing; mongomock gives 0",
    "null in $bucket": "belongs to the default; mongomock fails",
    "index of what is no array": "is null; mongomock leaves it out",
    # Not generated.
    "0 and 1 in JSON": "Python's True equals 1",
    "order of keys": "MongoDB compares objects with the order of their keys; JSONB has none",
    "empty $all": "matches nothing in MongoDB, everything in mongomock",
    "$gte null": "matches null in MongoDB; ours refuses it",
    "parts of lists in lists": "our $project keeps parts of objects in lists, no deeper",
    "$not in $elemMatch of scalars": "mongomock accepts everything there",
}


class SkippedError(Exception):
    """The case meets a known difference; the text is its name."""


TEXT_FORMS: dict[str, Callable[[str], str]] = {
    "$startswith": lambda text: "^" + re.escape(text),
    "$endswith": lambda text: re.escape(text) + r"\Z",
    "$contains": re.escape,
    "$icontains": re.escape,
}
IGNORING = ("$ilike", "$icontains")
LONGEST = 12
_SIZES: dict[str, Callable[[int, int], bool]] = {
    "$eq": lambda size, bound: size == bound, "$ne": lambda size, bound: size != bound,
    "$gt": lambda size, bound: size > bound, "$gte": lambda size, bound: size >= bound,
    "$lt": lambda size, bound: size < bound, "$lte": lambda size, bound: size <= bound,
}  # fmt: skip


def is_operators(value: Any) -> bool:
    return isinstance(value, Mapping) and any(key.startswith("$") for key in value)


def like_pattern(text: str) -> str:
    words = {"%": ".*", "_": "."}
    return "^" + "".join(words.get(letter) or re.escape(letter) for letter in text) + r"\Z"


def ends_early(parts: Sequence[str], value: Any) -> bool:
    """Whether the path leads on below something that is neither object nor array."""
    if not parts:
        return False
    if isinstance(value, Mapping):
        return parts[0] in value and ends_early(parts[1:], value[parts[0]])
    if isinstance(value, list):
        found = [item for item in value if isinstance(item, Mapping)]
        if parts[0].isdigit() and int(parts[0]) < len(value):
            return ends_early(parts[1:], value[int(parts[0])])
        return any(ends_early(parts, item) for item in found)
    return True


class FilterRewriter:
    """Rewrites one filter.

    Args:
        documents: What it is applied to.
        columns: The names that are never absent.
        uses: Counts the differences that were met.
        folds: Whether the database knows the case of letters beyond ASCII.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        columns: frozenset[str],
        uses: Counter[str],
        *,
        folds: bool = True,
    ) -> None:
        self.documents = documents
        self.columns = columns
        self.uses = uses
        self.folds = folds
        self.inside = False

    def skip(self, name: str) -> SkippedError:
        assert name in DIFFERENCES
        return SkippedError(name)

    def use(self, name: str) -> None:
        assert name in DIFFERENCES
        self.uses[name] += 1

    def filter(self, filter: Mapping[str, Any]) -> dict[str, Any]:
        parts = [self.entry(key, value) for key, value in filter.items()]
        return parts[0] if len(parts) == 1 else {"$and": parts} if parts else {}

    def entry(self, key: str, value: Any) -> dict[str, Any]:
        if key in ("$and", "$or", "$nor"):
            return {key: [self.filter(item) for item in value]}
        if key == "$not":
            return {"$nor": [self.filter(value)]}
        return self.path(key, value)

    def path(self, path: str, value: Any) -> dict[str, Any]:
        if not is_operators(value) or set(value) == {"$date"}:
            return self.operator(path, "$eq", value)
        options = value.get("$options", "")
        if "$options" in value and "$regex" not in value:
            raise ValueError("$options without $regex")
        parts = [
            self.operator(path, operator, (item, options) if operator == "$regex" else item)
            for operator, item in value.items()
            if operator != "$options"
        ]
        if len(parts) > 1:
            self.use("several operators on one path")
        return parts[0] if len(parts) == 1 else {"$and": parts}

    def operator(self, path: str, operator: str, value: Any) -> dict[str, Any]:
        rule = _RULES.get(operator)
        if rule is not None:
            return rule(self, path, value)
        if operator in ("$like", *IGNORING, *TEXT_FORMS):
            self.fold(value, ignoring=operator in IGNORING)
            return {path: {"$regex": _pattern(operator, value)}}
        return {path: {operator: plain(value)}}

    def null(self, path: str) -> None:
        """Refuse where mongomock cannot tell that a path leads nowhere."""
        parts = path.split(".")
        if any(ends_early(parts, document) for document in self.documents) or (
            self.inside and len(parts) > 1
        ):
            raise self.skip("null below a scalar")
        if any(part.isdigit() for part in parts[1:]):
            raise self.skip("null at an index")

    def fold(self, text: str, *, ignoring: bool) -> None:
        if ignoring and not self.folds and not text.isascii():
            raise self.skip("letters beyond ASCII")

    def equal(self, path: str, value: Any) -> dict[str, Any]:
        if value is None:
            self.null(path)
        return {path: plain(value)}

    def unequal(self, path: str, value: Any) -> dict[str, Any]:
        self.use("$ne and $nin")
        return {"$nor": [self.equal(path, value)]}

    def within(self, path: str, values: Any) -> dict[str, Any]:
        if None in values:
            self.null(path)
        if any(isinstance(item, list) for item in values):
            raise self.skip("array in an array")
        return {path: {"$in": plain(values)}}

    def without(self, path: str, values: Any) -> dict[str, Any]:
        self.use("$ne and $nin")
        return {"$nor": [self.within(path, values)]}

    def negate(self, path: str, value: Any) -> dict[str, Any]:
        self.use("$not")
        return {"$nor": [self.path(path, value)]}

    def is_null(self, path: str, value: Any) -> dict[str, Any]:
        found = self.equal(path, None)
        return found if value else {"$nor": [found]}

    def exists(self, path: str, value: Any) -> dict[str, Any]:
        if path in self.columns and not self.inside:
            self.use("a column that is null")
            is_null = {"$and": [{path: None}, {"$nor": [{path: {"$type": "array"}}]}]}
            return {"$nor": [is_null]} if value else is_null
        found = {path: {"$exists": True}}
        if value:
            return found
        self.use("$exists false")
        return {"$nor": [found]}

    def size(self, path: str, value: Any) -> dict[str, Any]:
        self.use("$size")
        tests = value if isinstance(value, Mapping) else {"$eq": value}
        sizes = [
            size
            for size in range(LONGEST + 1)
            if all(_SIZES[operator](size, bound) for operator, bound in tests.items())
        ]
        either = [{path: {"$size": size}} for size in sizes] or [{"$nor": [{}]}]
        return {"$and": [{path: {"$type": "array"}}, {"$or": either}]}

    def between(self, path: str, value: Any) -> dict[str, Any]:
        low, high = plain(value)
        return {"$and": [{path: {"$gte": low}}, {path: {"$lte": high}}]}

    def regex(self, path: str, value: Any) -> dict[str, Any]:
        pattern, options = value
        self.fold(pattern, ignoring="i" in options)
        if options:
            self.use("$options")
        return {path: {"$regex": re.compile(pattern, re.IGNORECASE if "i" in options else 0)}}

    def contains(self, path: str, value: Any) -> dict[str, Any]:
        """An array that has the value, or a text that has the part."""
        has = {path: {"$elemMatch": {"$eq": value}}}
        if not isinstance(value, str):
            return has
        part = {path: {"$regex": re.escape(value)}}
        return {"$or": [has, {"$and": [part, {"$nor": [{path: {"$type": "array"}}]}]}]}

    def every(self, path: str, value: Any) -> dict[str, Any]:
        self.use("$all")
        return {"$and": [self.equal(path, item) for item in value]}

    def element(self, path: str, value: Any) -> dict[str, Any]:
        before, self.inside = self.inside, True
        try:
            body = self.within_element(value) if is_operators(value) else self.filter(value)
        finally:
            self.inside = before
        return {path: {"$elemMatch": body}}

    def within_element(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Operators on one scalar, which mongomock takes only side by side."""
        if set(value) & {"$and", "$or", "$nor", "$not"}:
            return self.filter(value)
        if any(isinstance(value.get(operator), list) for operator in ("$eq", "$ne")):
            raise self.skip("list in a list")
        found: dict[str, Any] = {}
        for operator, item in value.items():
            if operator == "$between":
                found |= {"$gte": item[0], "$lte": item[1]}
            elif operator == "$regex":
                found["$regex"] = re.compile(item)
            elif operator == "$like" or operator in TEXT_FORMS:
                found["$regex"] = _pattern(operator, item)
            else:
                found[operator] = item
        return found


def _pattern(operator: str, text: str) -> re.Pattern[str]:
    form = TEXT_FORMS.get(operator, like_pattern)
    return re.compile(form(text), re.DOTALL | (re.IGNORECASE if operator in IGNORING else 0))


_Rule = Callable[[FilterRewriter, str, Any], dict[str, Any]]
_RULES: dict[str, _Rule] = {
    "$eq": FilterRewriter.equal,
    "$ne": FilterRewriter.unequal,
    "$in": FilterRewriter.within,
    "$nin": FilterRewriter.without,
    "$not": FilterRewriter.negate,
    "$null": FilterRewriter.is_null,
    "$exists": FilterRewriter.exists,
    "$size": FilterRewriter.size,
    "$between": FilterRewriter.between,
    "$regex": FilterRewriter.regex,
    "$contains": FilterRewriter.contains,
    "$all": FilterRewriter.every,
    "$elemMatch": FilterRewriter.element,
}
