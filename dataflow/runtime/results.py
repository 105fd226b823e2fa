"""`Results`: what a run returns."""

from __future__ import annotations

from typing import Any

__all__ = ["Results"]


class Results(dict[str, Any]):
    """`{node id: output}` of the nodes that ran; skipped nodes are absent.

    Attributes:
        status: `{node id: "completed" | "skipped" | "failed" | "not_run"}` of all nodes.
    """

    def __init__(self, outputs: dict[str, Any], status: dict[str, str]) -> None:
        """Keep outputs and states."""
        super().__init__(outputs)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling."""
        return (Results, (dict(self), self.status))
