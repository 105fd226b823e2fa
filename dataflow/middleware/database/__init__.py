"""Signpost: base models, mixins, manager and repository of applications, by one name."""

from dataflow.models.mixins import (
    AppendOnlyMixin,
    AuditMixin,
    CorrelationMixin,
    SoftDeleteMixin,
    TenantMixin,
    VersionMixin,
)
from dataflow.models.ready import (
    BaseAuditLogModel,
    BaseComplianceModel,
    BaseExecutionModel,
    BaseModel,
    BaseSecurityEventModel,
    BaseTemplateModel,
    BaseWorkflowModel,
)
from dataflow.repositories.manager import DatabaseManager
from dataflow.repositories.per_call import PerCallRepository as BaseRepository

__all__ = [
    "AppendOnlyMixin",
    "AuditMixin",
    "BaseAuditLogModel",
    "BaseComplianceModel",
    "BaseExecutionModel",
    "BaseModel",
    "BaseRepository",
    "BaseSecurityEventModel",
    "BaseTemplateModel",
    "BaseWorkflowModel",
    "CorrelationMixin",
    "DatabaseManager",
    "SoftDeleteMixin",
    "TenantMixin",
    "VersionMixin",
]
