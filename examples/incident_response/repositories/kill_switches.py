from uuid import UUID

from incident_response.models import KillSwitch
from incident_response.repositories.base import BaseRepository


class KillSwitchRepository(BaseRepository[KillSwitch]):
    async def activate(self, reason: str, by: str, workflow_id: UUID | None = None) -> KillSwitch:
        """Stop what is automatic in a workflow, or in all of the tenant's."""
        return await self.create(workflow_id=workflow_id, reason=reason, activated_by=by)

    async def deactivate(self, switch_id: UUID) -> KillSwitch:
        return await self.update(switch_id, {"is_active": False})

    async def find_active(self, workflow_id: UUID) -> KillSwitch | None:
        """Return a switch that stops a workflow."""
        found = await self.list(active_for(workflow_id))
        return found[0] if found else None


def active_for(workflow_id: object) -> dict:
    """Return the filter for switches that stop a workflow."""
    return {"is_active": True, "$or": [{"workflow_id": None}, {"workflow_id": workflow_id}]}
