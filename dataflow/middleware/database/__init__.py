"""Signpost: the base models, the manager and the repository of applications, by one name."""

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
    "BaseAuditLogModel",
    "BaseComplianceModel",
    "BaseExecutionModel",
    "BaseModel",
    "BaseRepository",
    "BaseSecurityEventModel",
    "BaseTemplateModel",
    "BaseWorkflowModel",
    "DatabaseManager",
]
