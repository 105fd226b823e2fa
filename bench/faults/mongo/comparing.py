"""Whether two answers are the same."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

TOLERANCE = 1e-9
NUMBER = int | float | Decimal
UNORDERED = "set"
"""Lists under a key that begins with this are compared without their order."""


def plain(value: Any) -> Any:
    """Return a value as mongomock holds it: instants in UTC without a zone."""
    if isinstance(value, Mapping) and set(value) == {"$date"}:
        return plain(dt.datetime.fromisoformat(value["$date"]))
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


def rank(value: Any) -> Any:
    """Return a key that sorts any values; numbers that are nearly equal get the same."""
    if isinstance(value, Mapping):
        return "object", tuple(sorted((key, rank(item)) for key, item in value.items()))
    if isinstance(value, list):
        return "list", tuple(rank(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, NUMBER):
        return type(value).__name__, (str(value),)
    return "number", (f"{value:.6e}" if value else "0",)


def same(ours: Any, theirs: Any, *, ordered: bool = True) -> bool:
    """Whether two plain values are equal; a bool never equals a number."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(
            same(ours[key], theirs[key], ordered=not key.startswith(UNORDERED)) for key in ours
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and same_items(ours, theirs, ordered=ordered)
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, NUMBER) and isinstance(theirs, NUMBER):
        return ours == theirs or math.isclose(ours, theirs, rel_tol=TOLERANCE, abs_tol=1e-12)
    return type(ours) is type(theirs) and bool(ours == theirs)


def same_items(ours: Iterable[Any], theirs: Iterable[Any], *, ordered: bool) -> bool:
    if not ordered:
        ours, theirs = sorted(ours, key=sortable), sorted(theirs, key=sortable)
    return all(same(one, other) for one, other in zip(ours, theirs, strict=True))


def sortable(value: Any) -> str:
    return repr(_sorted_sets(rank(value)))


def _sorted_sets(ranked: Any) -> Any:
    """Put lists that have no order into one, wherever they stand."""
    kind, inner = ranked
    if kind == "object":
        return kind, tuple(
            (key, ("list", tuple(sorted(map(_sorted_sets, item[1]), key=repr))))
            if key.startswith(UNORDERED) and item[0] == "list"
            else (key, _sorted_sets(item))
            for key, item in inner
        )
    return (kind, tuple(map(_sorted_sets, inner))) if kind == "list" else ranked
