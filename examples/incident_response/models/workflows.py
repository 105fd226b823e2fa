"""The workflows whose failures are watched."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from incident_response.base import BaseModel, TenantMixin


class Workflow(BaseModel, TenantMixin):
    name: Mapped[str] = mapped_column(String(255), unique=True)  # within a tenant
    description: Mapped[str] = mapped_column(default="")
    is_active: Mapped[bool] = mapped_column(default=True)
