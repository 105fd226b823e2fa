"""Ingesting events: stored once, counted once, answered to once, whoever sends them again.

All steps of a run are one transaction. The event's idempotency key, unique within its
tenant, decides who is first: another run with the same key waits for the first one's
commit, skips what has been done, and reads the same answer.
"""

import datetime as dt
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime

from dataflow import DataFlow, LocalRuntime, Workflow, WorkflowBuilder, node
from incident_response.models import Incident
from incident_response.policy import decide
from incident_response.repositories import IncidentRepository
from incident_response.repositories.kill_switches import active_for
from incident_response.signature import severity_of, signature_of, title_of

__all__ = ["Ingest"]


class Ingest:
    """The ingest workflow on one database: `await Ingest(db)(tenant_id, event)`."""

    def __init__(self, db: DataFlow) -> None:
        self.workflow = build(db)
        self._runtime = LocalRuntime()

    async def __call__(self, tenant_id: UUID, event: dict[str, Any]) -> dict[str, Any]:
        """Return `{"event_id", "incident_id", "decision", "decision_id", "action_id"}`.

        Args:
            tenant_id: Whose event it is.
            event: `workflow_id`, `event_type`, `payload`, `idempotency_key`,
                `occurred_at`, `correlation_id`.
        """
        results, _ = await self._runtime.execute_async(
            self.workflow,
            inputs={"tenant_id": tenant_id, **event},
            tenant=tenant_id,
            transaction=True,
        )
        return results["answer"]


@node(pure=True, blocking=False)
def describe(workflow_id: UUID, event_type: str, payload: dict) -> dict[str, Any]:
    """Return what an incident is told by; in a filter, a dict as vendor would be operators."""
    vendor = payload.get("vendor")
    return {
        "signature": signature_of(workflow_id, event_type, payload),
        "title": title_of(event_type, payload),
        "severity": severity_of(event_type),
        "vendor": vendor if isinstance(vendor, str) else None,
        "stopped": active_for(workflow_id),
    }


@node(pure=True, blocking=False, name="decide")
def decide_step(
    incident: dict,
    switches: list,
    vendors: list,
    is_watched: bool,  # noqa: FBT001 - inputs are given by name
) -> dict[str, Any]:
    """Return what is decided, and whether something is to be done."""
    decision = decide(incident, switches, vendors, is_watched=is_watched)
    return {**decision, "acts": decision["action_type"] is not None}


@node(pure=True, blocking=False)
def answer(event_id: UUID, decision: dict, actions: list) -> dict[str, Any]:
    """Return what the sender is told; it is the same each time."""
    action_id = actions[0]["id"] if actions else None
    return {"event_id": event_id, **decision, "action_id": action_id}


def build(db: DataFlow) -> Workflow:
    """Return the workflow; its own node counts with a lock, so that no event is lost."""

    @db.node(reads=[Incident], writes=[Incident])
    async def count_up(signature: str, occurred_at: dt.datetime) -> dict[str, Any]:
        async with db.aio.session() as session:  # in the run's transaction
            incident = await IncidentRepository(session).count_up(signature, occurred_at)
            await session.commit()
            return {
                "id": incident.id,
                "event_count": incident.event_count,
                "status": incident.status,
            }

    flow = WorkflowBuilder("ingest", db=db)
    tenant_id = flow.add_input("tenant_id", UUID)
    workflow_id = flow.add_input("workflow_id", UUID)
    event_type = flow.add_input("event_type", str)
    payload = flow.add_input("payload", dict, default={})
    key = flow.add_input("idempotency_key", str)
    occurred_at = flow.add_input("occurred_at", AwareDatetime)
    correlation = flow.add_input("correlation_id", str | None, default=None)

    flow.add_node(
        "TenantReadNode",
        "tenant",
        {"filter": {"id": tenant_id, "is_active": True}, "raise_on_not_found": True},
    )
    event = {
        "workflow_id": workflow_id,
        "event_type": event_type,
        "payload": payload,
        "idempotency_key": key,
        "occurred_at": occurred_at,
        "correlation_id": correlation,
    }
    store = {"data": [event], "on_conflict": "skip"}
    stored = flow.add_node("EventBulkCreateNode", "stored", store)
    found = flow.add_node("EventReadNode", "event", {"filter": {"idempotency_key": key}})
    first = {"when": stored["inserted"]}

    about = flow.add_node(
        describe,
        "about",
        {"workflow_id": workflow_id, "event_type": event_type, "payload": payload},
        **first,
    )
    incident = {
        "signature": about["signature"],
        "title": about["title"],
        "severity": about["severity"],
        "correlation_id": correlation,
        "first_seen_at": occurred_at,
        "last_seen_at": occurred_at,
    }
    flow.add_node("IncidentBulkCreateNode", "opened", {"data": [incident], "on_conflict": "skip"})
    counted = flow.add_node(
        count_up, "counted", {"signature": about["signature"], "occurred_at": occurred_at}
    )
    workflow = flow.add_node("WorkflowReadNode", "workflow", {"id": workflow_id}, **first)
    switches = flow.add_node(
        "KillSwitchListNode", "switches", {"filter": about["stopped"], "limit": 1}
    )
    vendors = flow.add_node(
        "VendorListNode", "vendors", {"filter": {"name": about["vendor"]}, "limit": 1}
    )
    plan = flow.add_node(
        "decide",
        "plan",
        {
            "incident": {name: counted[name] for name in ("event_count", "status")},
            "switches": switches["records"],
            "vendors": vendors["records"],
            "is_watched": workflow["is_active"],
        },
    )
    decision = {
        name: plan[name] for name in ("decision_type", "reasoning", "confidence_score", "ai_model")
    }
    decided = flow.add_node(
        "DecisionCreateNode",
        "decided",
        {**decision, "incident_id": counted["id"], "event_id": found["id"]},
    )
    flow.add_node(
        "ActionCreateNode",
        "acted",
        {
            "incident_id": decided["incident_id"],
            "decision_id": decided["id"],
            "action_type": plan["action_type"],
            "parameters": payload,
        },
        when=plan["acts"],
    )

    # The same for the first and for every later run: what was decided about the event.
    told = flow.add_node(
        "DecisionReadNode",
        "told",
        {"filter": {"event_id": found["id"]}, "raise_on_not_found": True},
    )
    actions = flow.add_node(
        "ActionListNode", "actions", {"filter": {"decision_id": told["id"]}, "limit": 1}
    )
    outcome = {
        "incident_id": told["incident_id"],
        "decision": told["decision_type"],
        "decision_id": told["id"],
    }
    flow.add_node(
        answer,
        "answer",
        {"event_id": found["id"], "decision": outcome, "actions": actions["records"]},
    )
    return flow.build()
