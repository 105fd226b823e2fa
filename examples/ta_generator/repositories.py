"""The questions that the application asks; nothing here commits."""

import datetime as dt
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from dataflow.repositories import AsyncRepository, QueryOptions
from ta_generator.enums import AuditAction, RequestStatus, UserRoleEnum, ValidationStatus
from ta_generator.models import (
    AuditLog,
    KnowledgeDocument,
    LogSample,
    Request,
    Role,
    TARevision,
    User,
    UserRole,
    ValidationRun,
)

T = TypeVar("T")
LINKS = ("log_samples", "ta_revisions", "validation_runs")


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Questions(AsyncRepository[T]):
    """What the repositories of this application share."""

    async def page(self, statement: sa.Select[tuple[T]], skip: int, limit: int) -> list[T]:
        return list(await self.session.scalars(statement.offset(skip).limit(limit)))

    async def count_by(self, column: Any, words: Iterable[str] = ()) -> dict[str, int]:
        """Return `{value: how many}` of the values that occur; of words also those that do not."""
        counts = sa.select(column, sa.func.count()).group_by(column).order_by(column)
        found = {str(value): count for value, count in await self.session.execute(counts)}
        return dict.fromkeys(map(str, words), 0) | found


class UserRepository(Questions[User]):
    async def get_by_username(self, username: str) -> User | None:
        return await self.get_by_field("username", username)

    async def search_users(self, text: str, skip: int = 0, limit: int = 100) -> list[User]:
        return await self.search(text, ("username", "email", "full_name"), skip, limit)


class RoleRepository(Questions[Role]):
    async def ensure_default_roles(self) -> None:
        """Create the roles that are missing."""
        known = {role.name for role in await self.list()}
        for name in UserRoleEnum:
            if name not in known:
                with suppress(IntegrityError):  # another process that starts was faster
                    async with self.session.begin_nested():
                        await self.create({"name": name})

    async def get_by_name(self, name: UserRoleEnum) -> Role | None:
        return await self.get_by_field("name", name)

    async def assign_role_to_user(
        self, user_id: UUID, role_id: UUID, assigned_by: UUID | None = None
    ) -> UserRole:
        data = {"user_id": user_id, "role_id": role_id, "assigned_by": assigned_by}
        return await AsyncRepository(self.session, UserRole).create(data)

    async def roles_of(self, user_id: UUID) -> set[UserRoleEnum]:
        roles = sa.select(Role.name).join(UserRole, UserRole.role_id == Role.id)
        return set(await self.session.scalars(roles.where(UserRole.user_id == user_id)))


class RequestRepository(Questions[Request]):
    async def submit_request(self, request_id: UUID) -> Request:
        return await self.move(request_id, RequestStatus.PENDING_APPROVAL)

    async def approve_request(self, request_id: UUID, approver_id: UUID) -> Request:
        return await self._decide(request_id, RequestStatus.APPROVED, approver_id)

    async def reject_request(self, request_id: UUID, approver_id: UUID, reason: str) -> Request:
        return await self._decide(request_id, RequestStatus.REJECTED, approver_id, reason)

    async def _decide(
        self, request_id: UUID, status: RequestStatus, by: UUID, reason: str | None = None
    ) -> Request:
        decision = {"decided_by": by, "decided_at": now(), "reason": reason}
        return await self.move(request_id, status, **decision)

    async def move(self, request_id: UUID, status: RequestStatus, **changes: Any) -> Request:
        """Change the status and what comes with it.

        Raises:
            StatusFlowError: If the status cannot follow the one that the request has.
            StaleRecordError: If someone else has changed the request at the same time.
        """
        return await self.update(request_id, {"status": status, **changes})

    async def get_with_samples(self, request_id: UUID) -> Request | None:
        return await self._get_with(request_id, "log_samples")

    async def get_with_revisions(self, request_id: UUID) -> Request | None:
        return await self._get_with(request_id, "ta_revisions")

    async def get_full_details(self, request_id: UUID) -> Request | None:
        return await self._get_with(request_id, *LINKS)

    async def _get_with(self, request_id: UUID, *links: str) -> Request | None:
        options = [selectinload(getattr(Request, name)) for name in links]
        return await self.session.get(Request, request_id, options=options, populate_existing=True)

    async def search_requests(
        self, text: str, status: RequestStatus | None = None, skip: int = 0, limit: int = 100
    ) -> list[Request]:
        found = sa.or_(
            Request.source_system.icontains(text, autoescape=True),
            Request.description.icontains(text, autoescape=True),
        )
        statement = sa.select(Request).where(found).order_by(Request.created_at, Request.id)
        if status is not None:
            statement = statement.where(Request.status == status)
        return await self.page(statement, skip, limit)

    async def get_pending_approval(self, skip: int = 0, limit: int = 100) -> list[Request]:
        """Return what waits for approval, the oldest first."""
        waiting = sa.select(Request).where(Request.status == RequestStatus.PENDING_APPROVAL)
        return await self.page(waiting.order_by(Request.created_at, Request.id), skip, limit)

    async def get_statistics(self) -> dict[str, int]:
        return await self.count_by(Request.status, RequestStatus)


class LogSampleRepository(Questions[LogSample]):
    pass


class TARevisionRepository(Questions[TARevision]):
    async def get_next_version(self, request_id: UUID) -> int:
        """Return the number of the next revision; nobody else gets it before the commit."""
        await self.session.get(Request, request_id, with_for_update=True)
        newest = sa.select(sa.func.max(TARevision.version))
        newest = newest.where(TARevision.request_id == request_id)
        return (await self.session.scalar(newest) or 0) + 1


class ValidationRunRepository(Questions[ValidationRun]):
    async def start_validation(self, run_id: UUID, job_id: str) -> ValidationRun:
        started = {"job_id": job_id, "started_at": now()}
        return await self.update(run_id, {"status": ValidationStatus.RUNNING, **started})

    async def complete_validation(
        self,
        run_id: UUID,
        status: ValidationStatus,
        results: dict[str, Any] | None = None,
        error_message: str | None = None,
        debug_bundle_key: str | None = None,
    ) -> ValidationRun:
        outcome = {
            "status": status,
            "results": results or {},
            "error_message": error_message,
            "debug_bundle_key": debug_bundle_key,
            "finished_at": now(),
        }
        return await self.update(run_id, outcome)

    async def get_failed_validations(self, request_id: UUID) -> list[ValidationRun]:
        return await self.list({"request_id": request_id, "status": ValidationStatus.FAILED})

    async def get_running_count(self) -> int:
        return await self.count({"status": ValidationStatus.RUNNING})

    async def has_room(self, limit: int) -> bool:
        """Return whether another run may start; nobody else is told so before the commit."""
        open_runs = ValidationRun.status.in_([ValidationStatus.QUEUED, ValidationStatus.RUNNING])
        locked = sa.select(ValidationRun.id).where(open_runs).order_by(ValidationRun.id)
        await self.session.execute(locked.with_for_update())
        return await self.get_running_count() < limit

    async def get_validation_statistics(self) -> dict[str, int]:
        return await self.count_by(ValidationRun.status, ValidationStatus)


class AuditLogRepository(Questions[AuditLog]):
    async def create_log(
        self, *, user_id: UUID | None, action: AuditAction, entity_type: str, **more: Any
    ) -> AuditLog:
        """Note what someone did; `more` are further fields: entity_id, details, ip_address …"""
        who_what = {"user_id": user_id, "action": action, "entity_type": entity_type}
        return await self.create({**who_what, **more})

    async def get_recent_activity(self, hours: int = 24, limit: int = 100) -> list[AuditLog]:
        return await self._newest(
            AuditLog.created_at >= now() - dt.timedelta(hours=hours), 0, limit
        )

    async def get_by_user(self, user_id: UUID, skip: int = 0, limit: int = 100) -> list[AuditLog]:
        return await self._newest(AuditLog.user_id == user_id, skip, limit)

    async def _newest(
        self, condition: sa.ColumnElement[bool], skip: int, limit: int
    ) -> list[AuditLog]:
        newest = AuditLog.created_at.desc(), AuditLog.id.desc()
        return await self.page(sa.select(AuditLog).where(condition).order_by(*newest), skip, limit)

    async def get_by_entity(self, entity_type: str, entity_id: UUID) -> list[AuditLog]:
        """Return what happened to an entity, in order."""
        filters = {"entity_type": entity_type, "entity_id": entity_id}
        return await self.list(QueryOptions(filters, sorts=["created_at"]))

    async def get_by_correlation_id(self, correlation_id: UUID | str) -> list[AuditLog]:
        """Return what one request has caused, in order."""
        filters = {"correlation_id": str(correlation_id)}
        return await self.list(QueryOptions(filters, sorts=["created_at"]))


class KnowledgeDocumentRepository(Questions[KnowledgeDocument]):
    async def get_unindexed_documents(self, limit: int = 100) -> list[KnowledgeDocument]:
        """Return active documents that wait for indexing, the oldest first."""
        waiting = sa.select(KnowledgeDocument).where(
            KnowledgeDocument.is_active, KnowledgeDocument.indexed_at.is_(None)
        )
        oldest = KnowledgeDocument.created_at, KnowledgeDocument.id
        return await self.page(waiting.order_by(*oldest), 0, limit)

    async def mark_as_indexed(
        self, document_id: UUID, index_name: str, embedding_count: int
    ) -> KnowledgeDocument:
        indexed = {"index_name": index_name, "embedding_count": embedding_count}
        return await self.update(document_id, {**indexed, "indexed_at": now()})

    async def get_statistics(self) -> dict[str, dict[str, int]]:
        """Return `{"by_type": {type: count}, "indexing_status": {"indexed", "unindexed"}}`."""
        indexed = await self.count({"indexed_at": {"$null": False}})
        status = {"indexed": indexed, "unindexed": await self.count() - indexed}
        by_type = await self.count_by(KnowledgeDocument.document_type)
        return {"by_type": by_type, "indexing_status": status}
