"""The words of the application."""

from enum import StrEnum


class IncidentStatus(StrEnum):
    """Where an incident stands."""

    NEW = "NEW"
    ANALYZING = "ANALYZING"
    ACTIONED = "ACTIONED"
    RESOLVED = "RESOLVED"
    IGNORED = "IGNORED"


class Severity(StrEnum):
    """How much an incident matters."""

    LOW = "LOW"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"


class ActionType(StrEnum):
    """What is done about an incident."""

    RETRY = "retry"
    ESCALATE = "escalate"
    MANUAL = "manual"


class ActionStatus(StrEnum):
    """Where an action stands."""

    PENDING = "PENDING"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class CircuitState(StrEnum):
    """Whether a vendor is called."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
