from uuid import UUID

from incident_response.models import Decision
from incident_response.repositories.base import BaseRepository


class DecisionRepository(BaseRepository[Decision]):
    async def get_trail(self, incident_id: UUID) -> list[Decision]:
        """Return what was decided about an incident, in order."""
        return await self.list({"incident_id": incident_id})
