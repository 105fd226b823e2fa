"""A case: what is done, on which databases, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.faults.world import World

Work = Callable[[World], "Verdict"]


@dataclass
class Verdict:
    """Figures to print, and a sentence for everything that does not hold."""

    figures: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    """What took too long: judged by `make faults`, not by the tests, whose machine is shared."""

    def require(self, holds: bool, problem: str, /) -> None:  # noqa: FBT001 - as in assert
        if not holds:
            self.problems.append(problem)

    def require_time(self, holds: bool, problem: str, /) -> None:  # noqa: FBT001 - as in assert
        if not holds:
            self.slow.append(problem)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Case:
    """One line of the table; `limit_s` is when it counts as hanging."""

    name: str
    action: str
    work: Work
    kinds: tuple[str, ...] = ("sqlite", "postgres")
    limit_s: int = 300
