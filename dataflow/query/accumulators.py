"""Accumulators: what `$group` computes over the rows of a group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.errors import FilterError, did_you_mean, shown
from dataflow.query.expressions import Expressions
from dataflow.query.kinds import FLOAT, INT, Array, Json, Scalar
from dataflow.query.terms import Term, as_json, call, literal, number_of

__all__ = ["ACCUMULATORS", "Accumulation", "parse_accumulator"]

_ORDERED = ("$first", "$last", "$push")
_UNORDERED_TYPES = ("bool", "uuid", "bytes")


class Accumulation(NamedTuple):
    """An accumulator and the value that it takes from each row."""

    operator: str
    input: Term

    @property
    def is_ordered(self) -> bool:
        """Whether the order of rows matters."""
        return self.operator in _ORDERED

    def over(self, value: Term, place: Term) -> Term:
        """Return the result for a group.

        Args:
            value: The input, as a column of the rows.
            place: The number of each row's place in the order.
        """
        return ACCUMULATORS[self.operator](value, place)


def parse_accumulator(name: str, given: Any, scope: Expressions) -> Accumulation:
    """Return what `{"$sum": "$amount"}` means.

    Raises:
        FilterError: For an unknown accumulator or an operand of a wrong type.
    """
    if not isinstance(given, Mapping) or len(given) != 1:
        problem = (
            f"{name!r} needs one accumulator, as in {{'$sum': '$amount'}}, not {shown(given)}."
        )
        raise FilterError(problem=problem, at=scope.at)
    operator, operand = next(iter(given.items()))
    if operator not in ACCUMULATORS:
        problem = f"there is no accumulator {operator!r} (for {name!r})."
        known = did_you_mean(str(operator), ACCUMULATORS)
        raise FilterError(problem=problem, advise=known, at=scope.at)
    if operator == "$count":
        if operand not in ({}, None, True, 1):
            scope.refuse(f"$count of {name!r} takes nothing: {{'$count': {{}}}}.")
        return Accumulation("$sum", literal(1))
    if operator in ("$sum", "$avg", "$stdDevPop", "$stdDevSamp"):
        return Accumulation(operator, _number(operator, operand, name, scope))
    return Accumulation(operator, scope.compile(operand))


def _number(operator: str, operand: Any, name: str, scope: Expressions) -> Term:
    if type(operand) is int:
        return literal(operand)
    term = scope.compile(operand)
    number = number_of(term)
    if number is None:
        scope.refuse(f"{operator} of {name!r} takes numbers, not {term.kind.name}.")
    return number


def _sum(value: Term, place: Term) -> Term:
    del place
    if value.family == "null":
        value = literal(0)
    name = "sum decimal" if value.family == "decimal" else "sum"
    kind = INT if value.family == "int" else value.kind
    total = call(name, value, kind=kind)
    zero = _zero(value)
    return Term(kind, sa.func.coalesce(total.sql, zero, type_=kind.type))  # type: ignore[union-attr]  # numbers are scalars


def _zero(value: Term) -> Any:
    return sa.literal_column("'0'" if value.family == "decimal" else "0")


def _average(value: Term, place: Term) -> Term:
    del place
    if value.family == "decimal":
        return call("avg decimal", value, kind=value.kind)
    return call("avg", value, kind=FLOAT)


def _extreme(name: str) -> Callable[[Term, Term], Term]:
    """Return the rule of `$min` or `$max`; null and missing values do not count."""
    function, least = (sa.func.min, "least") if name == "min" else (sa.func.max, "greatest")

    def rule(value: Term, place: Term) -> Term:
        del place
        if not isinstance(value.kind, Scalar):
            return _json_extreme(f"json {least}", as_json(value, exact=False))
        if value.family in _UNORDERED_TYPES:
            return call(least, value, kind=value.kind)
        column = call("decimal key", value).sql if value.family == "decimal" else value.sql
        return Term(value.kind, function(column, type_=value.kind.type))

    return rule


def _json_extreme(name: str, value: Term) -> Term:
    keys = [call(key, value) for key in ("json rank", "number of json", "json text key")]
    return call("json column", call(name, value, *keys))


def _deviation(which: str) -> Callable[[Term, Term], Term]:
    def rule(value: Term, place: Term) -> Term:
        del place
        return Term(FLOAT, call(f"deviation of {which}", value, kind=FLOAT).sql)

    return rule


def _placed(name: str) -> Callable[[Term, Term], Term]:
    """Return the rule of `$first` or `$last`."""

    def rule(value: Term, place: Term) -> Term:
        packed = value if isinstance(value.kind, Scalar) else as_json(value)
        found = call(name, place, packed, kind=packed.kind)
        if isinstance(packed.kind, Scalar):
            return found
        whole = isinstance(packed.kind, Json) and packed.kind.declared is not None
        return Term(packed.kind, call("json or null" if whole else "json column", found).sql)

    return rule


def _push(value: Term, place: Term) -> Term:
    return call("push", place, as_json(value), kind=Array(value.kind))


def _collect(value: Term, place: Term) -> Term:
    del place
    return call("collect", as_json(value), kind=Array(value.kind))


ACCUMULATORS: dict[str, Callable[[Term, Term], Term]] = {
    "$sum": _sum,
    "$avg": _average,
    "$min": _extreme("min"),
    "$max": _extreme("max"),
    "$count": _sum,
    "$first": _placed("first"),
    "$last": _placed("last"),
    "$push": _push,
    "$addToSet": _collect,
    "$stdDevPop": _deviation("all"),
    "$stdDevSamp": _deviation("sample"),
}
