"""Segments: runs of rows of one shape, validated batch by batch as they are written.

A segment of a list or another plain iterable is lazy, so that the next batch is
validated while the database works on the one before.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dataflow.records.encoding import Names, Row
from dataflow.records.stream import async_batches, sync_batches

__all__ = ["BATCHES", "Group", "Segment", "Shape", "segments"]

STEP = 1_000
"""Rows validated at a time while a statement streams: the server has work meanwhile."""
BATCHES = 100
"""Batches that one statement may stream under one deadline."""


class Shape(NamedTuple):
    """What rows of one segment have in common.

    Attributes:
        names: Fields that have a value, defaults included.
        given: Fields that the caller gave.
    """

    names: Names
    given: Names


class Group(NamedTuple):
    """Rows of one shape from one batch, with their places in the whole input."""

    shape: Shape
    rows: list[Row]
    places: Sequence[int]


class Segment(NamedTuple):
    """Groups of one shape; must be read to the end before the next segment."""

    shape: Shape
    groups: Iterable[Group]


Check = Callable[[list[Any], int], Iterable[Group]]


async def segments(
    data: Any, size: int, check: Check, *, most: int = BATCHES
) -> AsyncIterator[Segment]:
    """Yield the input as segments.

    Args:
        data: A list, iterable, asynchronous iterable or Arrow stream of dicts.
        size: Rows per batch, at the most; `STEP` is the most of all.
        check: Validates a batch that begins at an index, and groups it by shape.
        most: Batches per segment.
    """
    size = min(size, STEP)
    if isinstance(data, AsyncIterable):
        offset = 0
        async for batch in async_batches(data, size):
            for group in check(batch, offset):
                yield Segment(group.shape, (group,))
            offset += len(batch)
        return
    source = _checked(data, size, check)
    groups = next(source, None)
    while groups is not None:
        if len(groups) == 1:
            run = _Run(groups[0], source, most)
            yield Segment(groups[0].shape, run)
            groups = run.following
        else:
            for group in groups:
                yield Segment(group.shape, (group,))
            groups = next(source, None)


class _Run:
    """Consecutive batches of one shape; what comes after them is in `following`."""

    def __init__(self, first: Group, source: Iterator[list[Group]], most: int) -> None:
        self._first = first
        self._source = source
        self._most = most
        self.following: list[Group] | None = None

    def __iter__(self) -> Iterator[Group]:
        yield self._first
        for taken in range(self._most):
            self.following = next(self._source, None)
            if self.following is None or taken == self._most - 1:
                return
            if len(self.following) != 1 or self.following[0].shape != self._first.shape:
                return
            yield self.following[0]


def _checked(data: Any, size: int, check: Check) -> Iterator[list[Group]]:
    offset = 0
    for batch in sync_batches(data, size):
        yield list(check(batch, offset))
        offset += len(batch)
