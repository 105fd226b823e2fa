"""The questions that the application asks; nothing here commits."""

import datetime as dt
from contextlib import suppress
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

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

LINKS = ("log_samples", "ta_revisions", "validation_runs")


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class UserRepository(AsyncRepository[User]):
    async def get_by_username(self, username: str) -> User | None:
        return await self.get_by_field("username", username)

    async def search_users(self, text: str, skip: int = 0, limit: int = 100) -> list[User]:
        return await self.search(text, ("username", "email", "full_name"), skip, limit)


class RoleRepository(AsyncRepository[Role]):
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


class RequestRepository(AsyncRepository[Request]):
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
        return await self.get_by_id(request_id, include=["log_samples"])

    async def get_with_revisions(self, request_id: UUID) -> Request | None:
        return await self.get_by_id(request_id, include=["ta_revisions"])

    async def get_full_details(self, request_id: UUID) -> Request | None:
        return await self.get_by_id(request_id, include=LINKS)

    async def search_requests(
        self, text: str, status: RequestStatus | None = None, skip: int = 0, limit: int = 100
    ) -> list[Request]:
        options = QueryOptions({"status": status} if status else {}, sorts=["created_at"])
        fields = ("source_system", "description")
        return await self.search(text, fields, skip, limit, options=options)

    async def get_pending_approval(self, skip: int = 0, limit: int = 100) -> list[Request]:
        """Return what waits for approval, the oldest first."""
        waiting = {"status": RequestStatus.PENDING_APPROVAL}
        return await self.list(QueryOptions(waiting, ["created_at"], skip=skip, limit=limit))

    async def get_statistics(self) -> dict[str, int]:
        counts = await self.count_by("status")
        return {str(status): counts.get(status, 0) for status in RequestStatus}


class LogSampleRepository(AsyncRepository[LogSample]):
    pass


class TARevisionRepository(AsyncRepository[TARevision]):
    async def get_next_version(self, request_id: UUID) -> int:
        """Return the number of the next revision; nobody else gets it before the commit."""
        await self.session.get(Request, request_id, with_for_update=True)
        newest = sa.select(sa.func.max(TARevision.version))
        newest = newest.where(TARevision.request_id == request_id)
        return (await self.session.scalar(newest) or 0) + 1


class ValidationRunRepository(AsyncRepository[ValidationRun]):
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
        counts = await self.count_by("status")
        return {str(status): counts.get(status, 0) for status in ValidationStatus}


class AuditLogRepository(AsyncRepository[AuditLog]):
    async def create_log(
        self, *, user_id: UUID | None, action: AuditAction, entity_type: str, **more: Any
    ) -> AuditLog:
        """Note what someone did; `more` are further fields: entity_id, details, ip_address …"""
        who_what = {"user_id": user_id, "action": action, "entity_type": entity_type}
        return await self.create({**who_what, **more})

    async def get_recent_activity(self, hours: int = 24, limit: int = 100) -> list[AuditLog]:
        recent = {"created_at": {"$gte": now() - dt.timedelta(hours=hours)}}
        return await self.list(QueryOptions(recent, ["-created_at"], limit=limit))

    async def get_by_user(self, user_id: UUID, skip: int = 0, limit: int = 100) -> list[AuditLog]:
        by_user = {"user_id": user_id}
        return await self.list(QueryOptions(by_user, ["-created_at"], skip=skip, limit=limit))

    async def get_by_entity(self, entity_type: str, entity_id: UUID) -> list[AuditLog]:
        """Return what happened to an entity, in order."""
        filters = {"entity_type": entity_type, "entity_id": entity_id}
        return await self.list(QueryOptions(filters, sorts=["created_at"]))

    async def get_by_correlation_id(self, correlation_id: UUID | str) -> list[AuditLog]:
        """Return what one request has caused, in order."""
        filters = {"correlation_id": str(correlation_id)}
        return await self.list(QueryOptions(filters, sorts=["created_at"]))


class KnowledgeDocumentRepository(AsyncRepository[KnowledgeDocument]):
    async def get_unindexed_documents(self, limit: int = 100) -> list[KnowledgeDocument]:
        """Return active documents that wait for indexing, the oldest first."""
        waiting = {"is_active": True, "indexed_at": None}
        return await self.list(QueryOptions(waiting, ["created_at"], limit=limit))

    async def mark_as_indexed(
        self, document_id: UUID, index_name: str, embedding_count: int
    ) -> KnowledgeDocument:
        indexed = {"index_name": index_name, "embedding_count": embedding_count}
        return await self.update(document_id, {**indexed, "indexed_at": now()})

    async def get_statistics(self) -> dict[str, dict[str, int]]:
        """Return `{"by_type": {type: count}, "indexing_status": {"indexed", "unindexed"}}`."""
        indexed = await self.count({"indexed_at": {"$null": False}})
        status = {"indexed": indexed, "unindexed": await self.count() - indexed}
        counts = await self.count_by("document_type")
        by_type = {str(kind): count for kind, count in counts.items()}
        return {"by_type": by_type, "indexing_status": status}
