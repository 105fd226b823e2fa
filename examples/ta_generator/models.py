"""What the application keeps."""

import datetime as dt
import enum
import uuid
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from dataflow.middleware.database import BaseModel
from dataflow.models.columntypes import EnumValue
from dataflow.models.mixins import AppendOnlyMixin, CorrelationMixin, VersionMixin
from ta_generator.enums import (
    AuditAction,
    DocumentType,
    RequestStatus,
    Status,
    TARevisionType,
    UserRoleEnum,
    ValidationStatus,
)

Name = Annotated[str, mapped_column(sa.String(255))]
Json = dict[str, Any]


class Base(BaseModel):
    """The base of all models: `id`, `created_at`, `updated_at`."""

    __abstract__ = True
    metadata = sa.MetaData(naming_convention=BaseModel.metadata.naming_convention)


def word(kind: type[enum.Enum], **options: Any) -> Mapped[Any]:
    return mapped_column(EnumValue(kind), **options)


def link(column: str, **options: Any) -> Mapped[Any]:
    return mapped_column(sa.ForeignKey(column), index=True, **options)


class FollowsFlow(VersionMixin):
    """Lets `status` change along its flow alone, and of two changes at once only one."""

    @validates("status")
    def _follow(self, _: str, after: Status) -> Status:
        type(after).check(self.status, after)  # type: ignore[attr-defined]  # of the model
        return after


class User(Base):
    username: Mapped[Name] = mapped_column(unique=True)
    email: Mapped[Name] = mapped_column(unique=True)
    full_name: Mapped[Name | None]
    is_active: Mapped[bool] = mapped_column(default=True)
    auth_provider: Mapped[Name] = mapped_column(default="local")


class Role(Base):
    name: Mapped[UserRoleEnum] = word(UserRoleEnum, unique=True)
    description: Mapped[str | None]


class UserRole(Base):
    __table_args__ = (sa.UniqueConstraint("user_id", "role_id"),)

    user_id: Mapped[uuid.UUID] = link("users.id")
    role_id: Mapped[uuid.UUID] = link("roles.id")
    assigned_by: Mapped[uuid.UUID | None] = link("users.id")


class Request(FollowsFlow, Base):
    created_by: Mapped[uuid.UUID] = link("users.id")
    status: Mapped[RequestStatus] = word(RequestStatus, default=RequestStatus.NEW, index=True)
    source_system: Mapped[Name]
    description: Mapped[str | None]
    cim_required: Mapped[bool] = mapped_column(default=True)
    decided_by: Mapped[uuid.UUID | None] = link("users.id")
    decided_at: Mapped[dt.datetime | None]
    reason: Mapped[str | None]

    log_samples: Mapped[list["LogSample"]] = relationship(
        lazy="raise", order_by="LogSample.created_at"
    )
    ta_revisions: Mapped[list["TARevision"]] = relationship(
        lazy="raise", order_by="TARevision.version"
    )
    validation_runs: Mapped[list["ValidationRun"]] = relationship(
        lazy="raise", order_by="ValidationRun.created_at"
    )


class StoredFile:
    """A file in object storage."""

    storage_key: Mapped[str]
    storage_bucket: Mapped[Name]
    file_size: Mapped[int | None]
    checksum: Mapped[Name | None]


class LogSample(StoredFile, Base):
    request_id: Mapped[uuid.UUID] = link("requests.id")
    filename: Mapped[Name]


class TARevision(StoredFile, Base):
    __table_args__ = (sa.UniqueConstraint("request_id", "version"),)

    request_id: Mapped[uuid.UUID] = link("requests.id")
    version: Mapped[int]
    generated_by: Mapped[TARevisionType] = word(TARevisionType, default=TARevisionType.AUTO)
    config_summary: Mapped[Json] = mapped_column(default=dict)


class ValidationRun(FollowsFlow, Base):
    request_id: Mapped[uuid.UUID] = link("requests.id")
    ta_revision_id: Mapped[uuid.UUID] = link("ta_revisions.id")
    status: Mapped[ValidationStatus] = word(
        ValidationStatus, default=ValidationStatus.QUEUED, index=True
    )
    job_id: Mapped[Name | None]
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    results: Mapped[Json] = mapped_column(default=dict)
    error_message: Mapped[str | None]
    debug_bundle_key: Mapped[str | None]


class AuditLog(AppendOnlyMixin, CorrelationMixin, Base):
    __table_args__ = (sa.Index(None, "entity_type", "entity_id"), sa.Index(None, "created_at"))

    user_id: Mapped[uuid.UUID | None] = link("users.id")
    action: Mapped[AuditAction] = word(AuditAction)
    entity_type: Mapped[Name]
    entity_id: Mapped[uuid.UUID | None]
    details: Mapped[Json] = mapped_column(default=dict)
    ip_address: Mapped[Name | None]
    user_agent: Mapped[str | None]


class KnowledgeDocument(StoredFile, Base):
    title: Mapped[Name]
    document_type: Mapped[DocumentType] = word(DocumentType)
    is_active: Mapped[bool] = mapped_column(default=True)
    uploaded_by: Mapped[uuid.UUID | None] = link("users.id")
    index_name: Mapped[Name | None]
    embedding_count: Mapped[int | None]
    indexed_at: Mapped[dt.datetime | None]
