"""`$lookup` and `$unwind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.query.elements import Elements
from dataflow.query.expressions import Expressions
from dataflow.query.grouping import check_name
from dataflow.query.kinds import ANY, BOOL, INT, Array, Document, Json, Scalar
from dataflow.query.rows import Joined, Order, Rows, rows_of
from dataflow.query.terms import (
    Term,
    as_json,
    bound,
    call,
    compared,
    document,
    unified,
    unpacked,
)

__all__ = ["lookup_rows", "unwind_rows"]

_LOOKUP = ("from", "localField", "foreignField", "as")


# ----------------------------------------------------------------------- $lookup


def lookup_rows(rows: Rows, options: Any) -> Rows:
    """Return rows with the list of another model's records that have an equal value."""
    if not isinstance(options, Mapping) or set(options) != set(_LOOKUP):
        raise rows.refuse(f"$lookup takes {', '.join(_LOOKUP)}.")
    check_name(rows, "$lookup", options["as"])
    rows = rows.free()
    table = rows.plan.table_of(options["from"])
    foreign = rows_of(rows.plan, table).nested(named=False)
    local = Expressions(rows.fields, rows.plan.at, rows.plan.model).field(
        str(options["localField"])
    )
    other = Expressions(foreign.fields, rows.plan.at).field(str(options["foreignField"]))
    nullable = local.nullable and table.spec.field(str(options["foreignField"])).nullable
    if not isinstance(local.kind, Scalar):
        local = call("json column", as_json(local))  # what is missing looks up null
    test = _equality(local, other, nullable=nullable)
    if not isinstance(local.kind, Scalar):  # a list matches by each of its elements
        element = call("json contains", as_json(other, exact=False), local, kind=BOOL)
        test = sa.or_(test, element.sql)
    value = document(foreign.fields)
    place = foreign.fields[table.spec.key[0]]
    array = call("push", place, as_json(value), kind=Array(value.kind))
    query = sa.select(array.sql).select_from(foreign.source).where(test)
    found = query.correlate(rows.source).scalar_subquery()
    term = Term(array.kind, call("json or empty", found, kind=ANY).sql, weight=array.weight)
    joins = {**rows.joins, options["as"]: Joined(foreign, test, term)}
    return rows.replaced(fields={**rows.fields, options["as"]: term}, joins=joins)


def _equality(left: Term, right: Term, *, nullable: bool) -> Any:
    """Return the test for equal values; plain where not both may be null, for the indexes."""
    a, b = unified([left, right])
    if nullable or a.family is None or a.family == "decimal":
        return compared("==", left, right).sql
    return a.sql == b.sql


# ----------------------------------------------------------------------- $unwind


class _Unwind(NamedTuple):
    path: str
    index_name: str | None
    keep: bool


def unwind_rows(rows: Rows, options: Any) -> Rows:
    """Return one row per element of a list."""
    unwind = _options(rows, options)
    head, *rest = unwind.path.split(".")
    joined = _joined(rows, unwind)
    if joined is not None:
        return _join(rows, unwind.path, joined)
    rows = rows.nested() if rows.joins else rows.free()
    term = Expressions(rows.fields, rows.plan.at, rows.plan.model).field(unwind.path)
    if not isinstance(term.kind, Json | Array):
        raise rows.refuse(f"$unwind takes a list, and {unwind.path!r} holds none.")
    rows, value, index = _spread(rows, term, unwind)
    base = rows.fields[head]
    fields = {**rows.fields, head: _replaced(rows, base, rest, value)}
    if unwind.index_name is not None:
        fields[unwind.index_name] = index
    return rows.replaced(fields=fields).nested()


def _joined(rows: Rows, unwind: _Unwind) -> Joined | None:
    """Return the join that may stand for the list: untouched, of all rows, with elements only."""
    found = rows.joins.get(unwind.path)
    if found is None or found.made is not rows.fields.get(unwind.path):
        return None
    return None if rows.is_limited or unwind.keep or unwind.index_name is not None else found


def _options(rows: Rows, options: Any) -> _Unwind:
    given = {"path": options} if isinstance(options, str) else options
    known = {"path", "includeArrayIndex", "preserveNullAndEmptyArrays"}
    if not isinstance(given, Mapping) or "path" not in given or not set(given) <= known:
        raise rows.refuse(f"$unwind takes a path, or a dict of {', '.join(sorted(known))}.")
    path, index = given["path"], given.get("includeArrayIndex")
    if not isinstance(path, str) or not path.startswith("$") or len(path) < 2:
        raise rows.refuse(f"$unwind takes a path such as '$tags', not {path!r}.")
    if index is not None:
        check_name(rows, "$unwind", index)
    return _Unwind(path[1:], index, bool(given.get("preserveNullAndEmptyArrays")))


def _join(rows: Rows, name: str, joined: Joined) -> Rows:
    """Return a join in place of a list that is taken apart at once."""
    foreign: Rows = joined.foreign
    source = sa.join(rows.source, foreign.source, joined.test)
    fields = {**rows.fields, name: document(foreign.fields)}
    natural = (*rows.natural, *foreign.natural)
    order = (*rows.order, *foreign.natural) if rows.order else ()
    return rows.replaced(source=source, fields=fields, natural=natural, order=order).nested()


def _spread(rows: Rows, term: Term, unwind: _Unwind) -> tuple[Rows, Term, Term]:
    """Return the rows joined with the elements, the element, and its index."""
    value = as_json(term)
    elements = Elements(call("json list", value).sql).rows(f"u{rows.plan.number()}")
    source = sa.join(rows.source, elements, sa.true(), isouter=unwind.keep)
    element = call("json element", elements.c.value, elements.c.type)
    if unwind.keep:
        element = call("json kept", element, value)
    index = call("json index", elements.c.key, value, kind=INT)
    place = Order(Term(INT, elements.c.key), descending=False)
    natural = (*rows.natural, place) if rows.natural else ()
    order = (*rows.order, place) if rows.order else ()
    item = term.kind.item if isinstance(term.kind, Array) else ANY
    if unwind.keep and isinstance(item, Document):
        element = Term(item, element.sql)  # an object of its own could not be missing
    else:
        element = unpacked(element, item)
    return rows.replaced(source=source, natural=natural, order=order), element, index


def _replaced(rows: Rows, base: Term, path: list[str], value: Term) -> Term:
    """Return a field with the element in place of the list."""
    if not path:
        return value
    if base.is_document:
        part = _replaced(rows, base.parts[path[0]], path[1:], value)
        return document({**base.parts, path[0]: part})
    if not isinstance(base.kind, Json):
        raise rows.refuse("$unwind cannot go into a list of lists; unwind the outer one first.")
    steps, above = (bound("\x01".join(part), sa.Text()) for part in (path, path[:-1]))
    words = bound("$" + "".join(f'."{part}"' for part in path), sa.Text())
    found, item = as_json(base, exact=False), as_json(value, exact=False)
    return call("json set", found, steps, words, item, above)
