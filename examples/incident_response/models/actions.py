"""What is done about an incident, and how it went."""

from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from dataflow.models.columntypes import EnumValue
from incident_response.base import BaseModel, TenantMixin
from incident_response.enums import ActionStatus, ActionType


class Action(BaseModel, TenantMixin):
    __table_args__ = (Index("ix_actions_incident_status", "incident_id", "status"),)

    incident_id: Mapped[UUID] = mapped_column(ForeignKey("incidents.id"))
    decision_id: Mapped[UUID] = mapped_column(ForeignKey("decisions.id"), unique=True)
    action_type: Mapped[ActionType] = mapped_column(EnumValue(ActionType))
    status: Mapped[ActionStatus] = mapped_column(
        EnumValue(ActionStatus), default=ActionStatus.PENDING
    )
    parameters: Mapped[dict] = mapped_column(default=dict)
    result: Mapped[dict | None]
    is_reversible: Mapped[bool] = mapped_column(default=False)
