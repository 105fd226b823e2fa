"""Services of others, which workflows call; all tenants share them."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from dataflow.models.columntypes import EnumValue
from incident_response.base import BaseModel
from incident_response.enums import CircuitState


class Vendor(BaseModel):
    name: Mapped[str] = mapped_column(String(255), unique=True)
    circuit_breaker_state: Mapped[CircuitState] = mapped_column(
        EnumValue(CircuitState), default=CircuitState.CLOSED
    )
    circuit_breaker_failure_count: Mapped[int] = mapped_column(default=0)
    rate_limit_per_minute: Mapped[int] = mapped_column(default=60)
