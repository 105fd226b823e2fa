"""What was decided about an event, by whom and why: an immutable audit trail."""

from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from incident_response.base import AppendOnlyMixin, BaseModel, TenantMixin


class Decision(AppendOnlyMixin, BaseModel, TenantMixin):
    incident_id: Mapped[UUID] = mapped_column(ForeignKey("incidents.id"), index=True)
    event_id: Mapped[UUID] = mapped_column(ForeignKey("events.id"), unique=True)
    decision_type: Mapped[str] = mapped_column(String(50))
    reasoning: Mapped[str]
    confidence_score: Mapped[float]
    ai_model: Mapped[str] = mapped_column(String(100))
