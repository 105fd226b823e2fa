"""What is decided about an event: rules here; a model or a person elsewhere."""

from typing import Any

from incident_response.enums import ActionType, CircuitState, IncidentStatus

RULES = "rules-1"
EVENTS_TO_ESCALATE = 3


def decide(
    incident: dict[str, Any], switches: list[Any], vendors: list[Any], *, is_watched: bool
) -> dict[str, Any]:
    """Return a decision's fields, and as `action_type` what is done; None: nothing.

    Args:
        incident: The event's incident, this event counted: `event_count` and `status`.
        switches: Kill switches that stop the workflow.
        vendors: The vendor that was called, if it is known.
        is_watched: Whether anything is done about the workflow.
    """
    count = incident["event_count"]
    if switches:
        return _decision("blocked", f"kill switch: {switches[0]['reason']}")
    if not is_watched or incident["status"] is IncidentStatus.IGNORED:
        return _decision("ignored", "the workflow or the incident is not looked after")
    if count >= EVENTS_TO_ESCALATE:
        return _decision("escalate", f"{count} events of one kind", ActionType.ESCALATE)
    if vendors and vendors[0]["circuit_breaker_state"] is CircuitState.OPEN:
        return _decision("wait", f"the circuit of {vendors[0]['name']} is open", ActionType.MANUAL)
    return _decision("retry", f"event {count} of its kind", ActionType.RETRY)


def _decision(kind: str, reasoning: str, action: ActionType | None = None) -> dict[str, Any]:
    return {
        "decision_type": kind,
        "reasoning": reasoning,
        "confidence_score": 1.0,
        "ai_model": RULES,
        "action_type": action,
    }
