"""`$project` and `$addFields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflow.errors import FilterError
from dataflow.query.expressions import Expressions
from dataflow.query.rows import Rows
from dataflow.query.terms import Term, document

__all__ = ["add_fields", "project_fields"]

Tree = dict[str, Any]


def _refuse(rows: Rows, problem: str) -> FilterError:
    return FilterError(problem=problem, at=rows.plan.at)


def _check(rows: Rows, stage: str, options: Any) -> None:
    if not isinstance(options, Mapping) or not options:
        raise _refuse(rows, f"{stage} takes a dict of fields.")
    for name in options:
        if not isinstance(name, str) or not all(name.split(".")) or name.startswith("$"):
            raise _refuse(rows, f"{stage} cannot name a field {name!r}.")


def _is_switch(value: Any) -> bool:
    """Whether a value includes (1, True) or excludes (0, False) a field."""
    return isinstance(value, bool) or (isinstance(value, int) and value in (0, 1))


def project_fields(rows: Rows, options: Any) -> Rows:
    """Return rows with the chosen and computed fields, or without the excluded ones."""
    _check(rows, "$project", options)
    switches = {name: bool(value) for name, value in options.items() if _is_switch(value)}
    off = [name for name, on in switches.items() if not on]
    chosen = {name: value for name, value in options.items() if name not in off}
    if chosen and [name for name in off if name != "_id"]:
        raise _refuse(rows, "$project includes fields or excludes them, not both.")
    if not chosen:
        return rows.replaced(fields=_without(rows, off))
    scope = Expressions(rows.fields, rows.plan.at)
    tree: Tree = {}
    if "_id" in rows.fields and "_id" not in options:
        tree["_id"] = rows.fields["_id"]
    for name, value in chosen.items():
        _place(rows, tree, name, _chosen(scope, name, value))
    return _settled(rows, {name: _built(part) for name, part in tree.items()})


def _chosen(scope: Expressions, path: str, value: Any) -> Term:
    if _is_switch(value):
        return scope.field(path)
    if isinstance(value, Mapping) and not any(str(key).startswith("$") for key in value):
        parts = {str(key): _chosen(scope, f"{path}.{key}", item) for key, item in value.items()}
        return document(parts)
    return scope.compile(value)


def _without(rows: Rows, names: list[str]) -> dict[str, Term]:
    fields = dict(rows.fields)
    for name in names:
        head, _, rest = name.partition(".")
        if name == "_id" and name not in fields:
            continue
        rows.field(name) if name not in rows.fields else None
        if not rest:
            del fields[head]
            continue
        if not fields[head].is_document or "." in rest:
            raise _refuse(rows, f"$project cannot exclude {name!r}, a part of a JSON field.")
        fields[head] = document({k: v for k, v in fields[head].parts.items() if k != rest})
    return fields


def _place(rows: Rows, tree: Tree, path: str, term: Term) -> None:
    *heads, last = path.split(".")
    for head in heads:
        found = tree.setdefault(head, {})
        if isinstance(found, Term):
            if not found.is_document:
                raise _refuse(rows, f"the path {path!r} collides with {head!r}.")
            found = tree[head] = dict(found.parts)
        tree = found
    if last in tree:
        raise _refuse(rows, f"the path {path!r} is given twice.")
    tree[last] = term


def _built(part: Any) -> Term:
    if isinstance(part, Term):
        return part
    return document({name: _built(item) for name, item in part.items()})


def add_fields(rows: Rows, options: Any) -> Rows:
    """Return rows with computed fields beside the others, or in place of them."""
    _check(rows, "$addFields", options)
    scope = Expressions(rows.fields, rows.plan.at)
    tree: Tree = dict(rows.fields)
    for name, value in options.items():
        term = scope.compile(value)
        head, _, rest = name.partition(".")
        if not rest:
            tree[head] = term
            continue
        found = tree.get(head)
        if isinstance(found, Term) and found.is_document:
            tree[head] = {k: v for k, v in found.parts.items() if k != rest}
        _place(rows, tree, name, term)
    return _settled(rows, {name: _built(part) for name, part in tree.items()})


def _settled(rows: Rows, fields: Mapping[str, Term]) -> Rows:
    """Return rows with new fields, computed once where they are more than columns."""
    changed = rows.replaced(fields=fields)
    return changed.nested() if any(term.weight > 1 for term in fields.values()) else changed
