"""What makes two events report the same failure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from incident_response.enums import Severity

CRITICAL = ("payment", "security")


def signature_of(workflow_id: UUID, event_type: str, payload: Mapping[str, Any]) -> str:
    """Return the fingerprint of a failure: where, what, and the error's code and vendor."""
    parts = [str(workflow_id), event_type, payload.get("error_code"), payload.get("vendor")]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def title_of(event_type: str, payload: Mapping[str, Any]) -> str:
    """Return what a person reads first."""
    return f"{event_type}: {payload.get('error_code', 'unknown error')}"[:255]


def severity_of(event_type: str) -> Severity:
    """Return how much failures of a kind matter."""
    return Severity.HIGH if event_type.startswith(CRITICAL) else Severity.LOW
