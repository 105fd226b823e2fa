"""The blocks of the source document 000 run as written, and what they claim holds."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import inspect
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from documents import Document, Snippets
from sqlalchemy import and_, event, select

from dataflow import middleware
from dataflow.errors import TenantRequiredError
from dataflow.middleware import database
from dataflow.middleware.database import BaseRepository, BaseWorkflowModel, DatabaseManager, enums

DOCUMENT = Document("000_middleware_database.md", "names-middleware.md")
BLOCKS = DOCUMENT.blocks
NOT_RUN = {
    "before_manual_implementation": "the code that is replaced, cut short by its author",
}
URL = re.compile(r'"postgresql\+asyncpg://localhost/myapp"')
WRONG, CORRECT = "# ❌ Wrong", "# ✅ Correct"


class Case:
    """A namespace for blocks, and a database that has been set up by the quick start."""

    def __init__(self, url: str) -> None:
        self.url = url.replace("postgresql://", "postgresql+asyncpg://")
        self.code = Snippets(DOCUMENT, select=select)
        self.names = self.code.names
        self._managers: list[DatabaseManager] = []

    @property
    def manager(self) -> DatabaseManager:
        return self.names["db_manager"]

    async def run(self, block: str) -> None:
        await self.run_code(BLOCKS[block], block)

    async def run_code(self, code: str, place: str) -> None:
        """Run code with the database's address mapped."""
        await self.code.run_code(URL.sub(repr(self.url), code), place)
        found = self.names.get("db_manager")
        if found is not None and found not in self._managers:
            self._managers.append(found)

    async def correct(self, block: str, body: str = "") -> None:
        """Run the part of a block that the document calls correct.

        Args:
            body: Stands where the document has a comment alone.
        """
        _, _, part = BLOCKS[block].partition(CORRECT)
        await self.run_code(f"#{part}{body}", block)

    async def workflows(self, tenant: str = "tenant123", **options: Any) -> list[Any]:
        async with self.manager.get_session(tenant, **options) as session:
            return list(await session.scalars(select(self.names["MyWorkflow"])))

    async def add(self, *names: str, tenant: str = "acme_corp") -> None:
        made = [self.names["MyWorkflow"](name=name, tenant_id=tenant) for name in names]
        assert await self.manager.bulk_insert(made) == len(names)

    async def close(self) -> None:
        for manager in self._managers:
            await manager.close()
        self.code.forget()


Test = Callable[[Case], Awaitable[None]]


@pytest.fixture
def run(url: str) -> Callable[[Test], None]:
    """Run a coroutine after the quick start."""

    async def whole(test: Test) -> None:
        case = Case(url)
        try:
            await case.run("quick_start")
            await test(case)
        finally:
            await case.close()

    return lambda test: asyncio.run(whole(test))


@pytest.mark.skipif(DOCUMENT.original is None, reason="the source document is not at hand")
def test_the_checked_in_copy_is_the_document():
    assert DOCUMENT.copy.read_text(encoding="utf-8") == DOCUMENT.text


def test_every_block_runs_or_has_a_reason_why_not():
    source = Path(__file__).read_text(encoding="utf-8")

    assert [name for name in BLOCKS if f'"{name}"' not in source] == []
    assert set(NOT_RUN) <= set(BLOCKS)


def test_the_quick_start_stores_a_workflow_of_a_tenant(run):
    async def test(case: Case) -> None:
        (stored,) = await case.workflows()
        assert (stored.name, stored.tenant_id, stored.version) == ("My Flow", "tenant123", 1)
        assert await case.workflows("tenant124") == []

    run(test)


# ----------------------------------------------------------------- base models


@pytest.mark.parametrize(
    "heading",
    ["1. BaseWorkflowModel", "2. BaseExecutionModel", "3. BaseTemplateModel"],
)
def test_a_base_model_has_the_fields_that_its_section_names(heading: str):
    model = getattr(database, heading.split(". ")[1])
    bullets = re.findall(r"^- .*", DOCUMENT.section(f"### {heading}"), re.MULTILINE)
    named = re.findall(r"`(\w+)[^`]*`", "\n".join(bullets))

    assert named
    known = set(dir(model)).union(
        *(vars(base).get("__annotations__", ()) for base in model.__mro__)
    )
    assert set(named) <= known


def test_the_section_of_security_models_names_models_that_exist():
    named = re.findall(r"`(\w+)`", DOCUMENT.section("### 4. Security Models"))

    assert [name for name in named if not hasattr(database, name)] == []
    assert len(named) == 3


@pytest.mark.parametrize("block", ["1_baseworkflowmodel", "after_using_middleware"])
def test_a_subclass_with_a_table_name_alone_is_a_model(run, block: str):
    async def test(case: Case) -> None:
        await case.run(block)
        model = case.names["StudioWorkflow"]
        await case.manager.create_tables()

        async with case.manager.get_session("acme") as session:
            session.add(model(name="Studio"))
            await session.commit()
            assert (await session.scalars(select(model))).one().tenant_id == "acme"
        assert model.__tablename__ == "studio_workflows"
        assert "StudioWorkflow" in case.manager.db.list_models()

    run(test)


def test_an_execution_starts_completes_and_fails(run):
    async def test(case: Case) -> None:
        await case.run("2_baseexecutionmodel")
        await case.manager.create_tables()
        model = case.names["MyExecution"]
        listed = re.findall(r"# - (\w+)\((\w+)\)", BLOCKS["2_baseexecutionmodel"])
        assert [name for name, _ in listed] == ["start", "complete", "fail"]
        for name, parameter in listed:
            assert parameter in inspect.signature(getattr(model, name)).parameters

        async with case.manager.get_session("acme") as session:
            good, bad = model(), model()
            session.add_all([good, bad])
            await session.flush()
            good.start("ada")
            good.complete({"rows": 3})
            bad.start("ada")
            bad.fail("no answer")
            await session.commit()
        async with case.manager.get_session("acme") as session:
            found = {run.status.name: run for run in await session.scalars(select(model))}
        assert found["COMPLETED"].outputs == {"rows": 3}
        assert found["COMPLETED"].progress_percentage == 100
        assert found["COMPLETED"].runtime_seconds >= 0
        assert found["FAILED"].error_message == "no answer"

    run(test)


# -------------------------------------------------------- manager, repositories


def test_a_managers_session_filters_every_query_by_its_tenant(run):
    async def test(case: Case) -> None:
        await case.add("a", "b")
        await case.run("database_manager")

        found = case.names["workflows"].scalars().all()
        assert {workflow.name for workflow in found} == {"a", "b"}
        config = case.manager.db.config
        assert (config.pool_size, config.max_overflow) == (20, 40)

    run(test)


def test_a_repository_creates_finds_and_hides_a_tenants_workflow(run):
    async def test(case: Case) -> None:
        await case.run("repository_pattern")

        workflow, found = case.names["workflow"], case.names["workflows"]
        assert workflow in found
        assert (workflow.name, workflow.deleted_by) == ("New Workflow", "user123")
        assert workflow.deleted_at is not None
        # Nobody has committed.
        assert [found.name for found in await case.workflows(include_deleted=True)] == ["My Flow"]

    run(test)


def test_a_hidden_workflow_is_not_found_any_more(run):
    async def test(case: Case) -> None:
        repository = BaseRepository(case.names["MyWorkflow"])
        async with case.manager.get_session("tenant123") as session:
            (workflow,) = await repository.find_by_tenant(session, "tenant123")
            await repository.soft_delete(session, workflow, "user123")
            await session.commit()
            assert await repository.find_by_tenant(session, "tenant123") == []
        assert await case.workflows() == []
        assert len(await case.workflows(include_deleted=True)) == 1

    run(test)


def test_the_common_enums_have_the_members_that_the_block_names(run):
    async def test(case: Case) -> None:
        (stored,) = await case.workflows()
        case.names["workflow"] = stored
        await case.run("common_enums")
        assert stored.status is enums.WorkflowStatus.ACTIVE

    run(test)
    listed = re.findall(r"(\w+),?\s+# (.*)", BLOCKS["common_enums"])[:5]
    for name, words in listed:
        kind: type[enum.Enum] = getattr(enums, name)
        wanted = set(re.findall(r"[A-Z0-9_]{3,}", words))
        assert wanted
        assert wanted <= set(kind.__members__)


# ---------------------------------------------------------------- best practices


def test_extending_a_base_model_is_all_that_a_model_needs(run):
    async def test(case: Case) -> None:
        case.names["BaseWorkflowModel"] = BaseWorkflowModel
        await case.correct("1_always_extend_base_models", "    ...\n")  # a body of comments
        assert case.names["MyModel"].__tablename__ == "my_models"

    run(test)


def test_a_repositorys_get_finds_what_the_query_by_hand_finds(run):
    async def test(case: Case) -> None:
        (stored,) = await case.workflows()
        case.names |= {
            "Workflow": case.names["MyWorkflow"],
            "and_": and_,
            "id": stored.id,
            "tenant": "tenant123",
            "workflow_repo": BaseRepository(case.names["MyWorkflow"]),
        }
        wrong, _, _ = BLOCKS["2_use_repository_pattern"].partition(CORRECT)
        async with case.manager.get_session("tenant123") as session:
            case.names["session"] = session
            await case.run_code(wrong, "2_use_repository_pattern")
            by_hand = case.names["workflow"].scalar_one()
            await case.correct("2_use_repository_pattern")

        assert case.names["workflow"] is by_hand

    run(test)


def test_a_tenants_session_needs_no_filter(run):
    async def test(case: Case) -> None:
        await case.add("a")
        case.names |= {"tenant_id": "acme_corp", "Model": case.names["MyWorkflow"]}
        wrong, _, _ = BLOCKS["3_let_middleware_handle_security"].partition(CORRECT)
        await case.run_code(wrong, "3_let_middleware_handle_security")
        body = "    same = [await session.scalars(found) for found in (query, select(Model))]\n"
        await case.correct("3_let_middleware_handle_security", body)

        first, second = (list(found) for found in case.names["same"])
        assert first == second
        assert [workflow.name for workflow in first] == ["a"]

    run(test)


def test_a_session_without_a_tenant_sees_nothing(run):
    async def test(case: Case) -> None:
        async with case.manager.get_session() as session:
            with pytest.raises(TenantRequiredError):
                await session.execute(select(case.names["MyWorkflow"]))

    run(test)


# --------------------------------------------------------------- advanced features


def test_the_time_of_the_last_change_is_kept_with_or_without_the_listener(run):
    async def test(case: Case) -> None:
        case.names |= {"event": event, "datetime": dt.datetime, "timezone": dt.timezone}
        await case.run("1_event_listeners")
        try:
            async with case.manager.get_session("tenant123") as session:
                (workflow,) = await session.scalars(select(case.names["MyWorkflow"]))
                before = workflow.updated_at
                workflow.name = "Renamed"
                await session.commit()
            (stored,) = await case.workflows()
            assert stored.updated_at > before
            assert stored.version == 2
        finally:
            event.remove(BaseWorkflowModel, "before_update", case.names["before_update"])

    run(test)


def test_common_patterns_are_indexed(run):
    patterns = re.findall(r"^- (.*?)\s*$", BLOCKS["2_performance_optimization"], re.MULTILINE)
    assert patterns == ["tenant_id + status", "created_at", "session_id"]

    async def test(case: Case) -> None:
        async with (await case.manager.get_engine()).connect() as connection:
            indexes = await connection.run_sync(
                lambda sync: sa.inspect(sync).get_indexes("my_workflows")
            )
        found = {tuple(index["column_names"]) for index in indexes}
        assert {("tenant_id", "status"), ("tenant_id", "created_at"), ("session_id",)} <= found

    run(test)


def test_soft_deleted_records_are_kept_and_removed_after_their_time(run):
    deleting, rest = BLOCKS["3_compliance_features"].split("# Audit trails")
    cleanup = re.search(r"^cleanup_old_data\(days=2555\)", rest, re.MULTILINE)
    assert cleanup is not None

    async def test(case: Case) -> None:
        async with case.manager.get_session("tenant123") as session:
            (workflow,) = await session.scalars(select(case.names["MyWorkflow"]))
            case.names["workflow"] = workflow
            await case.run_code(deleting, "3_compliance_features")
            await session.commit()
        (kept,) = await case.workflows(include_deleted=True)
        assert kept.deleted_by == "user123"

        await case.run_code(f"removed = await db_manager.{cleanup[0]}", "3_compliance_features")
        assert case.names["removed"]["MyWorkflow"] == 0
        assert (await case.manager.cleanup_old_data(days=0))["MyWorkflow"] == 1
        assert await case.workflows(include_deleted=True) == []

    run(test)


def test_every_operation_is_logged_where_the_audit_log_is_on(run):
    assert "Every operation logged automatically" in BLOCKS["3_compliance_features"]

    async def test(case: Case) -> None:
        case.manager.db.enable_audit_log()
        async with case.manager.get_session("tenant123") as session:
            (workflow,) = await session.scalars(select(case.names["MyWorkflow"]))
            workflow.name = "Renamed"
            await session.commit()
        with case.manager.db.tenant("tenant123"):
            entries = await case.manager.db.aio.audit.get_by_entity("MyWorkflow", workflow.id)
        assert [entry.action for entry in entries] == ["update"]

    run(test)


def test_what_the_roadmap_announces_is_there(run):
    calls = re.findall(
        r"`(db_manager\.\w+\([^`]*\))`", DOCUMENT.section("## SDK Enhancement Roadmap")
    )
    assert len(calls) == 3

    async def test(case: Case) -> None:
        model = case.names["MyWorkflow"]
        case.names |= {"tenant_id": "acme_corp"}
        case.names["models"] = [model(name=name, tenant_id="acme_corp") for name in "ab"]
        stats, insert, export = calls

        await case.run_code(f"inserted = await {insert}", "roadmap")
        await case.run_code(f"stats = await {stats}", "roadmap")
        with case.manager.db.tenant("acme_corp"):
            await case.run_code(f"exported = [row async for row in {export}]", "roadmap")

        assert case.names["inserted"] == 2
        assert case.names["stats"]["models"]["MyWorkflow"]["total"] == 2
        assert {row["record"]["name"] for row in case.names["exported"]} == {"a", "b"}

    run(test)


def test_the_package_is_a_signpost():
    assert middleware.__file__ is not None
    assert database.DatabaseManager is DatabaseManager
