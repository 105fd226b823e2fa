"""Failures that events report, one for each kind of error."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from dataflow.models.columntypes import EnumValue
from incident_response.base import BaseModel, CorrelationMixin, TenantMixin
from incident_response.enums import IncidentStatus, Severity


class Incident(BaseModel, TenantMixin, CorrelationMixin):
    __table_args__ = (Index("ix_incidents_tenant_status", "tenant_id", "status"),)

    signature: Mapped[str] = mapped_column(String(64), unique=True)  # within a tenant
    title: Mapped[str] = mapped_column(String(255))
    status: Mapped[IncidentStatus] = mapped_column(
        EnumValue(IncidentStatus), default=IncidentStatus.NEW
    )
    severity: Mapped[Severity] = mapped_column(EnumValue(Severity), default=Severity.LOW)
    event_count: Mapped[int] = mapped_column(default=0)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
