"""What the application's models have in common."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from dataflow.models import mixins, ready
from dataflow.models.mixins import AppendOnlyMixin, CorrelationMixin

__all__ = ["AppendOnlyMixin", "BaseModel", "CorrelationMixin", "TenantMixin"]


class BaseModel(ready.BaseModel):
    """Adds `id`, `created_at` and `updated_at`."""

    __abstract__ = True


class TenantMixin(mixins.TenantMixin):
    """Adds `tenant_id`, which leads to a tenant; each session sees one tenant's records."""

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))  # type: ignore[assignment]  # a UUID here, a text there
