"""What the application's models have in common."""

from uuid import UUID

from sqlalchemy import ForeignKey, MetaData
from sqlalchemy.orm import Mapped, mapped_column

from dataflow.models import mixins, ready
from dataflow.models.mixins import AppendOnlyMixin, CorrelationMixin
from dataflow.models.naming import NAMING

__all__ = ["AppendOnlyMixin", "BaseModel", "CorrelationMixin", "TenantMixin"]


class BaseModel(ready.BaseModel):
    """Adds `id`, `created_at` and `updated_at`."""

    __abstract__ = True
    metadata = MetaData(naming_convention=NAMING)  # apart from other applications' tables


class TenantMixin(mixins.TenantMixin):
    """Adds `tenant_id`, which leads to a tenant; each session sees one tenant's records."""

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))  # type: ignore[assignment]  # a UUID here, a text there
