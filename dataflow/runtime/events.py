"""What happens during a run, told to `on_event` as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "Event",
    "NodeFailed",
    "NodeFinished",
    "NodeRetried",
    "NodeSkipped",
    "NodeStarted",
    "RunFinished",
    "RunStarted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run."""

    run_id: str
    workflow: str


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """The run began; `nodes` is how many it has."""

    nodes: int


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """A node began."""

    node: str
    node_type: str


@dataclass(frozen=True, slots=True)
class NodeRetried(Event):
    """A node failed and will be tried again after `delay_s` seconds."""

    node: str
    attempt: int
    delay_s: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """A node ended well after `seconds`."""

    node: str
    seconds: float
    output: Any


@dataclass(frozen=True, slots=True)
class NodeFailed(Event):
    """A node failed for good."""

    node: str
    seconds: float
    error: BaseException


@dataclass(frozen=True, slots=True)
class NodeSkipped(Event):
    """A node was not run, because its way was not taken."""

    node: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run ended: `"completed"`, `"failed"` or `"cancelled"`."""

    status: str
    seconds: float
