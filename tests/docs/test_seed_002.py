"""The blocks of the source document 002 run as written, and what they claim holds."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import re
import types
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest
import sqlalchemy as sa
from documents import Document, Snippets
from incident_response import models
from incident_response.enums import IncidentStatus
from incident_response.repositories import BaseRepository, EventRepository, IncidentRepository
from incident_response.session import close_db, connect, create_tables, get_engine, get_session
from pages import DOCS, code_of, tables_of
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from dataflow import DataFlow
from dataflow.errors import TenantRequiredError
from dataflow.middleware.database import BaseModel, CorrelationMixin, TenantMixin

DOCUMENT = Document("002_awfdrs_db_module.md", "names-incident-response.md")
BLOCKS = DOCUMENT.blocks
NOT_RUN = {
    "architecture": "a drawing",
    "unit_tests_mock_database": "its mock answers with a coroutine, and UUID(...) is no UUID; "
    "see test_the_mocked_session_fails_with_the_documents_own_repository_too",
}
NAMES = {
    "List": list,
    "Mapped": Mapped,
    "Optional": Optional,
    "String": sa.String,
    "UUID": uuid.UUID,
    "datetime": dt.datetime,
    "func": func,
    "mapped_column": mapped_column,
    "select": select,
    "timedelta": dt.timedelta,
}
MODELS = {name: getattr(models, name) for name in models.__all__}
FILES = {
    name: block for block in BLOCKS for name in MODELS if f"class {name}(Base" in BLOCKS[block]
}
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


class Case:
    """The application on a database, with a workflow of each of two tenants."""

    def __init__(self, url: str) -> None:
        self.db: DataFlow = connect(url)
        self.code = Snippets(DOCUMENT, **NAMES, **MODELS, BaseRepository=BaseRepository)
        self.names = self.code.names
        self.tenant = self.other = self.workflow = uuid.UUID(int=0)

    async def set_up(self) -> None:
        await create_tables()
        async with get_session() as session:
            tenants = [models.Tenant(name=name) for name in ("Acme", "Globex")]
            session.add_all(tenants)
            await session.commit()
            self.tenant, self.other = (tenant.id for tenant in tenants)
        async with get_session(self.tenant) as session:
            workflow = models.Workflow(name="checkout")
            session.add(workflow)
            await session.commit()
            self.workflow = workflow.id

    def event(self, key: str, **changes: Any) -> dict[str, Any]:
        return {
            "tenant_id": self.tenant,
            "workflow_id": self.workflow,
            "event_type": "payment.failed",
            "payload": {"error_code": "timeout"},
            "idempotency_key": key,
            "occurred_at": dt.datetime.now(dt.UTC),
            **changes,
        }

    async def add_events(self, *events: dict[str, Any]) -> list[models.Event]:
        async with get_session(self.tenant) as session:
            added = await EventRepository(session).bulk_create(events)
            await session.commit()
            return added

    async def add_incidents(self, *statuses: IncidentStatus) -> None:
        now = dt.datetime.now(dt.UTC)
        async with get_session(self.tenant) as session:
            for number, status in enumerate(statuses):
                at = now + dt.timedelta(seconds=number)
                await IncidentRepository(session).create(
                    signature=str(number), title=str(number), status=status,
                    first_seen_at=at, last_seen_at=at,
                )  # fmt: skip
            await session.commit()

    def with_method(self, base: type, name: str) -> Any:
        """Return a repository class with a method that a block wrote without one."""
        return types.new_class(
            base.__name__, (base,), exec_body=lambda body: body.update({name: self.names[name]})
        )


Test = Callable[[Case], Awaitable[None]]


@pytest.fixture
def run(url: str) -> Callable[[Test], None]:
    async def whole(test: Test) -> None:
        case = Case(url)
        try:
            await case.set_up()
            await test(case)
        finally:
            await close_db()
            case.code.forget()

    return lambda test: asyncio.run(whole(test))


@pytest.fixture
def snippets() -> Iterator[Snippets]:
    opened = Snippets(
        DOCUMENT,
        **NAMES,
        BaseModel=BaseModel,
        CorrelationMixin=CorrelationMixin,
        TenantMixin=TenantMixin,
    )
    yield opened
    opened.forget()


@pytest.mark.skipif(DOCUMENT.original is None, reason="the source document is not at hand")
def test_the_checked_in_copy_is_the_document():
    assert DOCUMENT.copy.read_text(encoding="utf-8") == DOCUMENT.text


def test_every_block_runs_or_has_a_reason_why_not():
    source = Path(__file__).read_text(encoding="utf-8")
    used = {name for name in BLOCKS if f'"{name}"' in source} | set(FILES.values())

    assert set(BLOCKS) - used == set()
    assert set(NOT_RUN) <= set(BLOCKS)


# ---------------------------------------------------------------------- models


def test_a_model_inherits_what_the_comment_of_base_py_lists(url: str, snippets: Snippets):
    asyncio.run(snippets.run("base_py"))
    event = snippets.names["Event"]
    inherited = re.search(r"# Inherits: (.*)", BLOCKS["base_py"])
    assert inherited is not None

    with DataFlow(url) as db:
        db.adopt(event)
        with db.tenant(uuid.uuid4()):
            stored = db.create("Event", event_type="payment.failed")

    assert set(stored) == {"event_type", *inherited[1].split(", ")}
    assert None not in stored.values()


def test_the_eight_models_as_written_become_tables_with_records(url: str, snippets: Snippets):
    asyncio.run(_declare(snippets))
    values = {
        "str": "text", "bool": True, "dict": {"a": 1}, "int": 1, "float": 0.5,
        "UUID": uuid.uuid4(), "datetime": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    }  # fmt: skip

    with DataFlow(url) as db:
        db.adopt(*(snippets.names[name] for name in MODELS))
        for name in MODELS:
            given = {field: values[kind] for field, kind in _fields(name).items()}
            with db.tenant("acme"):
                stored = db.create(name, given)
                assert db.read(name, stored["id"]) == stored
            assert {field: stored[field] for field in given} == given
            if snippets.names[name].__dataflow__.tenant is not None:
                with db.tenant("globex"):
                    assert db.count(name) == 0


async def _declare(snippets: Snippets) -> None:
    for name in MODELS:
        await snippets.run(FILES[name])


def _fields(model: str) -> dict[str, str]:
    """Return `{field: type}` as a block of the document writes them."""
    found = re.findall(r"(\w+): Mapped\[(?:Optional\[)?(\w+)", BLOCKS[FILES[model]])
    return dict(found)


def _spec(model: str) -> Any:
    """Return what the application's model is to a DataFlow."""
    with DataFlow("sqlite:///:memory:") as db:
        db.adopt(MODELS[model])
        return MODELS[model].__dataflow__


@pytest.mark.parametrize("name", MODELS)
def test_the_applications_model_has_the_fields_that_the_document_lists(name: str):
    spec = _spec(name)

    kinds = {field: spec.field(field).declared for field in _fields(name)}

    assert {field: _kind(kind) for field, kind in kinds.items()} == _fields(name)


def _kind(kind: type) -> str:
    return "str" if issubclass(kind, str) else kind.__name__


@pytest.mark.parametrize("name", ["Event", "Decision"])
def test_the_models_that_are_never_updated_are_append_only(name: str):
    assert re.search("NEVER UPDATED|Immutable", BLOCKS[FILES[name]])

    assert _spec(name).options.append_only


# ---------------------------------------------------------------- repositories


def test_the_base_repository_has_the_methods_that_the_document_outlines():
    outline = BLOCKS["repositories_directory"]
    methods = re.findall(r"async def (\w+)\(self, (\w+): ", outline)

    assert [name for name, _ in methods] == ["get_by_id", "create", "update", "delete"]
    for name, parameter in methods:
        method = getattr(BaseRepository, name)
        assert inspect.iscoroutinefunction(method)
        first = list(inspect.signature(method).parameters)[1]
        assert first in ("entity_id", parameter)
    assert next(iter(inspect.signature(BaseRepository).parameters)) == "session"


def test_own_queries_of_a_repository_find_what_their_names_say(run):
    async def test(case: Case) -> None:
        now = dt.datetime.now(dt.UTC)
        await case.add_events(
            case.event("new", occurred_at=now),
            case.event("newer", occurred_at=now + dt.timedelta(minutes=1)),
            case.event("old", occurred_at=now - dt.timedelta(hours=30)),
        )
        await case.code.run("repositories_directory_2")
        repository = case.names["EventRepository"]

        async with get_session(case.tenant) as session:
            found = await repository(session).get_by_idempotency_key("old", case.tenant)
            recent = await repository(session).get_recent_events(case.tenant, case.workflow)
            all_of_them = await repository(session).get_recent_events(
                case.tenant, case.workflow, hours=48
            )
        async with get_session(case.other) as session:
            foreign = [
                await repository(session).get_by_idempotency_key("old", case.tenant),
                await repository(session).get_recent_events(case.tenant, case.workflow),
            ]

        assert found.idempotency_key == "old"
        assert [event.idempotency_key for event in recent] == ["newer", "new"]
        assert len(all_of_them) == 3
        assert foreign == [None, []]

    run(test)


@pytest.mark.parametrize("own", [True, False], ids=["as written", "ours"])
def test_a_record_is_found_by_its_key_in_its_tenant_alone(run, own: bool):
    async def test(case: Case) -> None:
        (event,) = await case.add_events(case.event("a"))
        await case.code.run("2_tenant_isolation")
        made = case.with_method(BaseRepository[models.Event], "get_by_id") if own else None
        repository = made or EventRepository

        async with get_session(case.tenant) as session:
            assert (
                await repository(session, models.Event).get_by_id(event.id, case.tenant)
            ) is not None
        async with get_session(case.other) as session:
            assert await repository(session, models.Event).get_by_id(event.id, case.other) is None

    run(test)


def test_pages_filters_and_counts_as_written(run):
    async def test(case: Case) -> None:
        new, resolved = IncidentStatus.NEW, IncidentStatus.RESOLVED
        await case.add_incidents(new, new, resolved, new)
        await case.add_events(case.event("a"), case.event("b"))
        case.names |= {"IncidentStatus": IncidentStatus}
        for block in ("pagination", "filtering", "counting"):
            await case.code.run(block)

        async with get_session(case.tenant) as session:
            pages = case.with_method(IncidentRepository, "get_incidents_paginated")(session)
            sizes = [
                len(await pages.get_incidents_paginated(case.tenant, page, 3)) for page in (1, 2, 3)
            ]
            found = case.with_method(IncidentRepository, "get_incidents_by_status")(session)
            newest = await found.get_incidents_by_status(case.tenant, new)
            counted = case.with_method(EventRepository, "count_events")(session)
            count = await counted.count_events(case.tenant, case.workflow)

        assert sizes == [3, 1, 0]
        assert [incident.title for incident in newest] == ["3", "1", "0"]
        assert count == 2

    run(test)


# ------------------------------------------------------- sessions, transactions


def test_a_session_reads_in_a_tenants_block_and_refuses_without_one(run):
    async def test(case: Case) -> None:
        await case.add_events(case.event("a"))
        await case.code.run("session_py")
        function = case.names["my_service_function"]

        with case.db.tenant(case.tenant):
            await function()
        with pytest.raises(TenantRequiredError):
            await function()

    run(test)


def test_a_service_commits_an_event_and_its_incident_together(run):
    async def test(case: Case) -> None:
        case.names |= {
            "EventRepository": EventRepository,
            "IncidentRepository": IncidentRepository,
            "get_session": get_session,
        }
        await case.code.run("4_transaction_control")
        good, bad = case.names["ingest_event"], case.names["create"]

        await good(case.event("a"))

        async with get_session(case.tenant) as session:
            assert await EventRepository(session).count() == 1
            (incident,) = await IncidentRepository(session).list()
            assert incident.event_count == 1
        assert "DON'T DO THIS" in BLOCKS["4_transaction_control"]
        assert inspect.iscoroutinefunction(bad)

    run(test)


def test_repositories_do_not_commit(run):
    async def test(case: Case) -> None:
        async with get_session(case.tenant) as session:
            event = await EventRepository(session).create(case.event("a"))
            await IncidentRepository(session).create_from_event(event)
            assert session.in_transaction()
        async with get_session(case.tenant) as session:
            assert await EventRepository(session).count() == 0
            assert await IncidentRepository(session).count() == 0

    run(test)


def test_the_pools_size_is_the_environments(url: str, monkeypatch: pytest.MonkeyPatch):
    assert "`DATABASE_POOL_SIZE`" in DOCUMENT.section("### Issue: Connection Pool Exhausted")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DATABASE_POOL_SIZE", "7")

    async def pool_size() -> int:
        db = connect()
        try:
            return db.config.pool_size
        finally:
            await close_db()

    assert asyncio.run(pool_size()) == 7


# --------------------------------------------------------- indexes, migrations


def test_the_indexes_that_the_document_lists_exist(run):
    listed = re.findall(r"CREATE INDEX (\w+) ON (\w+)\(([^)]*)\)", BLOCKS["composite_indexes"])
    assert len(listed) == 4

    async def test(case: Case) -> None:
        async with (await get_engine()).connect() as connection:
            indexes = await connection.run_sync(_indexes)
            keys = await connection.run_sync(_keys)
        for name, table, columns in listed:
            assert indexes[table, name] == (columns.split(", "), False)
        unique = {(table, *columns) for (table, _), (columns, unique) in indexes.items() if unique}
        assert ("events", "tenant_id", "idempotency_key") in unique
        assert ("workflows", "tenant_id", "name") in unique
        assert set(keys.values()) == {("id",)}
        assert len(keys) == len(MODELS)

    run(test)


def _indexes(connection: sa.Connection) -> dict[Any, Any]:
    inspector = sa.inspect(connection)
    return {
        (table, index["name"]): (index["column_names"], bool(index["unique"]))
        for table in inspector.get_table_names()
        for index in inspector.get_indexes(table)
    }


def _keys(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    inspector = sa.inspect(connection)
    return {
        model.__tablename__: tuple(
            inspector.get_pk_constraint(model.__tablename__)["constrained_columns"]
        )
        for model in MODELS.values()
    }


def test_the_queries_of_query_optimization_run_and_the_good_one_uses_its_index(run):
    async def test(case: Case) -> None:
        start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        await case.add_events(case.event("a"), case.event("b", payload={"error_code": "other"}))
        good, bad = BLOCKS["query_optimization"].split("# Bad")
        async with get_session(case.tenant) as session:
            case.names |= {"session": session, "tenant_id": case.tenant, "start_date": start}
            await case.code.run_code(good, "query_optimization")
            found = case.names["events"].scalars().all()
            await case.code.run_code(f"# Bad{bad}", "query_optimization")
            timeouts = case.names["events"].scalars().all()

        assert [event.idempotency_key for event in found] == ["b", "a"]
        assert [event.idempotency_key for event in timeouts] == ["a"]
        assert "ix_events_tenant_occurred" in await _plan(case, start)

    run(test)


async def _plan(case: Case, start: dt.datetime) -> str:
    event = models.Event
    statement = (
        select(event.id)
        .where(event.tenant_id == case.tenant, event.occurred_at >= start)
        .order_by(event.occurred_at.desc())
    )
    async with (await get_engine()).connect() as connection:
        sql = str(statement.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        postgres = connection.dialect.name == "postgresql"
        if postgres:  # it would read so small a table as a whole
            for kind in ("seqscan", "sort", "bitmapscan"):
                await connection.execute(sa.text(f"SET enable_{kind} = off"))
        prefix = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
        rows = await connection.execute(sa.text(prefix + sql.replace(":", r"\:")))
        return "\n".join(map(str, rows.all()))


@pytest.mark.parametrize("table", ["apply_migration", "issue_migration_conflicts"])
def test_the_commands_of_alembic_have_calls_that_do_the_same(url: str, tmp_path: Path, table: str):
    first = [model for name, model in MODELS.items() if name != "KillSwitch"]
    with DataFlow(url, migrations_path=str(tmp_path / "migrations")) as db:
        db.adopt(*first)
        db.migrations.revision("Initial schema")
        db.migrations.upgrade()
        db.adopt(models.KillSwitch)

        (made,) = _call_all("create_migration", db)
        assert made.message == "Add kill_switches table"
        assert "kill_switches" in made.path.read_text(encoding="utf-8")

        _call_all(table, db)
        if table == "apply_migration":  # the last but one takes the new file back
            assert db.migrations.current() != made.id
            db.migrations.upgrade()
        assert db.migrations.current() == made.id
        with db.tenant(uuid.uuid4()):
            assert db.count("KillSwitch") == 0


def _call_all(block: str, db: DataFlow) -> list[Any]:
    """Call what stands for each command of a block; return what the calls return."""
    rows = tables_of(DOCS / "how-to" / "migrations.md")
    calls = {code_of(row[0]): code_of(row[1]) for row in rows if row[0].startswith("`alembic ")}
    lines = [line for line in BLOCKS[block].splitlines() if line.startswith("alembic")]
    return [eval(_call_for(line, calls), {"db": db}) for line in lines]


def _call_for(line: str, calls: dict[str, str]) -> str:
    """Return the call for a command, by the table of the how-to, with its own message."""
    message = re.search(r'"(.*)"', line)
    for command, call in calls.items():
        pattern = re.sub(r'".*?"', '".*"', command)
        if re.fullmatch(pattern, line):
            return call if message is None else re.sub(r'"[^"]*"', repr(message[1]), call, count=1)
    raise AssertionError(line)


# --------------------------------------------------------------------- testing


def test_the_documents_integration_test_passes(run):
    async def test(case: Case) -> None:
        mark = SimpleNamespace(asyncio=lambda function: function)
        case.names |= {
            "pytest": SimpleNamespace(mark=mark),
            "EventRepository": EventRepository,
            "test_tenant_id": case.tenant,
            "test_workflow_id": case.workflow,
        }
        await case.code.run("integration_tests_real_database")
        async with get_session() as session:
            await case.names["test_event_create_persists_to_database"](session)

    run(test)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_the_mocked_session_fails_with_the_documents_own_repository_too():
    """The reason why `unit_tests_mock_database` is not run."""
    from unittest.mock import AsyncMock

    session = AsyncMock(spec=AsyncSession)
    session.execute.return_value.scalar_one_or_none.return_value = models.Event(event_type="x")
    names: dict[str, Any] = {**NAMES, **MODELS}
    exec(BLOCKS["2_tenant_isolation"], names)
    own = SimpleNamespace(session=session)

    event = asyncio.run(names["get_by_id"](own, uuid.uuid4(), uuid.uuid4()))

    assert inspect.iscoroutine(event)
    event.close()
    assert not hasattr(event, "event_type")
