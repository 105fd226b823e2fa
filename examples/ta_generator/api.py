"""The routes: `uvicorn --app-dir examples ta_generator.api:app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import fastapi
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from dataflow.errors import RecordNotFoundError, RecordValidationError, StaleRecordError
from dataflow.repositories.sessions import shared_database
from ta_generator.database import (
    async_session_factory,
    check_db_connection,
    connect,
    create_tables,
    dispose_engine,
    get_db,
    get_reader,
)
from ta_generator.enums import (
    AuditAction,
    DocumentType,
    RequestStatus,
    StatusFlowError,
    TARevisionType,
    UserRoleEnum,
    ValidationStatus,
)
from ta_generator.repositories import (
    AuditLogRepository,
    KnowledgeDocumentRepository,
    LogSampleRepository,
    RequestRepository,
    RoleRepository,
    TARevisionRepository,
    UserRepository,
    ValidationRunRepository,
)

MAX_PARALLEL_VALIDATIONS = 3
Database = Annotated[AsyncSession, Depends(get_db)]
Reader = Annotated[AsyncSession, Depends(get_reader)]
Skip = Annotated[int, Query(ge=0, le=1_000_000)]
Limit = Annotated[int, Query(ge=1, le=1_000)]
Hours = Annotated[int, Query(ge=1, le=24 * 366)]
Text = Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")]
router = APIRouter()


class NewUser(BaseModel):
    username: str
    email: str
    full_name: str | None = None


class NewRequest(BaseModel):
    created_by: UUID
    source_system: str
    description: str | None = None
    cim_required: bool = True


class NewSample(BaseModel):
    filename: str
    storage_key: str
    storage_bucket: str = "log-samples"
    file_size: int | None = None
    checksum: str | None = None


class NewRevision(BaseModel):
    generated_by: TARevisionType = TARevisionType.AUTO
    config_summary: dict[str, Any] = {}


class Outcome(BaseModel):
    status: Literal[ValidationStatus.PASSED, ValidationStatus.FAILED]
    results: dict[str, Any] = {}
    error_message: str | None = None
    debug_bundle_key: str | None = None


class NewDocument(BaseModel):
    title: str
    document_type: DocumentType
    storage_key: str
    storage_bucket: str = "knowledge"


class Audit:
    """Notes who did what in this call: part of the same transaction."""

    def __init__(self, db: Database, call: fastapi.Request) -> None:
        self._log = AuditLogRepository(db)
        self._of_call = {
            "correlation_id": call.headers.get("x-correlation-id") or str(uuid4()),
            "ip_address": call.client.host if call.client else None,
            "user_agent": call.headers.get("user-agent"),
        }

    async def note(self, user_id: UUID | None, action: AuditAction, entity: Any) -> None:
        await self._log.create_log(
            user_id=user_id,
            action=action,
            entity_type=type(entity).__name__.lower(),
            entity_id=entity.id,
            details={"status": str(entity.status)} if hasattr(entity, "status") else {},
            **self._of_call,
        )


Audited = Annotated[Audit, Depends()]


def found(record: Any) -> Any:
    if record is None:
        raise HTTPException(404, "not found")
    return record


async def require(db: AsyncSession, user_id: UUID, *roles: UserRoleEnum) -> None:
    """Refuse users that have none of the roles."""
    allowed = (*roles, UserRoleEnum.ADMIN)
    if not set(allowed) & await RoleRepository(db).roles_of(user_id):
        raise HTTPException(403, f"only {' or '.join(allowed)} may do this")


# ------------------------------------------------------------------ users


@router.post("/users", status_code=201)
async def create_user(new: NewUser, db: Database, audit: Audited):
    user = await UserRepository(db).create(new.model_dump())
    role = found(await RoleRepository(db).get_by_name(UserRoleEnum.REQUESTOR))
    await RoleRepository(db).assign_role_to_user(user.id, role.id)
    await audit.note(user.id, AuditAction.CREATE, user)
    await db.commit()
    return user


@router.get("/users")
async def search_users(db: Reader, text: Text = "", skip: Skip = 0, limit: Limit = 20):
    return await UserRepository(db).search_users(text, skip, limit)


@router.put("/users/{user_id}/roles/{name}")
async def assign_role(
    user_id: UUID, name: UserRoleEnum, admin_id: UUID, db: Database, audit: Audited
):
    await require(db, admin_id)
    user = await UserRepository(db).get(user_id)
    role = found(await RoleRepository(db).get_by_name(name))
    await RoleRepository(db).assign_role_to_user(user_id, role.id, assigned_by=admin_id)
    await audit.note(admin_id, AuditAction.UPDATE, user)
    await db.commit()
    return sorted(await RoleRepository(db).roles_of(user_id))


# --------------------------------------------------------------- requests


@router.post("/requests", status_code=201)
async def create_request(new: NewRequest, db: Database, audit: Audited):
    request = await RequestRepository(db).create(new.model_dump())
    await audit.note(new.created_by, AuditAction.CREATE, request)
    await db.commit()
    return request


@router.get("/requests")
async def search_requests(
    db: Reader,
    text: Text = "",
    status: RequestStatus | None = None,
    skip: Skip = 0,
    limit: Limit = 20,
):
    return await RequestRepository(db).search_requests(text, status, skip, limit)


@router.get("/requests/pending")
async def pending_requests(db: Reader, skip: Skip = 0, limit: Limit = 20):
    return await RequestRepository(db).get_pending_approval(skip, limit)


@router.get("/requests/{request_id}")
async def get_request(request_id: UUID, db: Reader):
    return found(await RequestRepository(db).get_full_details(request_id))


@router.post("/requests/{request_id}/samples", status_code=201)
async def add_sample(request_id: UUID, new: NewSample, db: Database, audit: Audited):
    request = await RequestRepository(db).get(request_id)
    sample = await LogSampleRepository(db).create({"request_id": request_id, **new.model_dump()})
    await audit.note(request.created_by, AuditAction.UPLOAD, sample)
    await db.commit()
    return sample


@router.post("/requests/{request_id}/submit")
async def submit_request(request_id: UUID, db: Database, audit: Audited):
    request = await RequestRepository(db).submit_request(request_id)
    await audit.note(request.created_by, AuditAction.UPDATE, request)
    await db.commit()
    return request


@router.post("/requests/{request_id}/approve")
async def approve_request(request_id: UUID, approver_id: UUID, db: Database, audit: Audited):
    await require(db, approver_id, UserRoleEnum.APPROVER)
    request = await RequestRepository(db).approve_request(request_id, approver_id)
    await audit.note(approver_id, AuditAction.APPROVE, request)
    await db.commit()
    return request


@router.post("/requests/{request_id}/reject")
async def reject_request(
    request_id: UUID, approver_id: UUID, reason: str, db: Database, audit: Audited
):
    await require(db, approver_id, UserRoleEnum.APPROVER)
    request = await RequestRepository(db).reject_request(request_id, approver_id, reason)
    await audit.note(approver_id, AuditAction.REJECT, request)
    await db.commit()
    return request


# ----------------------------------------------- revisions and validation


@router.post("/requests/{request_id}/revisions", status_code=201)
async def create_revision(request_id: UUID, new: NewRevision, db: Database, audit: Audited):
    """Keep the next revision, and queue its validation; the first begins the generation."""
    requests, revisions = RequestRepository(db), TARevisionRepository(db)
    version = await revisions.get_next_version(request_id)
    if (await requests.get(request_id)).status is not RequestStatus.VALIDATING:
        await requests.move(request_id, RequestStatus.GENERATING_TA)
        await requests.move(request_id, RequestStatus.VALIDATING)
    place = f"tas/request-{request_id}-v{version}.tgz"
    data = {"request_id": request_id, "version": version, "storage_key": place}
    revision = await revisions.create(
        {**data, "storage_bucket": "ta-artifacts", **new.model_dump()}
    )
    run = {"request_id": request_id, "ta_revision_id": revision.id}
    await ValidationRunRepository(db).create(run)
    await audit.note(None, AuditAction.CREATE, revision)
    await db.commit()
    return revision


@router.post("/validations/{run_id}/start")
async def start_validation(run_id: UUID, job_id: str, db: Database):
    runs = ValidationRunRepository(db)
    if not await runs.has_room(MAX_PARALLEL_VALIDATIONS):
        raise HTTPException(429, "enough validations are running; ask again later")
    run = await runs.start_validation(run_id, job_id)
    await db.commit()
    return run


@router.post("/validations/{run_id}/complete")
async def complete_validation(run_id: UUID, outcome: Outcome, db: Database, audit: Audited):
    """Note how a validation ended; the first that passed completes the request."""
    run = await ValidationRunRepository(db).complete_validation(run_id, **outcome.model_dump())
    requests = RequestRepository(db)
    request = await requests.get(run.request_id)
    if run.status is ValidationStatus.PASSED and request.status is not RequestStatus.COMPLETED:
        request = await requests.move(request.id, RequestStatus.COMPLETED)
        await audit.note(None, AuditAction.UPDATE, request)
    await db.commit()
    return run


# ------------------------------------------------- knowledge, audit, health


@router.post("/documents", status_code=201)
async def create_document(new: NewDocument, manager_id: UUID, db: Database, audit: Audited):
    await require(db, manager_id, UserRoleEnum.KNOWLEDGE_MANAGER)
    data = {**new.model_dump(), "uploaded_by": manager_id}
    document = await KnowledgeDocumentRepository(db).create(data)
    await audit.note(manager_id, AuditAction.UPLOAD, document)
    await db.commit()
    return document


@router.get("/audit/recent")
async def recent_activity(db: Reader, hours: Hours = 24, limit: Limit = 50):
    return await AuditLogRepository(db).get_recent_activity(hours, limit)


@router.get("/audit/{entity_type}/{entity_id}")
async def audit_trail(entity_type: str, entity_id: UUID, db: Reader):
    return await AuditLogRepository(db).get_by_entity(entity_type, entity_id)


@router.get("/statistics")
async def statistics(db: Reader) -> dict[str, Any]:
    return {
        "requests": await RequestRepository(db).get_statistics(),
        "validations": await ValidationRunRepository(db).get_validation_statistics(),
        "documents": await KnowledgeDocumentRepository(db).get_statistics(),
    }


@router.get("/health")
async def health() -> dict[str, bool]:
    if not await check_db_connection():
        raise HTTPException(503, "the database does not answer")
    return {"database": True}


# ------------------------------------------------------------ application


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    if shared_database() is None:
        connect()
    if not await check_db_connection():
        raise RuntimeError("the database does not answer")
    await create_tables()
    async with async_session_factory() as session:
        await RoleRepository(session).ensure_default_roles()
        await session.commit()
    yield
    await dispose_engine()


STATUS_OF = {
    RecordNotFoundError: 404,
    RecordValidationError: 422,
    StatusFlowError: 409,
    StaleRecordError: 409,
    IntegrityError: 409,
}


def refuse(_: fastapi.Request, error: Exception) -> JSONResponse:
    """Say what is wrong, and of the database's own errors nothing but that there is one."""
    status = next(code for kind, code in STATUS_OF.items() if isinstance(error, kind))
    own = isinstance(error, RecordNotFoundError | RecordValidationError | StatusFlowError)
    text = (
        str(error) if own else "it conflicts with another record, or with a change made meanwhile"
    )
    return JSONResponse({"detail": text}, status)


def create_app() -> FastAPI:
    made = FastAPI(title="TA generator", lifespan=lifespan)
    made.include_router(router)
    for kind in STATUS_OF:
        made.add_exception_handler(kind, refuse)
    return made


app = create_app()
