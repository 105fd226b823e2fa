from datetime import datetime

from sqlalchemy import select

from dataflow.repositories import PaginationParams, QueryOptions
from incident_response.enums import IncidentStatus
from incident_response.models import Event, Incident
from incident_response.repositories.base import BaseRepository
from incident_response.signature import severity_of, signature_of, title_of

OPEN = (IncidentStatus.NEW, IncidentStatus.ANALYZING, IncidentStatus.ACTIONED)


class IncidentRepository(BaseRepository[Incident]):
    async def create_from_event(self, event: Event) -> Incident:
        """Return the incident of an event's signature, new or counted up."""
        signature = signature_of(event.workflow_id, event.event_type, event.payload)
        if not await self.exists({"signature": signature}):
            await self.create(
                signature=signature,
                title=title_of(event.event_type, event.payload),
                severity=severity_of(event.event_type),
                correlation_id=event.correlation_id,
                first_seen_at=event.occurred_at,
                last_seen_at=event.occurred_at,
            )
        return await self.count_up(signature, event.occurred_at)

    async def count_up(self, signature: str, occurred_at: datetime) -> Incident:
        """Count one more event of an incident, locked so that none is lost; reopen it."""
        locked = select(Incident).where(Incident.signature == signature).with_for_update()
        incident = (await self.session.scalars(locked)).one()
        incident.event_count += 1
        incident.last_seen_at = max(incident.last_seen_at, occurred_at)
        if incident.status is IncidentStatus.RESOLVED:
            incident.status = IncidentStatus.NEW
        return await self.update(incident)

    async def get_by_signature(self, signature: str) -> Incident | None:
        return await self.get_by_field("signature", signature)

    async def get_incidents_by_status(self, status: IncidentStatus) -> list[Incident]:
        """Return the incidents of a status, the newest first."""
        return await self.list(QueryOptions({"status": status}, sorts=["-created_at"]))

    async def get_incidents_paginated(self, page: int = 1, page_size: int = 20) -> list[Incident]:
        return await self.list(QueryOptions(pagination=PaginationParams(page, page_size)))

    async def count_open(self) -> int:
        return await self.count({"status": {"$in": list(OPEN)}})
