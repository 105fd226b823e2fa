"""A request on its way from a requestor to a validated add-on."""

import asyncio
import sys
from uuid import UUID

from ta_generator.database import async_session_factory, connect, dispose_engine
from ta_generator.enums import (
    AuditAction,
    RequestStatus,
    StatusFlowError,
    UserRoleEnum,
    ValidationStatus,
)
from ta_generator.repositories import (
    AuditLogRepository,
    LogSampleRepository,
    RequestRepository,
    RoleRepository,
    TARevisionRepository,
    UserRepository,
    ValidationRunRepository,
)


async def create_people() -> tuple[UUID, UUID]:
    """Return the ids of someone who asks and someone who approves; create who is missing."""
    async with async_session_factory() as session:
        users, roles = UserRepository(session), RoleRepository(session)
        await roles.ensure_default_roles()
        john, ada = [
            await users.get_by_username(name)
            or await users.create({"username": name, "email": f"{name}@example.com"})
            for name in ("john_doe", "ada")
        ]
        approver = await roles.get_by_name(UserRoleEnum.APPROVER)
        assert approver is not None
        if UserRoleEnum.APPROVER not in await roles.roles_of(ada.id):
            await roles.assign_role_to_user(ada.id, approver.id, assigned_by=ada.id)
        await session.commit()
        return john.id, ada.id


async def create_request(created_by: UUID) -> UUID:
    async with async_session_factory() as session:
        requests = RequestRepository(session)
        request = await requests.create({"created_by": created_by, "source_system": "Apache"})
        sample = {"filename": "access.log", "storage_key": "samples/1", "storage_bucket": "logs"}
        await LogSampleRepository(session).create({"request_id": request.id, **sample})
        await requests.submit_request(request.id)
        await session.commit()
        return request.id


async def approve(request_id: UUID, approver_id: UUID) -> str:
    async with async_session_factory() as session:
        request = await RequestRepository(session).approve_request(request_id, approver_id)
        await AuditLogRepository(session).create_log(
            user_id=approver_id,
            action=AuditAction.APPROVE,
            entity_type="request",
            entity_id=request_id,
            details={"new_status": request.status},
        )
        await session.commit()
        return request.status


async def generate(request_id: UUID) -> None:
    """Keep a revision and validate it."""
    async with async_session_factory() as session:
        requests, revisions = RequestRepository(session), TARevisionRepository(session)
        runs = ValidationRunRepository(session)
        await requests.move(request_id, RequestStatus.GENERATING_TA)
        version = await revisions.get_next_version(request_id)
        place = {"storage_key": f"tas/v{version}.tgz", "storage_bucket": "ta-artifacts"}
        revision = await revisions.create({"request_id": request_id, "version": version, **place})
        await requests.move(request_id, RequestStatus.VALIDATING)
        run = await runs.create({"request_id": request_id, "ta_revision_id": revision.id})
        await runs.start_validation(run.id, "k8s-job-abc123")
        await runs.complete_validation(run.id, ValidationStatus.PASSED, {"fields_extracted": 15})
        await requests.move(request_id, RequestStatus.COMPLETED)
        await session.commit()


async def show(request_id: UUID) -> None:
    async with async_session_factory() as session:
        requests = RequestRepository(session)
        request = await requests.get_full_details(request_id)
        assert request is not None
        for sample in request.log_samples:
            print(f"sample {sample.filename}")
        for revision in request.ta_revisions:
            print(f"revision {revision.version}, {revision.generated_by}")
        for run in request.validation_runs:
            print(f"validation {run.status}, {run.results}")
        print({name: count for name, count in (await requests.get_statistics()).items() if count})
        for entry in await AuditLogRepository(session).get_by_entity("request", request_id):
            print(f"{entry.action} {entry.entity_type}: {entry.details}")


async def main(url: str | None) -> None:
    connect(url)
    john, ada = await create_people()
    request_id = await create_request(john)
    print("approved:", await approve(request_id, ada))
    try:
        await approve(request_id, ada)
    except StatusFlowError as error:
        print("again:", error)
    await generate(request_id)
    await show(request_id)
    await dispose_engine()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
