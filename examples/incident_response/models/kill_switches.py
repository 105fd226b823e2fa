"""Switches that stop what is automatic, for one workflow or for all of a tenant."""

from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from incident_response.base import BaseModel, TenantMixin


class KillSwitch(BaseModel, TenantMixin):
    workflow_id: Mapped[UUID | None] = mapped_column(ForeignKey("workflows.id"))  # None: all
    is_active: Mapped[bool] = mapped_column(default=True)
    reason: Mapped[str]
    activated_by: Mapped[str] = mapped_column(String(255))
