"""The order of steps: from the user's edges, and from the data that steps touch."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dataflow.nodes.effects import Effects

__all__ = ["find_cycle", "find_hazards", "serial_order"]


def serial_order(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return the ids in the written order, moved only where an edge demands it.

    Source: A. B. Kahn, "Topological sorting of large networks", 1962, with a heap
    of written positions. Shorter than `ids` if the edges form a cycle.
    """
    places = {step: place for place, step in enumerate(ids)}
    followers: dict[str, list[str]] = defaultdict(list)
    waiting = dict.fromkeys(ids, 0)
    for source, target in set(edges):
        followers[source].append(target)
        waiting[target] += 1
    ready = [places[step] for step in ids if not waiting[step]]
    order = []
    while ready:
        step = ids[heapq.heappop(ready)]
        order.append(step)
        for follower in followers[step]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, places[follower])
    return order


def find_cycle(ids: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return a cycle as `[a, b, …, a]`; empty if there is none."""
    pairs = set(edges)
    stuck = set(ids) - set(serial_order(ids, pairs))
    before: dict[str, list[str]] = defaultdict(list)
    for source, target in sorted(pairs):
        if source in stuck and target in stuck:
            before[target].append(source)
    if not stuck:
        return []
    path: list[str] = []
    step = min(stuck, key=list(ids).index)
    while step not in path:
        path.append(step)
        step = before[step][0]
    cycle = [*path[path.index(step) :], step]
    return cycle[::-1]


class _Touch:
    """Who last wrote a resource, and who has read it since."""

    __slots__ = ("readers", "writer")

    def __init__(self) -> None:
        self.writer: str | None = None
        self.readers: list[str] = []


def find_hazards(
    order: Sequence[str], effects: Mapping[str, Effects]
) -> list[tuple[str, str]]:
    """Return pairs of steps that must keep their order because of shared data.

    A read waits for the last write before it, a write for the last write and the
    reads since. A step with unknown effects counts as a write of everything.
    """
    touched: dict[Any, _Touch] = defaultdict(_Touch)
    hazards: dict[tuple[str, str], None] = {}
    barrier: str | None = None
    since: list[str] = []
    for step in order:
        effect = effects[step]
        if effect.unknown:
            earlier = since if since else [barrier] if barrier else []
            hazards.update(dict.fromkeys((other, step) for other in earlier))
            barrier, since = step, []
            touched.clear()
            continue
        if not effect.reads and not effect.writes:
            continue
        if barrier is not None:
            hazards[(barrier, step)] = None
        hazards.update(dict.fromkeys((other, step) for other in _waits_for(step, effect, touched)))
        since.append(step)
    return list(hazards)


def _waits_for(step: str, effect: Effects, touched: dict[Any, _Touch]) -> list[str]:
    found: list[str] = []
    for resource in effect.writes:
        touch = touched[resource]
        found += touch.readers or ([touch.writer] if touch.writer else [])
    for resource in effect.reads - effect.writes:
        touch = touched[resource]
        found += [touch.writer] if touch.writer else []
        touch.readers.append(step)
    for resource in effect.writes:
        touched[resource].writer, touched[resource].readers = step, []
    return [other for other in found if other != step]
