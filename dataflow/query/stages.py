"""The stages of a pipeline; each turns rows into other rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from dataflow.errors import FilterError, UnknownFieldError, did_you_mean, shown
from dataflow.query.conditions import condition_for
from dataflow.query.expressions import Expressions
from dataflow.query.filters import parse_filter
from dataflow.query.grouping import bucket_rows, check_name, group_rows
from dataflow.query.joins import lookup_rows, unwind_rows
from dataflow.query.kinds import ANY, Array
from dataflow.query.projection import add_fields, project_fields
from dataflow.query.rows import Order, Rows
from dataflow.query.terms import Term, as_json, call, document, truth

__all__ = ["STAGES", "apply_stages"]

MAX_STAGES = 100
MAX_SORTS = 32
_DIRECTIONS = {1: False, -1: True, "asc": False, "desc": True}
Stage = Callable[[Rows, Any], Rows]


def apply_stages(rows: Rows, pipeline: Any) -> Rows:
    """Return the rows after every stage.

    Raises:
        FilterError: For an unknown stage, a wrong shape or more than 100 stages.
    """
    if not isinstance(pipeline, list | tuple):
        raise rows.refuse(f"a pipeline must be a list of stages, not {type(pipeline).__name__}.")
    if len(pipeline) > MAX_STAGES:
        raise rows.refuse(f"a pipeline has at most {MAX_STAGES} stages.")
    for number, stage in enumerate(pipeline, 1):
        rows = _applied(rows, stage, number)
    return rows


def _applied(rows: Rows, stage: Any, number: int) -> Rows:
    """Return the rows after one stage; its errors name it."""
    if not isinstance(stage, Mapping) or len(stage) != 1:
        problem = (
            f"a stage must be a dict with one key, such as {{'$match': …}}, not {shown(stage)}."
        )
        raise rows.refuse(problem)
    ((name, options),) = stage.items()
    rule = STAGES.get(name)
    if rule is None:
        raise rows.refuse(f"there is no stage {name!r}.", did_you_mean(str(name), STAGES))
    if rows.joins and name != "$unwind":
        rows = rows.nested()  # the list is made once, however often it is looked into
    try:
        return rule(rows, options)
    except (FilterError, UnknownFieldError) as error:
        if error.at is None:
            error.set_fact("at", f"stage {number}, {name}")
        raise


def _match(rows: Rows, options: Any) -> Rows:
    if not isinstance(options, Mapping):
        raise rows.refuse(f"$match takes a filter, not {shown(options)}.")
    rows = rows.free()
    plain = dict(options)
    tests = []
    if "$expr" in plain:
        scope = Expressions(rows.fields, rows.plan.at, rows.plan.model)
        tests.append(truth(scope.compile(plain.pop("$expr"))).sql)
    source = _FilterSource(rows)
    parsed = parse_filter(source, plain, rows.plan.validate(), rows.plan.at)
    if parsed.shape:
        prefix = f"m{rows.plan.number()}_"
        rows.plan.values.update(parsed.named(prefix))
        tests.append(condition_for(source, parsed.shape, prefix))
    return rows.replaced(where=(*rows.where, *tests))


class _FilterSource:
    """The fields of rows as a filter wants them."""

    def __init__(self, rows: Rows) -> None:
        self.fields = rows.specs
        self.field = rows.field


def _sort(rows: Rows, options: Any) -> Rows:
    if not isinstance(options, Mapping) or not 0 < len(options) <= MAX_SORTS:
        problem = f"$sort takes a dict of 1 to {MAX_SORTS} fields, as in {{'total': -1}}."
        raise rows.refuse(problem)
    rows = rows.free()
    scope = Expressions(rows.fields, rows.plan.at, rows.plan.model)
    order = []
    for name, direction in options.items():
        if not isinstance(direction, int | str) or direction not in _DIRECTIONS:
            raise rows.refuse(f"$sort of {name!r} takes 1 or -1, not {shown(direction)}.")
        order.append(Order(scope.field(str(name)), _DIRECTIONS[direction]))
    return rows.replaced(order=tuple(order))


def _number(rows: Rows, stage: str, value: Any, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**62:
        raise rows.refuse(f"{stage} takes a whole number from {least}, not {shown(value)}.")
    return value


def _limit(rows: Rows, options: Any) -> Rows:
    number = _number(rows, "$limit", options, 1)
    if rows.limit is not None:
        rows = rows.nested()
    return rows.replaced(limit=number)


def _skip(rows: Rows, options: Any) -> Rows:
    number = _number(rows, "$skip", options, 0)
    if rows.is_limited:
        rows = rows.nested()
    return rows.replaced(offset=number)


def _count(rows: Rows, options: Any) -> Rows:
    check_name(rows, "$count", options)
    counted = group_rows(rows, {"_id": None, "n": {"$sum": 1}})
    return counted.replaced(fields={options: counted.fields["n"]})


def _sort_by_count(rows: Rows, options: Any) -> Rows:
    grouped = group_rows(rows, {"_id": options, "count": {"$sum": 1}})
    return _sort(grouped, {"count": -1})


def _distinct(rows: Rows, options: Any) -> Rows:
    names = [options] if isinstance(options, str) else options
    if not isinstance(names, list | tuple) or not names:
        raise rows.refuse("$distinct takes a field or a list of fields.")
    parts = {str(name).removeprefix("$"): f"${str(name).removeprefix('$')}" for name in names}
    grouped = group_rows(rows, {"_id": parts})
    return grouped.replaced(fields=dict(grouped.fields["_id"].parts))


def _facet(rows: Rows, options: Any) -> Rows:
    if not isinstance(options, Mapping) or not 0 < len(options) <= MAX_STAGES:
        raise rows.refuse(f"$facet takes a dict of 1 to {MAX_STAGES} pipelines by name.")
    shared = rows.nested()
    fields: dict[str, Term] = {}
    for name, pipeline in options.items():
        check_name(rows, "$facet", name)
        if any("$facet" in stage for stage in pipeline if isinstance(stage, Mapping)):
            raise rows.refuse("a $facet cannot stand inside another one.")
        fields[name] = _packed(apply_stages(shared, pipeline))
    return Rows(rows.plan, sa.select(sa.true().label("one")).subquery("one"), fields)


def _packed(rows: Rows) -> Term:
    """Return all rows as one list."""
    rows, place = rows.numbered()
    if rows.is_limited or rows.group_by:
        rows = rows.nested()
    value = document(rows.fields)
    array = call("push", place, as_json(value), kind=Array(value.kind))
    query = rows.select([array.sql]).scalar_subquery()
    return Term(array.kind, call("json or empty", query, kind=ANY).sql)


STAGES: dict[str, Stage] = {
    "$match": _match,
    "$group": group_rows,
    "$project": project_fields,
    "$addFields": add_fields,
    "$set": add_fields,
    "$sort": _sort,
    "$limit": _limit,
    "$skip": _skip,
    "$count": _count,
    "$unwind": unwind_rows,
    "$lookup": lookup_rows,
    "$facet": _facet,
    "$bucket": bucket_rows,
    "$sortByCount": _sort_by_count,
    "$distinct": _distinct,
}
