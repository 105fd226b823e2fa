"""`QueryBuilder`: filters and order collected step by step, for a List node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

__all__ = ["QueryBuilder"]

Check = Callable[[Mapping[str, Any]], object]


class QueryBuilder:
    """Collects what a List node takes; each call changes the builder and returns it.

    Filters given in several calls must all hold. Everything is checked when it is
    given, so that a mistake is an error at its own line.
    """

    def __init__(self, check: Check) -> None:
        """Begin with everything.

        Args:
            check: Called with the parameters after each change; raises for wrong ones.
        """
        self._check = check
        self._filters: list[Mapping[str, Any]] = []
        self._params: dict[str, Any] = {}

    def filter(self, filter: Mapping[str, Any] | None) -> Self:
        """Add a filter, joined to the others with AND; None adds none."""
        self._check({"filter": filter})
        if filter is not None:
            self._filters.append(filter)
        return self

    where = filter

    def sort(self, sort: Any) -> Self:
        """Set the order: `{"created_at": -1}` or `["-created_at"]`."""
        return self._set(sort=sort)

    order_by = sort

    def limit(self, limit: int | None) -> Self:
        """Set how many records a page has; None: all."""
        return self._set(limit=limit)

    def offset(self, offset: int) -> Self:
        """Set how many records are passed over."""
        return self._set(offset=offset)

    skip = offset

    def fields(self, *names: str) -> Self:
        """Set which fields are returned."""
        return self._set(fields=list(names))

    def include(self, *names: str) -> Self:
        """Set which links are loaded."""
        return self._set(include=list(names))

    def _set(self, **params: Any) -> Self:
        self._check(params)
        self._params |= params
        return self

    def to_params(self) -> dict[str, Any]:
        """Return the inputs of a List node: `filter`, `sort`, `limit`, …."""
        params = dict(self._params)
        if len(self._filters) == 1:
            params["filter"] = dict(self._filters[0])
        elif self._filters:
            params["filter"] = {"$and": [dict(item) for item in self._filters]}
        return params

    def __repr__(self) -> str:
        """Return the parameters."""
        return f"QueryBuilder({self.to_params()!r})"
