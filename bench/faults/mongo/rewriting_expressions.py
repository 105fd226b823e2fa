"""Our expressions in mongomock's words."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.faults.mongo.comparing import plain
from bench.faults.mongo.documents import Document
from bench.faults.mongo.rewriting import DIFFERENCES, SkippedError

COMPARE = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")
OF_DATES = ("$year", "$month", "$dayOfMonth", "$hour")
APART = ("$round", "$dateTrunc")
UNITS = ("hour", "day", "month", "year")


class Reached(NamedTuple):
    """Whether a path is missing or null in some document, and spread over an array."""

    missing: bool
    null: bool
    spread: bool


def reach(path: str, documents: Sequence[Document]) -> Reached:
    missing = null = spread = False
    for document in documents:
        value: Any = document
        for part in path.split("."):
            spread = spread or isinstance(value, list)
            value = value.get(part, Ellipsis) if isinstance(value, Mapping) else Ellipsis
        missing = missing or value is Ellipsis
        null = null or value is None
    return Reached(missing, null, spread)


def is_operator(value: Mapping[str, Any]) -> bool:
    return any(key.startswith("$") for key in value)


class ExpressionRewriter:
    """Rewrites the expressions of one stage.

    Args:
        documents: What the stage finds.
        uses: Counts the differences that were met.
    """

    def __init__(self, documents: Sequence[Document], uses: Counter[str]) -> None:
        self.documents = documents
        self.uses = uses

    def use(self, name: str) -> None:
        assert name in DIFFERENCES
        self.uses[name] += 1

    def rewrite(self, value: Any, *, last: bool) -> Any:
        """Return an expression; `last` where what is missing may stay so."""
        if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
            return self.path(value, last=last)
        if not isinstance(value, Mapping):
            return plain(value)
        if not is_operator(value):
            return self.object(value)
        ((name, operand),) = value.items()
        rule = _RULES.get(name)
        return rule(self, operand, last=last) if rule is not None else self.operator(name, operand)

    def key(self, value: Any) -> Any:
        """Return the key of a group; what is missing is null there."""
        if isinstance(value, Mapping) and not is_operator(value):
            self.use("a key that lacks a part")
            return {name: self.rewrite(item, last=False) for name, item in value.items()}
        return self.rewrite(value, last=True)

    def operator(self, name: str, operand: Any) -> Any:
        if name in COMPARE:
            return {name: self.compared(operand)}
        return self.part(name, operand) if name in OF_DATES else {name: self.inner(operand)}

    def inner(self, operand: Any) -> Any:
        if isinstance(operand, list):
            return [self.rewrite(item, last=False) for item in operand]
        return self.rewrite(operand, last=False)

    def path(self, value: str, *, last: bool) -> Any:
        reached = reach(value[1:], self.documents)
        if reached.spread:
            raise SkippedError("a path into an array")
        if last or not reached.missing:
            return value
        self.use("missing inside an expression")
        return {"$ifNull": [value, None]}

    def object(self, value: Mapping[str, Any]) -> Document:
        for item in value.values():
            if self.may_lack(item).missing:
                raise SkippedError("an object that lacks a key")
        return {key: self.rewrite(item, last=True) for key, item in value.items()}

    def may_lack(self, value: Any) -> Reached:
        """Return whether an operand may be missing or null."""
        if isinstance(value, str) and value.startswith("$"):
            return reach(value[1:], self.documents)
        computed = isinstance(value, Mapping)
        return Reached(missing=computed, null=computed or value is None, spread=False)

    def compared(self, operand: list[Any]) -> list[Any]:
        left, right = map(self.may_lack, operand)
        if (left.missing and (right.missing or right.null)) or (right.missing and left.null):
            raise SkippedError("missing against null")
        return [self.rewrite(item, last=False) for item in operand]

    def part(self, name: str, operand: Any) -> Document:
        self.use("null in an operator")
        inner = self.rewrite(operand, last=False)
        return {"$cond": [{"$eq": [inner, None]}, None, {name: inner}]}

    def literal(self, operand: Any, *, last: bool) -> Document:
        del last
        return {"$literal": operand}

    def without_list(self, operand: Any, *, last: bool) -> Document:
        del last
        self.use("$not of a list")
        (inner,) = operand
        return {"$not": self.rewrite(inner, last=False)}

    def substring(self, operand: Any, *, last: bool) -> Document:
        del last
        self.use("null in an operator")
        text, start, length = operand
        return {"$substr": [{"$ifNull": [self.rewrite(text, last=False), ""]}, start, length]}

    def first_present(self, operand: Any, *, last: bool) -> Document:
        *others, fallback = operand
        found = [self.rewrite(item, last=True) for item in others]
        return {"$ifNull": [*found, self.rewrite(fallback, last=last)]}

    def choice(self, operand: Any, *, last: bool) -> Document:
        if isinstance(operand, Mapping):
            operand = [operand["if"], operand["then"], operand["else"]]
        test, yes, no = operand
        branches = [self.rewrite(item, last=last) for item in (yes, no)]
        return {"$cond": [self.rewrite(test, last=False), *branches]}

    def switch(self, operand: Any, *, last: bool) -> Document:
        branches = [
            {
                "case": self.rewrite(branch["case"], last=False),
                "then": self.rewrite(branch["then"], last=last),
            }
            for branch in operand["branches"]
        ]
        default = self.rewrite(operand["default"], last=last)
        return {"$switch": {"branches": branches, "default": default}}


_Rule = Callable[..., Any]
_RULES: dict[str, _Rule] = {
    "$literal": ExpressionRewriter.literal,
    "$not": ExpressionRewriter.without_list,
    "$substr": ExpressionRewriter.substring,
    "$ifNull": ExpressionRewriter.first_present,
    "$cond": ExpressionRewriter.choice,
    "$switch": ExpressionRewriter.switch,
}


def apart(value: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """Return what mongomock evaluates of an operator that it lacks, and the rest in Python."""
    if not isinstance(value, Mapping) or not set(value) & set(APART):
        return None
    ((name, operand),) = value.items()
    if name == "$dateTrunc":
        unit = operand["unit"]
        return operand["date"], lambda found: None if found is None else truncated(found, unit)
    number, places = [*operand, 0][:2]
    if not isinstance(number, str | dict):
        number = {"$literal": number}
    return number, lambda found: None if found is None else round(found, places)


def truncated(instant: dt.datetime, unit: str) -> dt.datetime:
    fields = {"minute": 0, "second": 0, "microsecond": 0}
    for smaller, first in zip(UNITS, (0, 1, 1), strict=False):
        if smaller == unit:
            break
        fields[smaller] = first
    return instant.replace(**fields)
