"""What happened: an immutable log."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from incident_response.base import AppendOnlyMixin, BaseModel, CorrelationMixin, TenantMixin


class Event(AppendOnlyMixin, BaseModel, TenantMixin, CorrelationMixin):
    __table_args__ = (
        Index("ix_events_tenant_workflow", "tenant_id", "workflow_id"),
        Index("ix_events_tenant_occurred", "tenant_id", "occurred_at"),
    )

    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.id"))
    event_type: Mapped[str] = mapped_column(String(255))
    payload: Mapped[dict] = mapped_column(default=dict)
    idempotency_key: Mapped[str] = mapped_column(String(255), unique=True)  # within a tenant
    occurred_at: Mapped[datetime]
