from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select

from incident_response.models import Event
from incident_response.repositories.base import BaseRepository


class EventRepository(BaseRepository[Event]):
    async def get_by_idempotency_key(self, idempotency_key: str) -> Event | None:
        return await self.get_by_field("idempotency_key", idempotency_key)

    async def get_recent_events(self, workflow_id: UUID, hours: int = 24) -> list[Event]:
        """Return the events of the last hours, the latest first."""
        cutoff = datetime.now(UTC) - timedelta(hours=hours)
        result = await self.session.execute(
            select(Event)
            .where(Event.workflow_id == workflow_id)
            .where(Event.occurred_at >= cutoff)
            .order_by(Event.occurred_at.desc())
        )
        return list(result.scalars())

    async def count_events(self, workflow_id: UUID) -> int:
        return await self.count({"workflow_id": workflow_id})

    async def count_by_type(self) -> dict[str, int]:
        rows = await self.session.execute(
            select(Event.event_type, func.count()).group_by(Event.event_type)
        )
        return dict(rows.all())
