"""The parts of a JSON document that a projection keeps."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from dataflow.query.terms import Term, as_json, bound, call

__all__ = ["MAX_KEPT_DEPTH", "kept_parts"]

Tree = dict[str, Any]
MAX_KEPT_DEPTH = 6
"""The text doubles with each level, because each may be an object or an array."""


def kept_parts(term: Term, tree: Tree) -> Term:
    """Return a document with the keys of a tree alone, in objects and in lists of them.

    Args:
        term: JSON.
        tree: `{key: tree}`; an empty one keeps the whole value.
    """
    value = as_json(term, exact=False)
    return call("json keep", value, bound(json.dumps(tree), sa.Text()), _expression(value, tree, 0))


def _expression(value: Term, tree: Tree, depth: int) -> Term:
    """Return the expression for databases without a function of ours."""
    if not tree:
        return value
    alias = f"k{depth}"
    element = Term(value.kind, sa.literal_column(f"{alias}.e", type_=value.sql.type))
    kept = _object(element, tree, depth)
    items = call("json keep array", value, kept, sa.literal_column(alias))
    return call("json keep object", value, _object(value, tree, depth), items)


def _object(value: Term, tree: Tree, depth: int) -> Term:
    whole = call("object empty")
    for name, inner in tree.items():
        key = bound(name, sa.Text())
        part = _expression(call("json key of", value, key), inner, depth + 1)
        whole = call("object join", whole, call("object part", key, part))
    return whole
