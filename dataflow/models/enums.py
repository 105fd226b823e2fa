"""Words that applications share: states, kinds of nodes and events, frameworks."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ComplianceFramework",
    "ExecutionStatus",
    "NodeType",
    "SecurityEventType",
    "WorkflowStatus",
]


class WorkflowStatus(StrEnum):
    """Where a workflow's definition stands."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    DEPRECATED = "deprecated"
    ARCHIVED = "archived"


class ExecutionStatus(StrEnum):
    """Where a run of a workflow stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class NodeType(StrEnum):
    """What a node of a workflow is for."""

    AI_ML = "ai_ml"
    DATA_PROCESSING = "data_processing"
    DATABASE = "database"
    API_INTEGRATION = "api_integration"
    CONTROL_FLOW = "control_flow"
    TRANSFORMATION = "transformation"
    NOTIFICATION = "notification"
    CUSTOM = "custom"


class SecurityEventType(StrEnum):
    """What a security event is about."""

    AUTHENTICATION = "authentication"
    AUTHORIZATION = "authorization"
    DATA_ACCESS = "data_access"
    DATA_CHANGE = "data_change"
    CONFIGURATION = "configuration"
    POLICY_VIOLATION = "policy_violation"
    INTRUSION = "intrusion"


class ComplianceFramework(StrEnum):
    """By which rules an assessment goes."""

    GDPR = "gdpr"
    SOC2 = "soc2"
    ISO27001 = "iso27001"
    HIPAA = "hipaa"
    PCI_DSS = "pci_dss"
    CCPA = "ccpa"
