from uuid import UUID

from sqlalchemy import exists, or_, select

from incident_response.enums import ActionStatus
from incident_response.models import Action, Decision, Event, KillSwitch
from incident_response.repositories.base import BaseRepository


class ActionRepository(BaseRepository[Action]):
    async def get_pending(self, incident_id: UUID) -> list[Action]:
        return await self.list({"incident_id": incident_id, "status": ActionStatus.PENDING})

    async def start_next(self) -> Action | None:
        """Take the oldest action that waits and no kill switch stops; no one else takes it."""
        everything, this_one = KillSwitch.workflow_id.is_(None), Event.workflow_id
        stopped = exists().where(
            KillSwitch.is_active, or_(everything, KillSwitch.workflow_id == this_one)
        )
        found = await self.session.scalar(
            select(Action)
            .join(Decision, Action.decision_id == Decision.id)
            .join(Event, Decision.event_id == Event.id)
            .where(Action.status == ActionStatus.PENDING, ~stopped)
            .order_by(Action.id)
            .limit(1)
            .with_for_update(of=Action, skip_locked=True)
        )
        if found is None:
            return None
        return await self.update(found, {"status": ActionStatus.IN_PROGRESS})

    async def finish(self, action_id: UUID, *, succeeded: bool, result: dict) -> Action:
        status = ActionStatus.SUCCEEDED if succeeded else ActionStatus.FAILED
        return await self.update(action_id, {"status": status, "result": result})
