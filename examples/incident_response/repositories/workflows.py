from incident_response.models import Workflow
from incident_response.repositories.base import BaseRepository


class WorkflowRepository(BaseRepository[Workflow]):
    async def get_by_name(self, name: str) -> Workflow | None:
        return await self.get_by_field("name", name)
