"""A morning of two tenants: events, an incident, a kill switch, actions.

Run in the folder `examples`: `python -m incident_response.main [database URL]`.
"""

import asyncio
import datetime as dt
import sys
from typing import Any
from uuid import UUID, uuid4

from incident_response.ingest import Ingest
from incident_response.models import Action, Workflow
from incident_response.repositories import (
    ActionRepository,
    DecisionRepository,
    EventRepository,
    IncidentRepository,
    KillSwitchRepository,
    TenantRepository,
    VendorRepository,
    WorkflowRepository,
)
from incident_response.respond import respond
from incident_response.session import close_db, connect, create_tables, get_session

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


async def set_up() -> tuple[Workflow, Workflow]:
    """Return a workflow of each of two tenants, which are new in every run."""
    async with get_session() as session:
        names = [f"{name} {uuid4()}" for name in ("Acme", "Globex")]
        tenants = [await TenantRepository(session).create(name=name) for name in names]
        vendors = VendorRepository(session)
        if await vendors.get_by_name("bank") is None:
            await vendors.create(name="bank")
        await session.commit()
    workflows = []
    for tenant in tenants:
        async with get_session(tenant.id) as session:
            workflows.append(await WorkflowRepository(session).create(name="checkout"))
            await session.commit()
    return workflows[0], workflows[1]


def failure(workflow: Workflow, number: int) -> dict[str, Any]:
    return {
        "workflow_id": workflow.id,
        "event_type": "payment.failed",
        "payload": {"error_code": "timeout", "vendor": "bank", "order": number},
        "idempotency_key": f"order-{number}",
        "occurred_at": NOON + dt.timedelta(minutes=number),
    }


async def retry(action: Action) -> dict[str, Any]:
    return {"retried": action.parameters["order"]}


async def show(tenant_id: UUID) -> None:
    async with get_session(tenant_id) as session:
        for incident in await IncidentRepository(session).list():
            events = await EventRepository(session).count()
            print(f"  {incident.title}, {incident.event_count} times, {events} events stored")
            for decision in await DecisionRepository(session).get_trail(incident.id):
                print(f"    {decision.decision_type}: {decision.reasoning}")
        actions = await ActionRepository(session).list()
        print("  actions:", ", ".join(f"{a.action_type} {a.status}" for a in actions))


async def main(url: str | None) -> None:
    ingest = Ingest(connect(url))
    await create_tables()
    acme, globex = await set_up()

    calls = [ingest(acme.tenant_id, failure(acme, 1)) for _ in range(8)]
    answers = await asyncio.gather(*calls)
    print(f"one event sent 8 times at once: {len({str(a) for a in answers})} answer")

    await ingest(acme.tenant_id, failure(acme, 2))
    async with get_session(acme.tenant_id) as session:
        switch = await KillSwitchRepository(session).activate("bank is down", "Ada", acme.id)
        await session.commit()
    print("with the switch on:", (await ingest(acme.tenant_id, failure(acme, 3)))["decision"])
    print("  and done:", await respond(acme.tenant_id, retry))

    async with get_session(acme.tenant_id) as session:
        await KillSwitchRepository(session).deactivate(switch.id)
        await session.commit()
    print("with the switch off:", (await ingest(acme.tenant_id, failure(acme, 4)))["decision"])
    done = await respond(acme.tenant_id, retry)
    print("  and done:", done and done.result)

    await ingest(globex.tenant_id, failure(globex, 1))
    for name, tenant_id in (("Acme", acme.tenant_id), ("Globex", globex.tenant_id)):
        print(f"{name} sees:")
        await show(tenant_id)
    await close_db()


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:2] or [None])))
