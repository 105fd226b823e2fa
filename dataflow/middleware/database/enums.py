"""Signpost: the words that applications share are in `dataflow.models.enums`."""

from dataflow.models.enums import (
    ComplianceFramework,
    ExecutionStatus,
    NodeType,
    SecurityEventType,
    WorkflowStatus,
)

__all__ = [
    "ComplianceFramework",
    "ExecutionStatus",
    "NodeType",
    "SecurityEventType",
    "WorkflowStatus",
]
