"""Nodes that steer: one way out of several, several ways into one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from dataflow.nodes.effects import PURE, Effects
from dataflow.nodes.function import node
from dataflow.nodes.node import Node

__all__ = ["MergeNode", "SwitchNode"]


@node
class SwitchNode(Node):
    """Choose one way: only nodes connected to the chosen output run.

    Without `cases` the outputs are `true` and `false`. With `cases`, a dict
    `{output name: value}`, the first case whose value equals `value` is chosen, and
    `default` if none does. The chosen output holds `data`, or `value` if that is None.
    """

    effects: ClassVar[Effects] = PURE
    blocking: ClassVar[bool] = False
    branches: ClassVar[bool] = True

    @classmethod
    def outputs_with(cls, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the ways: `true` and `false`, or the cases and `default`."""
        if "cases" not in inputs:
            return {"true": Any, "false": Any}
        cases = inputs["cases"]
        return {**dict.fromkeys(cases, Any), "default": Any} if isinstance(cases, Mapping) else None

    def run(
        self, *, value: Any, cases: dict[str, Any] | None = None, data: Any = None
    ) -> dict[str, Any]:
        """Return a dict with the chosen output alone."""
        if cases is None:
            chosen = "true" if value else "false"
        else:
            chosen = next((name for name, case in cases.items() if case == value), "default")
        return {chosen: value if data is None else data}


@node
class MergeNode(Node):
    """Join ways: run when every connected source is decided and one at least has run.

    Takes inputs of any names. Output `results` is `{input name: value}` of the
    sources that ran, `result` the first of them in the order of connection.
    """

    effects: ClassVar[Effects] = PURE
    blocking: ClassVar[bool] = False
    join: ClassVar[str] = "any"

    def run(self, **inputs: Any) -> dict[str, Any]:
        """Return the values of the ways that were taken."""
        return {"result": next(iter(inputs.values()), None), "results": inputs}

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return the two outputs."""
        return {"result": Any, "results": dict[str, Any]}

    @classmethod
    def check_inputs(cls, values: Mapping[str, Any], connected: Collection[str]) -> list[str]:
        """Accept every name."""
        del values, connected
        return []
