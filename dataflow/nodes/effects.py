"""What a node reads and writes, from which the order of unconnected nodes follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["PURE", "UNKNOWN", "Effects", "Resource"]

Resource = tuple[Any, str]
"""A database (or None) and the name of a table or of anything else."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Resources that a node reads and writes; `unknown` conflicts with everything."""

    reads: frozenset[Resource] = field(default_factory=frozenset)
    writes: frozenset[Resource] = field(default_factory=frozenset)
    unknown: bool = False


PURE = Effects()
UNKNOWN = Effects(unknown=True)
