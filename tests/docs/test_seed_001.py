"""The blocks of the source document 001 run on the application `ta_generator`: names mapped."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import HTTPException
from seed_001 import find_seed, read_blocks, read_copies, runnable
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from ta_case import add_request, add_user, run
from ta_generator import enums
from ta_generator.database import async_session_factory
from ta_generator.enums import (
    AuditAction,
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

SEED = find_seed()
BLOCKS = read_copies() if SEED is None else read_blocks(SEED)


class Notebook:
    """A session, its repositories, and the names in which blocks run."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.users = UserRepository(session)
        self.requests = RequestRepository(session)
        self.samples = LogSampleRepository(session)
        self.revisions = TARevisionRepository(session)
        self.validations = ValidationRunRepository(session)
        self.audit = AuditLogRepository(session)
        self.documents = KnowledgeDocumentRepository(session)
        self.names: dict[str, Any] = {
            "session": session,
            "user_repo": self.users,
            "request_repo": self.requests,
            "validation_repo": self.validations,
            "audit_repo": self.audit,
            "knowledge_doc_repo": self.documents,
            "RequestStatus": RequestStatus,
            "IntegrityError": IntegrityError,
            "HTTPException": HTTPException,
            "MAX_PARALLEL_VALIDATIONS": 3,
        }

    async def run(self, name: str, **names: Any) -> dict[str, Any]:
        return await self.run_code(BLOCKS[name], **names)

    async def run_code(self, code: str, **names: Any) -> dict[str, Any]:
        """Run code, which may await, and return the names that it leaves."""
        self.names |= names
        compiled = compile(runnable(code), "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, self.names)
        if inspect.isawaitable(result):
            await result
        return self.names

    async def add_revision(self, request_id: UUID, version: int = 1) -> UUID:
        place = {"storage_key": f"v{version}", "storage_bucket": "tas"}
        data = {"request_id": request_id, "version": version, **place}
        return (await self.revisions.create(data)).id

    async def add_runs(self, request_id: UUID, count: int, *steps: ValidationStatus) -> list[UUID]:
        """Queue validations and take each through some steps."""
        revision_id = await self.add_revision(request_id, await self.revisions.count() + 1)
        data = {"request_id": request_id, "ta_revision_id": revision_id}
        runs = await self.validations.bulk_create([data] * count)
        for step in steps:
            for made in runs:
                made.status = step
        await self.session.commit()
        return [made.id for made in runs]


def play(url: str, body: Callable[[Notebook], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with async_session_factory() as session:
            await body(Notebook(session))

    run(url, opened)


async def stored(kind: Callable[[AsyncSession], Any], key: UUID) -> Any:
    """Return a record as another session sees it: what has been committed."""
    async with async_session_factory() as session:
        return await kind(session).get(key)


def figures_in(comment: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r'"(\w+)": (\d+)', comment)}


@pytest.mark.skipif(SEED is None, reason="the source document is not at hand")
def test_the_checked_in_blocks_are_those_of_the_document():
    assert SEED is not None
    assert read_copies() == read_blocks(SEED)


# ------------------------------------------------------------------ patterns


def test_default_roles_are_there_after_the_block_also_when_it_runs_again(url: str):
    async def body(notebook: Notebook) -> None:
        for _ in range(2):
            await notebook.run("4_initialize_default_roles")
        roles = await RoleRepository(notebook.session).list()
        assert {role.name for role in roles} == set(UserRoleEnum)

    play(url, body)


def test_a_user_is_created(url: str):
    async def body(notebook: Notebook) -> None:
        user = (await notebook.run("creating_a_user"))["user"]
        found = await stored(UserRepository, user.id)
        assert (found.username, found.email) == ("john_doe", "john@example.com")
        assert (found.full_name, found.is_active, found.auth_provider) == (
            "John Doe",
            True,
            "local",
        )

    play(url, body)


def test_a_role_is_assigned(url: str):
    async def body(notebook: Notebook) -> None:
        user_id, admin_id = await add_user("john"), await add_user("root")
        await notebook.run("assigning_roles", user_id=user_id, admin_id=admin_id)
        async with async_session_factory() as session:
            assert await RoleRepository(session).roles_of(user_id) == {UserRoleEnum.REQUESTOR}

    play(url, body)


def test_a_request_is_created_as_new(url: str):
    async def body(notebook: Notebook) -> None:
        request = (await notebook.run("creating_a_request", user_id=await add_user()))["request"]
        found = await stored(RequestRepository, request.id)
        assert (found.status, found.source_system) == (RequestStatus.NEW, "Apache")
        assert found.cim_required is True

    play(url, body)


def test_a_request_is_approved_or_rejected_and_not_both(url: str):
    approving, _, rejecting = BLOCKS["approving_a_request"].partition("# Or reject\n")

    async def body(notebook: Notebook) -> None:
        approver_id = await add_user()
        one, two, three = [
            await add_request(approver_id, RequestStatus.PENDING_APPROVAL) for _ in range(3)
        ]
        names = await notebook.run_code(approving, request_id=one, approver_id=approver_id)
        assert names["approved"].status is RequestStatus.APPROVED
        await notebook.run_code(rejecting, request_id=two)
        approved, rejected = (
            await stored(RequestRepository, one),
            await stored(RequestRepository, two),
        )
        assert (approved.status, approved.decided_by) == (RequestStatus.APPROVED, approver_id)
        assert rejected.status is RequestStatus.REJECTED
        assert rejected.reason == "Insufficient log samples provided"
        with pytest.raises(StatusFlowError, match="GENERATING_TA follows, not REJECTED"):
            await notebook.run("approving_a_request", request_id=three)

    play(url, body)


def test_revisions_are_numbered(url: str):
    async def body(notebook: Notebook) -> None:
        request_id = await add_request(await add_user())
        for version in (1, 2):
            names = await notebook.run("creating_a_ta_revision", request_id=request_id)
            found = await stored(TARevisionRepository, names["revision"].id)
            assert (names["version"], found.version) == (version, version)
            assert found.storage_key == f"tas/request-{request_id}-v{version}.tgz"
            assert found.generated_by is TARevisionType.AUTO
            assert found.config_summary["cim_fields"] == ["src", "dest", "user"]

    play(url, body)


def test_a_validation_is_queued_runs_and_passes(url: str):
    async def body(notebook: Notebook) -> None:
        request_id = await add_request(await add_user())
        revision_id = await notebook.add_revision(request_id)
        await notebook.session.commit()
        ids = {"request_id": request_id, "revision_id": revision_id}
        names = await notebook.run("running_validation", **ids)
        found = await stored(ValidationRunRepository, names["validation"].id)
        assert (found.status, found.job_id) == (ValidationStatus.PASSED, "k8s-job-abc123")
        assert found.results == {"fields_extracted": 15, "errors": 0, "events_indexed": 1000}
        assert found.debug_bundle_key == "debug/request-123-v1.zip"
        assert found.started_at <= found.finished_at

    play(url, body)


def test_an_audit_log_is_created(url: str):
    async def body(notebook: Notebook) -> None:
        user_id = await add_user()
        await notebook.run("creating_audit_logs", user_id=user_id, request_id=uuid4())
        (entry,) = await notebook.audit.get_by_user(user_id)
        assert entry.action is AuditAction.APPROVE
        assert entry.details == {"previous_status": "PENDING_APPROVAL", "new_status": "APPROVED"}
        assert (entry.ip_address, entry.user_agent) == ("192.168.1.100", "Mozilla/5.0...")

    play(url, body)


def test_links_are_loaded_where_asked_for(url: str, capsys: pytest.CaptureFixture[str]):
    async def body(notebook: Notebook) -> None:
        request_id = await add_request(await add_user())
        place = {"storage_key": "key", "storage_bucket": "logs"}
        for number in (1, 2):
            sample = {"filename": f"{number}.log", "file_size": 512 * number, **place}
            await notebook.samples.create({"request_id": request_id, **sample})
        await notebook.add_runs(request_id, 1)
        request = (await notebook.run("querying_with_relationships", request_id=request_id))[
            "request"
        ]
        counts = [len(getattr(request, name)) for name in (
            "log_samples", "ta_revisions", "validation_runs"
        )]  # fmt: skip
        assert counts == [2, 1, 1]

    play(url, body)

    assert capsys.readouterr().out == (
        "Sample: 1.log, 512 bytes\nSample: 2.log, 1024 bytes\nVersion 1: AUTO\n"
    )


def test_searches_find_what_they_say(url: str):
    async def body(notebook: Notebook) -> None:
        for name in ("john", "johnny", "ada"):
            user_id = await add_user(name)
        completed = await add_request(user_id, RequestStatus.COMPLETED)
        waiting = await add_request(user_id, RequestStatus.PENDING_APPROVAL)
        (failed,) = await notebook.add_runs(
            completed, 1, ValidationStatus.RUNNING, ValidationStatus.FAILED
        )
        await notebook.add_runs(completed, 1, ValidationStatus.RUNNING, ValidationStatus.PASSED)
        found = await notebook.run("search_and_filtering", request_id=completed)
        assert {user.username for user in found["users"]} == {"john", "johnny"}
        assert [request.id for request in found["requests"]] == [completed]
        assert [request.id for request in found["pending"]] == [waiting]
        assert [validation.id for validation in found["failed"]] == [failed]

    play(url, body)


def test_statistics_are_the_dicts_of_the_comments(url: str):
    requests, validations, documents = [
        figures_in(line)
        for line in BLOCKS["statistics_and_monitoring"].splitlines()
        if line.startswith("# {")
    ]
    passed = (ValidationStatus.RUNNING, ValidationStatus.PASSED)
    failed = (ValidationStatus.RUNNING, ValidationStatus.FAILED)
    steps = {"QUEUED": (), "RUNNING": passed[:1], "PASSED": passed, "FAILED": failed}

    async def body(notebook: Notebook) -> None:
        user_id = await add_user()
        for status, count in requests.items():
            for _ in range(count):
                request_id = await add_request(user_id, RequestStatus(status))
        for status, count in validations.items():
            await notebook.add_runs(request_id, count, *steps[status])
        place = {"storage_key": "key", "storage_bucket": "docs"}
        for kind, count in documents.items():
            data = {"title": "Guide", "document_type": kind, **place}
            made = await notebook.documents.bulk_create([data] * count)
        await notebook.documents.mark_as_indexed(made[0].id, "index", 10)
        names = await notebook.run("statistics_and_monitoring")
        assert names["stats"] == dict.fromkeys(RequestStatus, 0) | requests
        assert repr(names["val_stats"]) == repr(validations)
        assert names["doc_stats"] == {
            "by_type": documents,
            "indexing_status": {"indexed": 1, "unindexed": 14},
        }
        assert names["running"] == 2

    play(url, body)


# ------------------------------------------------------- transactions, pages


def with_values(name: str) -> str:
    """Return a block with the values that it leaves out: `{...}`."""
    code = BLOCKS[name].replace("create_log({...})", "create_log(**new_entry)")
    for repository in ("user", "request"):
        code = code.replace(
            f"{repository}_repo.create({{...}})", f"{repository}_repo.create(new_{repository})"
        )
    # The repositories are those of the block's session.
    return code.replace(
        "    try:\n", "    user_repo, request_repo, audit_repo = on(session)\n    try:\n"
    )


@pytest.mark.parametrize("fails", [False, True])
def test_a_transaction_is_kept_whole_or_not_at_all(fails: bool, url: str):
    def on(session: AsyncSession) -> tuple[Any, ...]:
        return UserRepository(session), RequestRepository(session), AuditLogRepository(session)

    async def body(notebook: Notebook) -> None:
        admin_id = await add_user("root")
        action = "no action" if fails else AuditAction.CREATE
        names = {
            "on": on,
            "async_session_factory": async_session_factory,
            "new_user": {"username": "john", "email": "john@example.com"},
            "new_request": {"created_by": admin_id, "source_system": "Apache"},
            "new_entry": {"user_id": admin_id, "action": action, "entity_type": "user"},
        }
        code = with_values("transaction_management")
        if fails:
            with pytest.raises(Exception, match="action"):
                await notebook.run_code(code, **names)
        else:
            await notebook.run_code(code, **names)
        for repository in (notebook.requests, notebook.audit):
            assert await repository.count() == (0 if fails else 1)
        assert await notebook.users.count() == (1 if fails else 2)

    play(url, body)


def test_a_page_holds_the_first_twenty(url: str):
    async def body(notebook: Notebook) -> None:
        data = {"created_by": await add_user(), "source_system": "Apache"}
        made = await notebook.requests.bulk_create([data] * 23)
        page = (await notebook.run("pagination"))["requests"]
        assert [request.id for request in page] == sorted(request.id for request in made)[:20]

    play(url, body)


def test_a_user_twice_is_an_answer_of_400(url: str):
    async def body(notebook: Notebook) -> None:
        await notebook.run("error_handling")
        with pytest.raises(HTTPException) as caught:
            await notebook.run("error_handling")
        assert caught.value.status_code == 400
        assert caught.value.detail == "User with this username or email already exists"
        assert await notebook.users.count() == 1

    play(url, body)


# ------------------------------------------------------------ useful queries


def test_the_audit_log_answers_its_four_questions(url: str):
    async def body(notebook: Notebook) -> None:
        user_id, other_id, request_id, flow_id = (
            await add_user(),
            await add_user("x"),
            uuid4(),
            uuid4(),
        )
        for who, what, entity, flow in [
            (user_id, AuditAction.CREATE, request_id, flow_id),
            (other_id, AuditAction.APPROVE, request_id, uuid4()),
            (user_id, AuditAction.UPDATE, uuid4(), flow_id),
        ]:
            await notebook.audit.create_log(
                user_id=who,
                action=what,
                entity_type="request",
                entity_id=entity,
                correlation_id=str(flow),
            )
        await notebook.session.commit()
        names = {"user_id": user_id, "request_id": request_id, "correlation_uuid": flow_id}
        for block in (
            "get_recent_activity",
            "get_user_activity",
            "get_entity_audit_trail",
            "get_correlated_actions",
        ):
            names = await notebook.run(block, **names)
        answers = [names[name] for name in ("recent", "user_activity", "trail", "flow")]
        assert [[str(entry.action) for entry in answer] for answer in answers] == [
            ["UPDATE", "APPROVE", "CREATE"],
            ["UPDATE", "CREATE"],
            ["CREATE", "APPROVE"],
            ["CREATE", "UPDATE"],
        ]

    play(url, body)


def test_unindexed_documents_are_indexed(url: str):
    async def body(notebook: Notebook) -> None:
        place = {"document_type": "pdf", "storage_key": "key", "storage_bucket": "docs"}
        for title, is_active in [("one", True), ("two", True), ("old", False)]:
            await notebook.documents.create({"title": title, "is_active": is_active, **place})
        await notebook.run("get_active_documents_for_indexing")
        await notebook.session.commit()
        assert await notebook.documents.get_unindexed_documents() == []
        found = await notebook.documents.list({"index_name": "splunk_docs_index"})
        assert sorted(document.title for document in found) == ["one", "two"]
        assert {document.embedding_count for document in found} == {150}

    play(url, body)


# ------------------------------------------------------------ words and flows


def test_the_enums_have_the_members_that_the_comments_list():
    lines = re.findall(r"^ +(\w+), +# (.*)$", BLOCKS["enums_quick_reference"], re.MULTILINE)

    assert len(lines) == 5
    for name, members in lines:
        assert list(getattr(enums, name).__members__) == members.split(", ")
    exec(runnable(BLOCKS["enums_quick_reference"]), {})


@pytest.mark.parametrize(
    ("block", "kind"),
    [("request_status_flow", RequestStatus), ("validation_status_flow", ValidationStatus)],
)
def test_the_drawn_flows_are_those_that_are_enforced(block: str, kind: type[enums.Status]):
    line, _, branch = BLOCKS[block].splitlines()
    drawn = [kind(name) for name in line.split(" → ")]
    fork = max(
        status
        for status in range(len(drawn))
        if line.index(drawn[status]) < branch.index(branch.strip())
    )

    for before, after in pairwise(drawn):
        kind.check(before, after)
    kind.check(drawn[fork], kind(branch.strip()))
