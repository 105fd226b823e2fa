"""The application `ta_generator`: its status flows, also when several act at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError
from ta_case import PATH, add_request, add_user, run
from ta_generator.database import async_session_factory
from ta_generator.enums import RequestStatus, StatusFlowError, UserRoleEnum, ValidationStatus
from ta_generator.models import Request
from ta_generator.repositories import (
    AuditAction,
    AuditLogRepository,
    LogSampleRepository,
    RequestRepository,
    RoleRepository,
    TARevisionRepository,
    ValidationRunRepository,
)

from dataflow.errors import (
    AppendOnlyError,
    RecordNotFoundError,
    RecordValidationError,
    StaleRecordError,
)

RACERS = 8


async def add_revision(request_id: UUID) -> int:
    async with async_session_factory() as session:
        revisions = TARevisionRepository(session)
        version = await revisions.get_next_version(request_id)
        place = {"storage_key": "key", "storage_bucket": "bucket"}
        await revisions.create({"request_id": request_id, "version": version, **place})
        await session.commit()
        return version


async def add_run(request_id: UUID) -> UUID:
    await add_revision(request_id)
    async with async_session_factory() as session:
        request = await RequestRepository(session).get_with_revisions(request_id)
        assert request is not None
        revision_id = request.ta_revisions[-1].id
        data = {"request_id": request_id, "ta_revision_id": revision_id}
        run = await ValidationRunRepository(session).create(data)
        await session.commit()
        return run.id


@pytest.mark.parametrize("before", PATH)
def test_a_request_takes_exactly_the_steps_of_its_flow(before: RequestStatus, url: str):
    async def try_all() -> set[RequestStatus]:
        user_id, taken = await add_user(), set()
        for after in RequestStatus:
            request_id = await add_request(user_id, before)
            async with async_session_factory() as session:
                try:
                    await RequestRepository(session).move(request_id, after)
                    await session.commit()
                    taken.add(after)
                except StatusFlowError:
                    pass
            async with async_session_factory() as session:
                stored = await RequestRepository(session).get(request_id)
                assert stored.status is (after if after in taken else before)
        return taken

    assert run(url, try_all) == set(RequestStatus.flow().get(before, ()))


@pytest.mark.parametrize("status", list(RequestStatus)[1:])
def test_a_request_begins_as_new(status: RequestStatus):
    with pytest.raises(StatusFlowError, match=f"NEW follows, not {status}"):
        Request(status=status)


def test_an_unknown_status_is_refused_by_name(url: str):
    async def body() -> None:
        data = {"created_by": await add_user(), "source_system": "x", "status": "DONE"}
        async with async_session_factory() as session:
            with pytest.raises(RecordValidationError, match="status"):
                await RequestRepository(session).create(data)

    run(url, body)


def test_of_many_who_approve_or_reject_at_once_one_wins(url: str):
    async def decide(request_id: UUID, user_id: UUID, number: int) -> str:
        async with async_session_factory() as session:
            requests = RequestRepository(session)
            if number % 2:
                request = await requests.approve_request(request_id, user_id)
            else:
                request = await requests.reject_request(request_id, user_id, f"by {number}")
            await AuditLogRepository(session).create_log(
                user_id=user_id,
                action=AuditAction.APPROVE if number % 2 else AuditAction.REJECT,
                entity_type="request",
                entity_id=request_id,
            )
            await session.commit()
            return str(request.status)

    async def body() -> None:
        user_id = await add_user()
        for _ in range(5):
            request_id = await add_request(user_id, RequestStatus.PENDING_APPROVAL)
            ends = await asyncio.gather(
                *(decide(request_id, user_id, n) for n in range(RACERS)), return_exceptions=True
            )
            (status,) = [end for end in ends if isinstance(end, str)]
            refused = [end for end in ends if isinstance(end, StatusFlowError | StaleRecordError)]
            assert len(refused) == RACERS - 1, ends
            async with async_session_factory() as session:
                stored = await RequestRepository(session).get(request_id)
                trail = await AuditLogRepository(session).get_by_entity("request", request_id)
            assert (stored.status, stored.version) == (status, 3)
            assert (stored.reason is None) == (status == "APPROVED")
            assert [entry.action[:6] for entry in trail] == [status[:6]]

    run(url, body)


def test_who_decides_on_what_was_read_before_another_decision_loses(url: str):
    async def body() -> None:
        user_id = await add_user()
        request_id = await add_request(user_id, RequestStatus.PENDING_APPROVAL)
        async with async_session_factory() as late:
            read = await RequestRepository(late).get(request_id)
            await late.commit()  # keeps the record as it was read
            async with async_session_factory() as early:
                await RequestRepository(early).reject_request(request_id, user_id, "no samples")
                await early.commit()
            assert read.status is RequestStatus.PENDING_APPROVAL
            with pytest.raises(StaleRecordError):
                await RequestRepository(late).approve_request(request_id, user_id)
        async with async_session_factory() as session:
            stored = await RequestRepository(session).get(request_id)
        assert (stored.status, stored.reason) == (RequestStatus.REJECTED, "no samples")

    run(url, body)


def test_a_validation_runs_once_and_ends_once(url: str):
    async def attempt(run_id: UUID, number: int) -> ValidationStatus:
        async with async_session_factory() as session:
            runs = ValidationRunRepository(session)
            started = await runs.start_validation(run_id, f"job-{number}")
            await session.commit()
            return started.status

    async def body() -> Counter[str]:
        request_id = await add_request(await add_user())
        run_id = await add_run(request_id)
        async with async_session_factory() as session:
            runs = ValidationRunRepository(session)
            with pytest.raises(StatusFlowError, match="RUNNING follows, not PASSED"):
                await runs.complete_validation(run_id, ValidationStatus.PASSED)
        ends = await asyncio.gather(
            *(attempt(run_id, n) for n in range(RACERS)), return_exceptions=True
        )
        async with async_session_factory() as session:
            runs = ValidationRunRepository(session)
            assert await runs.get_running_count() == 1
            await runs.complete_validation(run_id, ValidationStatus.FAILED, error_message="no")
            await session.commit()
            with pytest.raises(StatusFlowError, match="FAILED: nothing follows"):
                await runs.start_validation(run_id, "again")
            failed = await runs.get_failed_validations(request_id)
            assert [(found.id, found.error_message) for found in failed] == [(run_id, "no")]
        return Counter(end if isinstance(end, str) else "refused" for end in ends)

    assert run(url, body) == {ValidationStatus.RUNNING: 1, "refused": RACERS - 1}


def test_revisions_made_at_once_have_numbers_without_gaps(url: str):
    async def body() -> list[int]:
        request_id = await add_request(await add_user())
        return await asyncio.gather(*(add_revision(request_id) for _ in range(RACERS)))

    assert sorted(run(url, body)) == list(range(1, RACERS + 1))


def test_details_are_those_of_now_also_in_a_session_that_has_read_them_before(url: str):
    async def body() -> list[str]:
        request_id = await add_request(await add_user())
        async with async_session_factory() as session:
            requests = RequestRepository(session)
            assert (await requests.get_full_details(request_id)).log_samples == []  # type: ignore[union-attr]  # it exists
            await LogSampleRepository(session).create(
                {
                    "request_id": request_id,
                    "filename": "access.log",
                    "storage_key": "key",
                    "storage_bucket": "logs",
                }
            )
            request = await requests.get_with_samples(request_id)
            assert request is not None
            return [sample.filename for sample in request.log_samples]

    assert run(url, body) == ["access.log"]


def test_default_roles_may_be_created_by_several_who_start_at_once(url: str):
    async def ensure() -> None:
        async with async_session_factory() as session:
            await RoleRepository(session).ensure_default_roles()
            await session.commit()

    async def body() -> list[str]:
        await asyncio.gather(*(ensure() for _ in range(RACERS)))
        await ensure()
        async with async_session_factory() as session:
            return sorted(role.name for role in await RoleRepository(session).list())

    assert run(url, body) == sorted(UserRoleEnum)


def test_the_audit_log_cannot_be_changed(url: str):
    async def body() -> None:
        user_id = await add_user()
        async with async_session_factory() as session:
            audit = AuditLogRepository(session)
            login = {"user_id": user_id, "action": AuditAction.LOGIN, "entity_type": "user"}
            entry = await audit.create_log(**login, entity_id=user_id)
            await session.commit()
            for change in (audit.update(entry.id, {"details": {}}), audit.delete(entry.id)):
                with pytest.raises(AppendOnlyError):
                    await change

    run(url, body)


def test_what_names_nothing_is_refused(url: str):
    async def body() -> None:
        user_id = await add_user()
        async with async_session_factory() as session:
            with pytest.raises(RecordNotFoundError):
                await RequestRepository(session).approve_request(user_id, user_id)
        async with async_session_factory() as session:
            data = {"created_by": UUID(int=7), "source_system": "x"}
            with pytest.raises(IntegrityError):
                await RequestRepository(session).create(data)

    run(url, body)
