"""Alternating rounds of contestants, and the medians of what they took.

A contest has a baseline, DataFlow and others. Each round runs every contestant once
in that order, so that whatever slows the machine down for a while slows all of them.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

BASELINE, OURS = "baseline", "DataFlow"
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "MB": 1.0}


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that does the work.

    Attributes:
        call: A coroutine function, or a plain function where no event loop may run.
        rounds: Take part in the first rounds only; None: in all of them.
    """

    name: str
    call: Callable[[], Any]
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Contest:
    """Contestants that do the same work; the baseline is first, DataFlow second.

    Attributes:
        calls: Calls in each timing.
        items: Items (nodes, records) that one call handles, for figures per item.
        before: Runs untimed before each timing.
        reports: Whether a call returns the figure itself instead of being timed.
    """

    contestants: Sequence[Contestant]
    calls: int = 1
    rounds: int = 5
    items: int = 1
    before: Callable[[], Any] | None = None
    reports: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the table.

    Attributes:
        unit: `"x"`: the target is a ratio to the baseline; else a key of `UNITS`, and
            the target an absolute figure per item.
        target: The most that it may be; None: the design names none.
    """

    name: str
    work: str
    target: float | None
    build: Callable[[Any], Contest]
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured for one line.

    Attributes:
        seconds: `{contestant: [figure per item, one for each round]}`.
    """

    measure: Measure
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def absolute(self, name: str) -> float:
        """Return the median in the measure's unit; microseconds for ratios."""
        unit = "us" if self.measure.unit == "x" else self.measure.unit
        return statistics.median(self.seconds[name]) * UNITS[unit]

    def ratio(self, name: str) -> float:
        """Return the median of a contestant's ratios to the baseline of the same round."""
        return statistics.median(self._ratios(name))

    def spread(self, name: str) -> tuple[float, float]:
        """Return the smallest and the largest ratio of a round."""
        ratios = self._ratios(name)
        return min(ratios), max(ratios)

    def _ratios(self, name: str) -> list[float]:
        pairs = zip(self.seconds[name], self.seconds[BASELINE], strict=False)
        return [own / max(base, 1e-9) for own, base in pairs]

    def figure(self, name: str) -> float:
        """Return what is compared with the target."""
        return self.ratio(name) if self.measure.unit == "x" else self.absolute(name)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        target = self.measure.target
        return None if target is None else self.figure(OURS) <= target


def run_contest(runner: asyncio.Runner, measure: Measure, contest: Contest) -> Outcome:
    """Warm up, then run all rounds."""
    outcome = Outcome(measure)
    if not contest.reports:
        for contestant in contest.contestants:
            if contestant.rounds != 1:
                _time(runner, contest, contestant)
    for number in range(contest.rounds):
        for contestant in contest.contestants:
            if contestant.rounds is None or number < contestant.rounds:
                took = _time(runner, contest, contestant)
                outcome.seconds.setdefault(contestant.name, []).append(took)
    return outcome


def _time(runner: asyncio.Runner, contest: Contest, contestant: Contestant) -> float:
    if contest.before is not None:
        _finish(runner, contest.before())
    if contest.reports:
        return float(_finish(runner, contestant.call()))
    gc.collect()
    if inspect.iscoroutinefunction(contestant.call):
        took = runner.run(_repeat_awaited(contestant.call, contest.calls))
    else:
        took = _repeat(contestant.call, contest.calls)
    return took / (contest.calls * contest.items)


def _finish(runner: asyncio.Runner, value: Any) -> Any:
    return runner.run(value) if inspect.iscoroutine(value) else value


def _repeat(call: Callable[[], Any], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - begun


async def _repeat_awaited(call: Callable[[], Any], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        await call()
    return time.perf_counter() - begun
