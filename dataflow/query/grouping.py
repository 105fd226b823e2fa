"""`$group` and `$bucket`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from dataflow.query.accumulators import Accumulation, parse_accumulator
from dataflow.query.dates import instant_of, is_date
from dataflow.query.expressions import Expressions
from dataflow.query.kinds import ANY, Json, Scalar
from dataflow.query.rows import Order, Rows
from dataflow.query.terms import Term, as_json, call, document, leaves, rebuilt

__all__ = ["bucket_rows", "check_name", "group_rows"]

MAX_RESULTS = 500
_NAME = re.compile(r"[^$.\0\ud800-\udfff][^.\0\ud800-\udfff]{0,127}")


def check_name(rows: Rows, stage: str, name: Any) -> None:
    """Refuse a name of a result that MongoDB would refuse.

    Raises:
        FilterError: For no text, an empty one, dots or a leading `$`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise rows.refuse(
            f"{stage} cannot name a result {name!r}.",
            "names are plain text without dots, and do not begin with $",
        )


def group_rows(rows: Rows, options: Any) -> Rows:
    """Return one row per value of `_id`, with accumulators over its rows."""
    if not isinstance(options, Mapping) or "_id" not in options:
        problem = "$group takes a dict with '_id': an expression, or None for one group."
        raise rows.refuse(problem)
    if len(options) > MAX_RESULTS:
        raise rows.refuse(f"$group has at most {MAX_RESULTS} results.")
    scope = Expressions(rows.fields, rows.plan.at, rows.plan.model)
    key = _group_key(scope.compile(options["_id"]))
    accumulations = {}
    for name, given in options.items():
        if name != "_id":
            check_name(rows, "$group", name)
            accumulations[name] = parse_accumulator(name, given, scope)
    return grouped(rows, key, accumulations)


def _group_key(term: Term) -> Term:
    """Return a key whose parts can be compared; what is missing is null."""
    if term.is_document:
        return document({name: _group_key(part) for name, part in term.parts.items()})
    if not isinstance(term.kind, Scalar):
        filled = call("json column", as_json(term))
        kind = ANY if isinstance(term.kind, Json) else term.kind
        return Term(kind, call("json key", filled).sql, weight=filled.weight)
    if term.family == "decimal":
        return call("decimal key", term, kind=term.kind)
    return term


def grouped(rows: Rows, key: Term, accumulations: Mapping[str, Accumulation]) -> Rows:
    """Return the groups of rows with equal keys."""
    inputs = {f"\0{name}": found.input for name, found in accumulations.items()}
    rows = rows.replaced(fields={"_id": key, **inputs})
    place = Term(ANY, sa.literal(0, sa.Integer()))
    if any(found.is_ordered for found in accumulations.values()):
        rows, place = rows.numbered()
    rows = rows.nested({"\0place": place})
    fields = dict(rows.fields)
    key, place = fields.pop("_id"), fields.pop("\0place")
    results = {
        name: found.over(fields[f"\0{name}"], place) for name, found in accumulations.items()
    }
    columns = [leaf.sql for leaf in leaves(key) if not _is_constant(leaf)]
    if not columns and not results:  # nothing else would make one row of all
        columns = [sa.cast(sa.null(), sa.Integer())]
    return Rows(
        rows.plan,
        rows.source,
        {"_id": _constant_free(key), **results},
        group_by=tuple(columns),
        having=None if columns else sa.func.count() > 0,
    ).nested()


def _is_constant(term: Term) -> bool:
    return term.family == "null"


def _constant_free(key: Term) -> Term:
    return rebuilt(
        key, iter([sa.null() if _is_constant(leaf) else leaf.sql for leaf in leaves(key)])
    )


def bucket_rows(rows: Rows, options: Any) -> Rows:
    """Return one row per range between two boundaries that has records."""
    at = rows.plan.at
    known = {"groupBy", "boundaries", "default", "output"}
    if (
        not isinstance(options, Mapping)
        or not {"groupBy", "boundaries", "default"} <= set(options) <= known
    ):
        problem = "$bucket takes groupBy, boundaries, default and, if wished, output."
        advise = "give a default, the bucket of what is outside; MongoDB fails without one"
        raise rows.refuse(problem, advise)
    value = Expressions(rows.fields, at, rows.plan.model).compile(options["groupBy"])
    # A column of its own, because it is compared with every boundary.
    rows = rows.nested({"\0bucket": value}, once=True)
    scope = Expressions(rows.fields, at, rows.plan.model)
    key = _bucket_key(scope, rows.fields["\0bucket"], options)
    output = options.get("output", {"count": {"$sum": 1}})
    if not isinstance(output, Mapping):
        raise rows.refuse("$bucket's output takes accumulators by name.")
    found = {}
    for name, given in output.items():
        check_name(rows, "$bucket", name)
        found[name] = parse_accumulator(name, given, scope)
    result = grouped(rows, _group_key(key), found)
    return result.replaced(order=_by_key(result))


def _by_key(rows: Rows) -> Any:
    return (Order(rows.fields["_id"], descending=False),)


def _is_ascending(bounds: Any) -> bool:
    try:
        return all(low < high for low, high in pairwise(bounds))
    except TypeError:
        return False


def _bucket_key(scope: Expressions, value: Term, options: Mapping[str, Any]) -> Term:
    bounds = options["boundaries"]
    if not isinstance(bounds, list | tuple) or len(bounds) < 2 or len(bounds) > 200:
        scope.refuse("$bucket's boundaries are a list of 2 to 200 values.")
    bounds = [instant_of(bound, scope.at) if is_date(bound) else bound for bound in bounds]
    if not _is_ascending(bounds):
        scope.refuse("$bucket's boundaries must ascend, and be of one type.")
    branches = [
        {"case": {"$and": [{"$gte": ["$v", {"$literal": a}]}, {"$lt": ["$v", {"$literal": b}]}]},
         "then": {"$literal": a}}
        for a, b in pairwise(bounds)
    ]  # fmt: skip
    inner = Expressions({"v": value}, scope.at)
    return inner.compile(
        {"$switch": {"branches": branches, "default": {"$literal": options["default"]}}}
    )
