"""Ready-made base models: inherit one, and add what is special to the application.

They are SQLAlchemy-declarative classes. A subclass is a mapped class with a table, and
becomes a model with nodes by `@db.model`, or with all others by a `DatabaseManager`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar

import sqlalchemy as sa
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from sqlalchemy import event
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeEngine

from dataflow.identifiers import uuid7
from dataflow.models.annotations import Unsupported, column_type_for, resolve
from dataflow.models.columns import utc_now
from dataflow.models.columntypes import CurrentInstant, TextKey
from dataflow.models.declare import spec_for
from dataflow.models.enums import (
    ComplianceFramework,
    ExecutionStatus,
    SecurityEventType,
    WorkflowStatus,
)
from dataflow.models.fields import FieldInfo
from dataflow.models.mixins import (
    AppendOnlyMixin,
    AuditMixin,
    CorrelationMixin,
    SoftDeleteMixin,
    TenantMixin,
    VersionMixin,
)
from dataflow.models.naming import NAMING, table_name
from dataflow.models.serializing import core_schema

__all__ = [
    "BaseAuditLogModel",
    "BaseComplianceModel",
    "BaseExecutionModel",
    "BaseModel",
    "BaseSecurityEventModel",
    "BaseTemplateModel",
    "BaseWorkflowModel",
]

Document = dict[str, Any]


def _index(*names: str) -> sa.Index:
    return sa.Index(None, *names)


class BaseModel(DeclarativeBase):
    """Adds `id` (a UUID that sorts by time), `created_at` and `updated_at`.

    The table's name is the plural of the class's, unless `__tablename__` says otherwise.
    `Mapped[…]` takes the annotations of plain models and stores them in the same way.
    """

    metadata = sa.MetaData(naming_convention=NAMING)
    __dataflow__: ClassVar[Any] = {"timestamps": True}

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        """Return the plural of the class's name in snake case."""
        return table_name(cls.__name__)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-10)
    created_at: Mapped[dt.datetime] = mapped_column(
        default=utc_now, server_default=CurrentInstant(), sort_order=90
    )
    updated_at: Mapped[dt.datetime] = mapped_column(
        default=utc_now, onupdate=utc_now, server_default=CurrentInstant(), sort_order=90
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let pydantic, and with it FastAPI, answer with objects of the class."""
        return core_schema(spec_for(cls), handler)

    def __repr__(self) -> str:
        """Return the class and the key, which are never secret."""
        return f"{type(self).__name__}(id={self.__dict__.get('id')!r})"


@event.listens_for(BaseModel, "resolve_type_annotation")
def _column_type(asked: Any) -> TypeEngine[Any] | None:
    """Return the column type of an annotation, as a plain model has it; None: SQLAlchemy's."""
    found = resolve(asked.resolved_type)
    try:
        return column_type_for(found.base, FieldInfo())
    except Unsupported:
        return None


class BaseWorkflowModel(TenantMixin, VersionMixin, SoftDeleteMixin, AuditMixin, BaseModel):
    """A workflow's definition, with tenant, version, soft delete and who changed it."""

    __abstract__ = True

    name: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str | None]
    status: Mapped[WorkflowStatus] = mapped_column(default=WorkflowStatus.DRAFT)
    definition: Mapped[Document] = mapped_column(default=dict)
    tags: Mapped[list[str]] = mapped_column(default=list)
    details: Mapped[Document] = mapped_column(default=dict)
    session_id: Mapped[str | None] = mapped_column(TextKey(255))
    security_classification: Mapped[str] = mapped_column(sa.String(50), default="internal")
    compliance_requirements: Mapped[list[str]] = mapped_column(default=list)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what lists of workflows are looked up by."""
        return (
            _index("tenant_id", "status"),
            _index("tenant_id", "created_at"),
            _index("session_id"),
        )


class BaseExecutionModel(TenantMixin, AuditMixin, BaseModel):
    """A run of a workflow: progress, errors, figures and logs."""

    __abstract__ = True

    workflow_id: Mapped[uuid.UUID | None]
    status: Mapped[ExecutionStatus] = mapped_column(default=ExecutionStatus.PENDING)
    inputs: Mapped[Document] = mapped_column(default=dict)
    outputs: Mapped[Document | None]
    session_id: Mapped[str | None] = mapped_column(TextKey(255))
    started_by: Mapped[str | None] = mapped_column(TextKey(255))
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    runtime_seconds: Mapped[float | None]
    total_nodes: Mapped[int] = mapped_column(default=0)
    completed_nodes: Mapped[int] = mapped_column(default=0)
    progress_percentage: Mapped[float] = mapped_column(default=0.0)
    error_message: Mapped[str | None]
    error_details: Mapped[Document | None]
    resource_usage: Mapped[Document] = mapped_column(default=dict)
    logs: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    debug_info: Mapped[Document] = mapped_column(default=dict)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what lists of runs are looked up by."""
        return (
            _index("tenant_id", "status"),
            _index("tenant_id", "workflow_id"),
            _index("tenant_id", "created_at"),
            _index("session_id"),
        )

    def start(self, started_by: object = None) -> None:
        """Note that the run has begun, and who began it.

        Raises:
            ValueError: If it is not pending.
        """
        self._expect(ExecutionStatus.PENDING)
        self.status = ExecutionStatus.RUNNING
        self.started_at = utc_now()
        self.started_by = None if started_by is None else str(started_by)

    def advance(self, completed_nodes: int) -> None:
        """Note how many nodes have ended; the percentage follows.

        Raises:
            ValueError: If it is not running, or the number is out of range.
        """
        self._expect(ExecutionStatus.RUNNING)
        if not 0 <= completed_nodes <= (self.total_nodes or completed_nodes):
            msg = f"completed_nodes must be from 0 to {self.total_nodes}, not {completed_nodes}"
            raise ValueError(msg)
        self.completed_nodes = completed_nodes
        self.progress_percentage = (
            100 * completed_nodes / self.total_nodes if self.total_nodes else 0.0
        )

    def complete(self, outputs: Document | None = None) -> None:
        """Note that the run has ended well, and what came out.

        Raises:
            ValueError: If it is not running.
        """
        self._end(ExecutionStatus.COMPLETED)
        self.outputs = outputs
        self.progress_percentage = 100.0
        self.completed_nodes = self.total_nodes or 0

    def fail(self, error_message: str, error_details: Document | None = None) -> None:
        """Note that the run has failed, and why.

        Raises:
            ValueError: If it is not running or pending.
        """
        self._end(ExecutionStatus.FAILED, ExecutionStatus.PENDING)
        self.error_message = error_message
        self.error_details = error_details

    def _end(self, status: ExecutionStatus, *also_from: ExecutionStatus) -> None:
        self._expect(ExecutionStatus.RUNNING, *also_from)
        now = utc_now()
        self.status = status
        self.completed_at = now
        if self.started_at is not None:
            self.runtime_seconds = (now - self.started_at).total_seconds()

    def _expect(self, *statuses: ExecutionStatus) -> None:
        current = self.status or ExecutionStatus.PENDING  # which it becomes when stored
        if current not in statuses:
            msg = f"the run is {current}, and must be {' or '.join(statuses)} for this"
            raise ValueError(msg)


class BaseTemplateModel(TenantMixin, VersionMixin, SoftDeleteMixin, AuditMixin, BaseModel):
    """A template of workflows: how often it is used, how it is rated, who may see it."""

    __abstract__ = True

    name: Mapped[str] = mapped_column(sa.String(255))
    description: Mapped[str | None]
    category: Mapped[str | None] = mapped_column(sa.String(100))
    definition: Mapped[Document] = mapped_column(default=dict)
    tags: Mapped[list[str]] = mapped_column(default=list)
    is_public: Mapped[bool] = mapped_column(default=False)
    certification_level: Mapped[str | None] = mapped_column(sa.String(50))
    usage_count: Mapped[int] = mapped_column(default=0)
    last_used: Mapped[dt.datetime | None]
    rating_average: Mapped[float | None]
    rating_count: Mapped[int] = mapped_column(default=0)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what lists of templates are looked up by."""
        return (_index("tenant_id", "category"), _index("tenant_id", "created_at"))

    def use(self) -> None:
        """Count one more use."""
        self.usage_count = (self.usage_count or 0) + 1
        self.last_used = utc_now()

    def rate(self, stars: float) -> None:
        """Add a rating from 1 to 5 to the average.

        Raises:
            ValueError: If it is out of range.
        """
        if not 1 <= stars <= 5:
            msg = f"a rating is from 1 to 5, not {stars!r}"
            raise ValueError(msg)
        count = self.rating_count or 0
        self.rating_average = ((self.rating_average or 0.0) * count + stars) / (count + 1)
        self.rating_count = count + 1


class BaseSecurityEventModel(AppendOnlyMixin, TenantMixin, CorrelationMixin, BaseModel):
    """Something that matters to security; recorded once, never changed."""

    __abstract__ = True

    event_type: Mapped[SecurityEventType] = mapped_column()
    severity: Mapped[str] = mapped_column(sa.String(20), default="info")
    user_id: Mapped[str | None] = mapped_column(TextKey(255))
    resource: Mapped[str | None] = mapped_column(sa.String(255))
    outcome: Mapped[str | None] = mapped_column(sa.String(50))
    ip_address: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None]
    details: Mapped[Document] = mapped_column(default=dict)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what events are looked up by."""
        return (
            _index("tenant_id", "event_type"),
            _index("tenant_id", "user_id"),
            _index("tenant_id", "created_at"),
        )


class BaseAuditLogModel(AppendOnlyMixin, TenantMixin, CorrelationMixin, BaseModel):
    """Who did what to which entity; recorded once, never changed.

    Its entries are part of the audit log's hash chain: `db.audit.verify()` tells whether
    the chain is whole, `db.audit.verify_records(model)` whether entries were altered.
    """

    __abstract__ = True
    __dataflow__: ClassVar[Any] = {"audit": True}

    user_id: Mapped[str | None] = mapped_column(TextKey(255))
    action: Mapped[str] = mapped_column(sa.String(100))
    entity_type: Mapped[str] = mapped_column(sa.String(100))
    entity_id: Mapped[str | None] = mapped_column(TextKey(255))
    details: Mapped[Document] = mapped_column(default=dict)
    ip_address: Mapped[str | None] = mapped_column(sa.String(45))
    user_agent: Mapped[str | None]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what entries are looked up by."""
        return (
            _index("tenant_id", "entity_type", "entity_id"),
            _index("tenant_id", "user_id"),
            _index("tenant_id", "created_at"),
        )


class BaseComplianceModel(TenantMixin, VersionMixin, AuditMixin, BaseModel):
    """An assessment by the rules of a framework, its findings and when to repeat it."""

    __abstract__ = True

    framework: Mapped[ComplianceFramework] = mapped_column()
    status: Mapped[str] = mapped_column(sa.String(50), default="pending")
    score: Mapped[float | None]
    assessed_by: Mapped[str | None] = mapped_column(TextKey(255))
    assessed_at: Mapped[dt.datetime | None]
    valid_until: Mapped[dt.datetime | None]
    findings: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    evidence: Mapped[Document] = mapped_column(default=dict)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Any, ...]:
        """Index what assessments are looked up by."""
        return (_index("tenant_id", "framework"), _index("tenant_id", "status"))
