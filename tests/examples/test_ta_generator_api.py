"""The routes of the application `ta_generator`, over ASGI."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from httpx import ASGITransport, AsyncClient
from ta_case import add_user
from ta_generator.api import MAX_PARALLEL_VALIDATIONS, create_app
from ta_generator.database import connect, create_tables, dispose_engine
from ta_generator.enums import UserRoleEnum

Body = Callable[[AsyncClient], Awaitable[None]]


def serve(url: str, body: Body) -> None:
    """Run a coroutine with a client of the application, which starts and stops around it."""

    async def main() -> None:
        connect(url)
        await create_tables()
        app = create_app()
        client = AsyncClient(transport=ASGITransport(app), base_url="http://test")
        async with app.router.lifespan_context(app), client:
            await body(client)

    asyncio.run(main())


async def post(
    client: AsyncClient, path: str, expected: int, json: Any = None, **query: Any
) -> Any:
    answer = await client.post(path, json=json, params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


async def get(client: AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def new_request(client: AsyncClient, *, submitted: bool = True) -> str:
    user = await post(
        client, "/users", 201, {"username": f"u{uuid4()}", "email": f"{uuid4()}@example.com"}
    )
    data = {"created_by": user["id"], "source_system": "Apache", "description": "access logs"}
    request = await post(client, "/requests", 201, data)
    assert request["status"] == "NEW"
    if submitted:
        await post(client, f"/requests/{request['id']}/submit", 200)
    return str(request["id"])


def test_a_request_goes_all_the_way(url: str):
    async def body(client: AsyncClient) -> None:
        approver = await add_user("ada", UserRoleEnum.APPROVER)
        request_id = await new_request(client, submitted=False)
        at = f"/requests/{request_id}"
        sample = {"filename": "access.log", "storage_key": "samples/1", "file_size": 10}
        await post(client, f"{at}/samples", 201, sample)
        await post(client, f"{at}/submit", 200)
        assert [r["id"] for r in await get(client, "/requests/pending")] == [request_id]
        approved = await post(client, f"{at}/approve", 200, approver_id=str(approver))
        assert (approved["status"], approved["decided_by"]) == ("APPROVED", str(approver))
        revision = await post(client, f"{at}/revisions", 201, {"config_summary": {"a": [1]}})
        assert (revision["version"], revision["config_summary"]) == (1, {"a": [1]})
        (run,) = (await get(client, at))["validation_runs"]
        started = await post(client, f"/validations/{run['id']}/start", 200, job_id="k8s-1")
        assert (started["status"], started["job_id"]) == ("RUNNING", "k8s-1")
        for status in ("RUNNING", "QUEUED"):  # would be past the limit of those that run
            await post(client, f"/validations/{run['id']}/complete", 422, {"status": status})
        outcome = {"status": "PASSED", "results": {"errors": 0}}
        await post(client, f"/validations/{run['id']}/complete", 200, outcome)

        full = await get(client, at)
        assert full["status"] == "COMPLETED"
        assert [s["filename"] for s in full["log_samples"]] == ["access.log"]
        assert [r["version"] for r in full["ta_revisions"]] == [1]
        assert [(v["status"], v["results"]) for v in full["validation_runs"]] == [
            ("PASSED", {"errors": 0})
        ]
        trail = await get(client, f"/audit/request/{request_id}")
        assert [(e["action"], e["details"]["status"]) for e in trail] == [
            ("CREATE", "NEW"),
            ("UPDATE", "PENDING_APPROVAL"),
            ("APPROVE", "APPROVED"),
            ("UPDATE", "COMPLETED"),
        ]
        assert {e["ip_address"] for e in trail} == {"127.0.0.1"}
        assert len({e["correlation_id"] for e in trail}) == 4
        figures = await get(client, "/statistics")
        assert {name: n for name, n in figures["requests"].items() if n} == {"COMPLETED": 1}
        assert figures["validations"] == {"QUEUED": 0, "RUNNING": 0, "PASSED": 1, "FAILED": 0}
        found = await get(client, "/requests", text="ACCESS", status="COMPLETED")
        assert [r["id"] for r in found] == [request_id]
        assert len(await get(client, "/audit/recent", limit=3)) == 3

    serve(url, body)


def test_a_failed_validation_is_followed_by_another_revision(url: str):
    async def body(client: AsyncClient) -> None:
        approver = await add_user("ada", UserRoleEnum.APPROVER)
        at = f"/requests/{await new_request(client)}"
        await post(client, f"{at}/approve", 200, approver_id=str(approver))
        await post(client, f"{at}/revisions", 201, {})
        for outcome, version in (("FAILED", 2), ("PASSED", None)):
            *_, run = (await get(client, at))["validation_runs"]
            await post(client, f"/validations/{run['id']}/start", 200, job_id="job")
            await post(client, f"/validations/{run['id']}/complete", 200, {"status": outcome})
            if version:
                manual = {"generated_by": "MANUAL"}
                assert (await post(client, f"{at}/revisions", 201, manual))["version"] == version
        full = await get(client, at)
        assert [r["generated_by"] for r in full["ta_revisions"]] == ["AUTO", "MANUAL"]
        assert full["status"] == "COMPLETED"
        refused = await post(client, f"{at}/revisions", 409, {})
        assert refused["detail"] == "RequestStatus COMPLETED: nothing follows, not GENERATING_TA"

    serve(url, body)


def test_of_approvals_at_once_one_is_answered_and_audited(url: str):
    async def body(client: AsyncClient) -> None:
        approver = await add_user("ada", UserRoleEnum.APPROVER)
        request_id = await new_request(client)
        path, query = f"/requests/{request_id}/approve", {"approver_id": str(approver)}
        answers = await asyncio.gather(*(client.post(path, params=query) for _ in range(8)))
        assert Counter(a.status_code for a in answers) == {200: 1, 409: 7}
        trail = await get(client, f"/audit/request/{request_id}")
        assert [e["action"] for e in trail].count("APPROVE") == 1

    serve(url, body)


def test_only_who_may_decides(url: str):
    async def body(client: AsyncClient) -> None:
        admin = await add_user("root", UserRoleEnum.ADMIN)
        nobody = await add_user("nobody")
        request_id = await new_request(client)
        path = f"/requests/{request_id}/reject"
        refused = await post(client, path, 403, approver_id=str(nobody), reason="why not")
        assert refused == {"detail": "only APPROVER or ADMIN may do this"}
        given = await client.put(f"/users/{nobody}/roles/APPROVER", params={"admin_id": str(admin)})
        assert given.json() == ["APPROVER"]
        again = await client.put(f"/users/{nobody}/roles/APPROVER", params={"admin_id": str(admin)})
        assert again.status_code == 409
        rejected = await post(client, path, 200, approver_id=str(nobody), reason="no samples")
        assert (rejected["status"], rejected["reason"]) == ("REJECTED", "no samples")

    serve(url, body)


def test_only_so_many_validations_run_at_once(url: str):
    async def body(client: AsyncClient) -> None:
        approver = await add_user("ada", UserRoleEnum.APPROVER)
        runs = []
        for _ in range(MAX_PARALLEL_VALIDATIONS + 1):
            at = f"/requests/{await new_request(client)}"
            await post(client, f"{at}/approve", 200, approver_id=str(approver))
            await post(client, f"{at}/revisions", 201, {})
            runs.append((await get(client, at))["validation_runs"][0]["id"])
        starts = [client.post(f"/validations/{run}/start?job_id=job") for run in runs]
        answers = await asyncio.gather(*starts)
        codes = Counter(answer.status_code for answer in answers)
        assert codes == {200: MAX_PARALLEL_VALIDATIONS, 429: 1}

    serve(url, body)


def test_validations_that_pass_after_the_first_give_their_places_back(url: str):
    async def body(client: AsyncClient) -> None:
        approver = await add_user("ada", UserRoleEnum.APPROVER)
        at = f"/requests/{await new_request(client)}"
        await post(client, f"{at}/approve", 200, approver_id=str(approver))
        for number in range(2):
            await post(client, f"{at}/revisions", 201, {})
            *_, run = (await get(client, at))["validation_runs"]
            await post(client, f"/validations/{run['id']}/start", 200, job_id=str(number))
        for run in (await get(client, at))["validation_runs"]:
            await post(client, f"/validations/{run['id']}/complete", 200, {"status": "PASSED"})
        assert (await get(client, "/statistics"))["validations"]["RUNNING"] == 0
        assert (await get(client, at))["status"] == "COMPLETED"

    serve(url, body)


def test_the_application_starts_with_the_database_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    async def main() -> None:
        await dispose_engine()
        app = create_app()
        client = AsyncClient(transport=ASGITransport(app), base_url="http://test")
        async with app.router.lifespan_context(app), client:
            assert (await client.get("/statistics")).status_code == 200

    monkeypatch.setenv("DATABASE_URL", url)
    asyncio.run(main())


def test_documents_are_kept_by_managers_of_knowledge(url: str):
    async def body(client: AsyncClient) -> None:
        manager = await add_user("kim", UserRoleEnum.KNOWLEDGE_MANAGER)
        data = {"title": "Guide", "document_type": "pdf", "storage_key": "guide.pdf"}
        await post(client, "/documents", 201, data, manager_id=str(manager))
        assert (await get(client, "/statistics"))["documents"] == {
            "by_type": {"pdf": 1},
            "indexing_status": {"indexed": 0, "unindexed": 1},
        }

    serve(url, body)


@pytest.mark.parametrize(
    ("path", "json", "status"),
    [
        ("/users", {"username": "ada", "email": "other@example.com"}, 409),
        ("/users", {"username": "x" * 256, "email": "long@example.com"}, 422),
        ("/requests", {"created_by": str(UUID(int=7)), "source_system": "x"}, 409),
        ("/requests", {"source_system": "x"}, 422),
        (f"/requests/{UUID(int=7)}/submit", None, 404),
        (f"/requests/{UUID(int=7)}/revisions", {}, 404),
    ],
)
def test_what_does_not_fit_is_refused(path: str, json: Any, status: int, url: str):
    async def body(client: AsyncClient) -> None:
        await add_user("ada")
        refused = await post(client, path, status, json)
        assert "INSERT" not in str(refused)
        assert await get(client, "/users", text="ada") != []  # and the application goes on
        assert (await client.get(f"/requests/{UUID(int=7)}")).status_code == 404
        assert await get(client, "/health") == {"database": True}

    serve(url, body)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (path, {name: value})
        for path, names in {
            "/users": ("skip", "limit"),
            "/requests": ("skip", "limit"),
            "/requests/pending": ("skip", "limit"),
            "/audit/recent": ("hours", "limit"),
        }.items()
        for name in names
        for value in (-1, 10**9, 10**30)
    ]
    + [("/users", {"text": "a\0b"}), ("/requests", {"text": "x" * 201})],
)
def test_a_query_out_of_bounds_is_refused(path: str, query: dict[str, Any], tmp_path: Path):
    async def body(client: AsyncClient) -> None:
        refused = await client.get(path, params=query)

        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["query", *query]

    serve(f"sqlite:///{tmp_path}/ta.db", body)
