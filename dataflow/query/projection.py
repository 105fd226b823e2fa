"""`$project` and `$addFields`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dataflow.errors import shown
from dataflow.query.expressions import Expressions
from dataflow.query.kept import MAX_KEPT_DEPTH, kept_parts
from dataflow.query.kinds import ANY, Array, Document, Json, Kind
from dataflow.query.rows import Rows
from dataflow.query.source import MAX_PARTS
from dataflow.query.terms import Term, document

__all__ = ["add_fields", "project_fields"]

Tree = dict[str, Any]
MAX_FIELDS = 1_000


def _check(rows: Rows, stage: str, options: Any) -> None:
    if not isinstance(options, Mapping) or not 0 < len(options) <= MAX_FIELDS:
        raise rows.refuse(f"{stage} takes a dict of 1 to {MAX_FIELDS} fields.")
    for name in options:
        parts = name.split(".") if isinstance(name, str) else [""]
        if not all(parts) or len(parts) > MAX_PARTS or name.startswith("$"):
            raise rows.refuse(f"{stage} cannot name a field {shown(name)}.")


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
        raise rows.refuse("$project includes fields or excludes them, not both.")
    if not chosen:
        return rows.replaced(fields=_without(rows, off))
    projection = _Projection(rows)
    if "_id" in rows.fields and "_id" not in options:
        projection.place("_id", rows.fields["_id"])
    for name, value in chosen.items():
        projection.add(name, value)
    return _settled(rows, projection.fields())


class _Kept:
    """A JSON field of which some parts are included."""

    def __init__(self, term: Term) -> None:
        self.term = term
        self.tree: Tree = {}


class _Projection:
    """Collects what `$project` and `$addFields` name, by dotted paths."""

    def __init__(self, rows: Rows, tree: Tree | None = None) -> None:
        self.rows = rows
        self.scope = Expressions(rows.fields, rows.plan.at, rows.plan.model)
        self.tree: Tree = {} if tree is None else {**tree}

    def add(self, path: str, value: Any) -> None:
        """Include or compute what stands at a path."""
        if path.count(".") >= MAX_PARTS:
            raise self.rows.refuse(f"$project goes deeper than {MAX_PARTS} levels.")
        if _is_switch(value):
            self.include(path)
        elif isinstance(value, Mapping) and not any(str(key).startswith("$") for key in value):
            for key, item in value.items():
                self.add(f"{path}.{key}", item)
        else:
            self.place(path, self.scope.compile(value))

    def include(self, path: str) -> None:
        parts = path.split(".")
        term, depth = self.scope.field(parts[0]), 1
        while depth < len(parts) and term.is_document:
            depth += 1
            term = self.scope.field(".".join(parts[:depth]))
        if depth == len(parts) or not isinstance(term.kind, Json | Array | Document):
            self.place(path, self.scope.field(path))
            return
        if len(parts) - depth > MAX_KEPT_DEPTH:
            raise self.rows.refuse(
                f"$project includes at most {MAX_KEPT_DEPTH} levels, not {path!r}."
            )
        kept = self._kept(".".join(parts[:depth]), term)
        for part in parts[depth:-1]:
            kept = kept.setdefault(part, {})
        kept[parts[-1]] = {}

    def _kept(self, path: str, term: Term) -> Tree:
        found: Any = self.tree
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        kept: _Kept = found if isinstance(found, _Kept) else _Kept(term)
        if kept is not found:
            self.place(path, kept)
        return kept.tree

    def place(self, path: str, term: Term | _Kept) -> None:
        """Put a value at a path of objects."""
        *heads, last = path.split(".")
        tree = self.tree
        for head in heads:
            found: Any = tree.setdefault(head, {})
            if isinstance(found, Term) and found.is_document:
                found = tree[head] = dict(found.parts)
            if not isinstance(found, dict):
                raise self.rows.refuse(f"the path {path!r} collides with {head!r}.")
            tree = found
        if last in tree:
            raise self.rows.refuse(f"the path {path!r} is given twice.")
        tree[last] = term

    def fields(self) -> dict[str, Term]:
        return {name: _built(part) for name, part in self.tree.items()}


def _narrowed(kind: Kind, tree: Tree) -> Kind:
    """Return the kind of a value of which the parts in a tree are kept."""
    if isinstance(kind, Array):
        return Array(_narrowed(kind.item, tree))
    if not isinstance(kind, Document) or not tree:
        return ANY if isinstance(kind, Json) else kind
    parts = {name: inner for name, inner in tree.items() if name in kind.fields}
    return Document({name: _narrowed(kind.fields[name], part) for name, part in parts.items()})


def _built(part: Any) -> Term:
    if isinstance(part, _Kept):
        kind = _narrowed(part.term.kind, part.tree)
        return replace(kept_parts(part.term, part.tree), kind=kind)
    if isinstance(part, Term):
        return part
    return document({name: _built(item) for name, item in part.items()})


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
            raise rows.refuse(f"$project cannot exclude {name!r}, a part of a JSON field.")
        fields[head] = document({k: v for k, v in fields[head].parts.items() if k != rest})
    return fields


def add_fields(rows: Rows, options: Any) -> Rows:
    """Return rows with computed fields beside the others, or in place of them."""
    _check(rows, "$addFields", options)
    projection = _Projection(rows, dict(rows.fields))
    for name, value in options.items():
        term = projection.scope.compile(value)
        projection.tree = _removed(projection.tree, name.split("."))
        projection.place(name, term)
    return _settled(rows, projection.fields())


def _removed(tree: Tree, path: list[str]) -> Tree:
    """Return a tree of objects without what stands at a path."""
    head, *rest = path
    found = tree.get(head)
    parts = dict(found.parts) if isinstance(found, Term) and found.is_document else found
    if not rest:
        return {name: part for name, part in tree.items() if name != head}
    return {**tree, head: _removed(parts, rest)} if isinstance(parts, dict) else tree


def _settled(rows: Rows, fields: Mapping[str, Term]) -> Rows:
    """Return rows with new fields, computed once where they are more than columns."""
    changed = rows.replaced(fields=fields)
    return changed.nested() if any(term.weight > 1 for term in fields.values()) else changed
