"""Organizations, each of which sees its own records alone."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from incident_response.base import BaseModel


class Tenant(BaseModel):
    name: Mapped[str] = mapped_column(String(255), unique=True)
    is_active: Mapped[bool] = mapped_column(default=True)
    settings: Mapped[dict] = mapped_column(default=dict)
