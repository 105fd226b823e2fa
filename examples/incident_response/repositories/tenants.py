from incident_response.models import Tenant
from incident_response.repositories.base import BaseRepository


class TenantRepository(BaseRepository[Tenant]):
    async def get_by_name(self, name: str) -> Tenant | None:
        return await self.get_by_field("name", name)
