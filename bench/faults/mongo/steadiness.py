"""Which pipelines have one right answer, and whether its order is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Stage = dict[str, Any]

IN_ORDER = {"$first", "$last", "$push"}
MIXING = ("$group", "$bucket", "$sortByCount", "$distinct")
SHARED = "set"
"""A list whose key begins with this has no order; `$unwind` of it loses the order."""


class UnsteadyError(Exception):
    """The answer depends on an order that nothing gives."""


def is_ordered(pipeline: Sequence[Stage], sorts: Sequence[Stage], *, known: bool = False) -> bool:
    """Return whether the order of the result is known.

    Args:
        pipeline: The stages.
        sorts: The `$sort` stages that put every two documents in an order.
        known: Whether the documents come in a known order.

    Raises:
        UnsteadyError: If a stage takes an order that is not known.
    """
    for stage in pipeline:
        ((name, options),) = stage.items()
        if name == "$sort":
            known = stage in sorts
        elif name in ("$limit", "$skip"):
            need(known)
        elif name == "$facet":
            for part, stages in options.items():
                ordered = is_ordered(stages, sorts, known=known)
                need(ordered or part.startswith(SHARED))
        elif name in MIXING:
            fields = options.get("output", options) if isinstance(options, dict) else {}
            named = {key for value in fields.values() if isinstance(value, dict) for key in value}
            need(known or not named & IN_ORDER)
            known = False
        elif name == "$unwind":
            path = options if isinstance(options, str) else options["path"]
            known = known and not path.startswith("$" + SHARED)
    return known


def need(order: bool, /) -> None:  # noqa: FBT001 - as in assert
    if not order:
        raise UnsteadyError


def sorts_in(pipeline: Sequence[Stage]) -> list[Stage]:
    """Return every `$sort` of a pipeline that was made with a key."""
    found = []
    for stage in pipeline:
        if "$sort" in stage:
            found.append(stage)
        for part in stage.get("$facet", {}).values():
            found += sorts_in(part)
    return found
