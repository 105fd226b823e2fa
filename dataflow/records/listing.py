"""What a list call asks for, checked and hashable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dataflow.query.filters import EMPTY, Filter
from dataflow.query.sort import Sort

__all__ = ["ListRequest", "Lock"]

Lock = Literal["wait", "skip locked", "nowait"]


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One list call.

    Attributes:
        limit: Records per page; None: all.
        after: The cursor of the previous page.
        fields: Names of the fields to return; None: all.
        include: Names of links to load, dotted for links of links.
        count: Whether to count all matches too; `"estimate"`: from the planner's statistics.
        distinct: Whether equal records are returned once.
        lock: How records are locked until the transaction's end.
    """

    where: Filter = EMPTY
    sort: Sort = ()
    limit: int | None = 100
    offset: int = 0
    after: str | None = None
    fields: tuple[str, ...] | None = None
    include: tuple[str, ...] = ()
    count: bool | Literal["estimate"] = False
    include_deleted: bool = False
    distinct: bool = False
    lock: Lock | None = None
