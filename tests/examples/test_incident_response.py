"""The application `incident_response`: idempotent, per tenant, stopped by kill switches."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from incident_response.base import BaseModel
from incident_response.enums import (
    ActionStatus,
    ActionType,
    CircuitState,
    IncidentStatus,
)
from incident_response.ingest import Ingest
from incident_response.models import Action, Decision, Event, Incident, Vendor
from incident_response.repositories import (
    ActionRepository,
    EventRepository,
    IncidentRepository,
    KillSwitchRepository,
    TenantRepository,
    VendorRepository,
    WorkflowRepository,
)
from incident_response.respond import respond
from incident_response.session import close_db, connect, create_tables, get_engine, get_session
from sqlalchemy.ext.asyncio import AsyncSession

from dataflow.errors import AppendOnlyError, ParameterError, WorkflowFailedError
from dataflow.repositories import DatabaseManager

NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
TABLES = (Event, Incident, Decision, Action)


class Application:
    """The application on one database, with two tenants that have a workflow each."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.db = connect(url)
        self.ingest = Ingest(self.db)
        self.acme = self.globex = self.flow = self.globex_flow = uuid.UUID(int=0)

    async def set_up(self) -> None:
        await create_tables()
        async with get_session() as session:
            self.acme = (await TenantRepository(session).create(name="Acme")).id
            self.globex = (await TenantRepository(session).create(name="Globex")).id
            await VendorRepository(session).create(name="bank")
            await session.commit()
        self.flow = await self.add_workflow(self.acme, "checkout")
        self.globex_flow = await self.add_workflow(self.globex, "checkout")

    async def add_workflow(self, tenant: uuid.UUID, name: str) -> uuid.UUID:
        async with get_session(tenant) as session:
            made = await WorkflowRepository(session).create(name=name)
            await session.commit()
            return made.id

    def event(self, key: str = "k-1", **changes: Any) -> dict[str, Any]:
        return {
            "workflow_id": self.flow,
            "event_type": "payment.failed",
            "payload": {"error_code": "timeout", "vendor": "bank"},
            "idempotency_key": key,
            "occurred_at": NOON,
            **changes,
        }

    async def send(self, key: str = "k-1", **changes: Any) -> dict[str, Any]:
        return await self.ingest(self.acme, self.event(key, **changes))

    async def counts(self, tenant: uuid.UUID | None = None) -> list[int]:
        """Return how many events, incidents, decisions and actions a tenant sees."""
        async with get_session(tenant or self.acme) as session:
            counts = [sa.select(sa.func.count()).select_from(model) for model in TABLES]
            return [await session.scalar(statement) for statement in counts]

    async def incident(self) -> Incident:
        async with get_session(self.acme) as session:
            (found,) = await IncidentRepository(session).list()
            return found

    async def change_incident(self, **changes: Any) -> None:
        async with get_session(self.acme) as session:
            (found,) = await IncidentRepository(session).list()
            await IncidentRepository(session).update(found, changes)
            await session.commit()

    async def switch(self, workflow_id: uuid.UUID | None = None) -> uuid.UUID:
        async with get_session(self.acme) as session:
            switches = KillSwitchRepository(session)
            made = await switches.activate("maintenance", "Ada", workflow_id)
            await session.commit()
            return made.id


Test = Callable[[Application], Awaitable[None]]


@pytest.fixture
def run(url: str) -> Callable[[Test], None]:
    """Run a coroutine with the application on a new database."""

    async def whole(test: Test) -> None:
        application = Application(url)
        try:
            await application.set_up()
            await test(application)
        finally:
            await close_db()

    return lambda test: asyncio.run(whole(test))


# ----------------------------------------------------------------- idempotency


def test_the_same_event_twice_is_stored_once_and_answered_the_same(run):
    async def test(app: Application) -> None:
        first, again = await app.send(), await app.send()

        assert first == again
        assert set(first) == {"event_id", "incident_id", "decision", "decision_id", "action_id"}
        assert await app.counts() == [1, 1, 1, 1]
        assert (await app.incident()).event_count == 1

    run(test)


def test_the_answer_stays_the_same_when_the_incident_has_moved_on(run):
    async def test(app: Application) -> None:
        first = await app.send("a")
        for key in "bcd":
            await app.send(key)
        await app.change_incident(status=IncidentStatus.RESOLVED)

        assert await app.send("a") == first
        assert (await app.incident()).status is IncidentStatus.RESOLVED

    run(test)


def test_the_same_event_at_once_from_two_databases_objects_is_stored_once(run):
    async def test(app: Application) -> None:
        other = DatabaseManager(app.url, base=BaseModel)
        other.register()
        senders = [app.ingest, Ingest(other.db)]
        calls = [sender(app.acme, app.event()) for sender in senders for _ in range(8)]

        answers = await asyncio.gather(*calls)
        await other.close()

        assert answers == [answers[0]] * 16
        assert await app.counts() == [1, 1, 1, 1]
        assert (await app.incident()).event_count == 1

    run(test)


def test_events_of_one_kind_at_once_are_all_counted_in_one_incident(run):
    async def test(app: Application) -> None:
        keys = [f"k-{number % 12}" for number in range(24)]  # each one twice

        answers = await asyncio.gather(*map(app.send, keys))

        assert await app.counts() == [12, 1, 12, 12]
        assert (await app.incident()).event_count == 12
        assert len({answer["event_id"] for answer in answers}) == 12
        assert answers[:12] == answers[12:]

    run(test)


def test_tenants_have_idempotency_keys_and_incidents_of_their_own(run):
    async def test(app: Application) -> None:
        mine = await app.send()
        theirs = await app.ingest(app.globex, app.event(workflow_id=app.globex_flow))

        assert mine["event_id"] != theirs["event_id"]
        assert await app.counts(app.acme) == await app.counts(app.globex) == [1, 1, 1, 1]

    run(test)


# -------------------------------------------------------------- all or nothing


@pytest.mark.parametrize("wrong", ["of another tenant", "unknown"])
def test_an_event_of_a_workflow_that_is_not_the_tenants_leaves_nothing(run, wrong: str):
    async def test(app: Application) -> None:
        workflow = app.globex_flow if wrong == "of another tenant" else uuid.uuid4()

        with pytest.raises(WorkflowFailedError):
            await app.send(workflow_id=workflow)

        assert await app.counts(app.acme) == await app.counts(app.globex) == [0, 0, 0, 0]

    run(test)


def test_a_moment_without_its_zone_is_refused_before_anything_is_stored(run):
    async def test(app: Application) -> None:
        await app.send("a")

        with pytest.raises(ParameterError, match="occurred_at"):
            await app.send("b", occurred_at=dt.datetime(2026, 11, 3, 12))

        assert await app.counts() == [1, 1, 1, 1]

    run(test)


def test_an_inactive_tenant_sends_nothing(run):
    async def test(app: Application) -> None:
        async with get_session() as session:
            await TenantRepository(session).update(app.acme, {"is_active": False})
            await session.commit()

        with pytest.raises(WorkflowFailedError, match="tenant"):
            await app.send()

        assert await app.counts() == [0, 0, 0, 0]

    run(test)


# ------------------------------------------------------------------- decisions


def test_incidents_are_counted_up_and_escalated_at_the_third_event(run):
    async def test(app: Application) -> None:
        later = NOON + dt.timedelta(hours=1)
        decisions = [
            (await app.send("a", occurred_at=later))["decision"],
            (await app.send("b"))["decision"],
            (await app.send("c"))["decision"],
        ]
        incident = await app.incident()

        assert decisions == ["retry", "retry", "escalate"]
        assert (incident.event_count, incident.last_seen_at) == (3, later)
        assert incident.title == "payment.failed: timeout"

    run(test)


@pytest.mark.parametrize(
    ("which", "decision"), [("all", "blocked"), ("this", "blocked"), ("other", "retry")]
)
def test_a_kill_switch_stops_actions_of_its_workflow_or_of_all(run, which: str, decision: str):
    async def test(app: Application) -> None:
        other = await app.add_workflow(app.acme, "returns")
        await app.switch({"all": None, "this": app.flow, "other": other}[which])

        answer = await app.send()

        assert answer["decision"] == decision
        assert (answer["action_id"] is None) == (decision == "blocked")
        assert (await app.counts())[:3] == [1, 1, 1]

    run(test)


def test_a_kill_switch_of_one_tenant_does_not_stop_another(run):
    async def test(app: Application) -> None:
        await app.switch()

        answer = await app.ingest(app.globex, app.event(workflow_id=app.globex_flow))

        assert answer["decision"] == "retry"

    run(test)


@pytest.mark.parametrize(
    ("status", "decision", "then"),
    [
        (IncidentStatus.RESOLVED, "retry", IncidentStatus.NEW),
        (IncidentStatus.IGNORED, "ignored", IncidentStatus.IGNORED),
    ],
)
def test_a_further_event_reopens_a_resolved_incident_and_leaves_an_ignored_one(
    run, status: IncidentStatus, decision: str, then: IncidentStatus
):
    async def test(app: Application) -> None:
        await app.send("a")
        await app.change_incident(status=status)

        assert (await app.send("b"))["decision"] == decision
        assert (await app.incident()).status is then

    run(test)


# --------------------------------------------------------------------- actions


def test_actions_are_carried_out_once_each_and_record_their_result(run):
    async def test(app: Application) -> None:
        await app.send("a")
        await app.send("b")

        async def execute(action: Action) -> dict[str, Any]:
            return {"code": action.parameters["error_code"]}

        done = await asyncio.gather(*(respond(app.acme, execute) for _ in range(4)))

        finished = [action for action in done if action is not None]
        assert len({action.id for action in finished}) == len(finished) == 2
        assert {action.status for action in finished} == {ActionStatus.SUCCEEDED}
        assert finished[0].result == {"code": "timeout"}
        assert await respond(app.globex, execute) is None

    run(test)


def test_a_result_that_cannot_be_kept_is_a_failure(run):
    async def test(app: Application) -> None:
        async def unkept(action: Action) -> dict[str, Any]:
            return {"at": object()}

        async def unsaid(action: Action) -> dict[str, Any]:
            raise ValueError("no text: \ud800")

        for key, execute in (("a", unkept), ("b", unsaid)):
            await app.send(key)
            done = await respond(app.acme, execute)
            assert done is not None
            assert done.status is ActionStatus.FAILED
            assert done.result["error"].startswith("the result cannot be kept")

    run(test)


def test_what_an_event_calls_a_vendor_is_a_name_and_no_filter(run):
    async def test(app: Application) -> None:
        async def succeed(action: Action) -> dict[str, Any]:
            return {}

        await app.send(payload={"vendor": {"$ne": None}})
        done = await respond(app.acme, succeed)
        assert done is not None
        assert done.status is ActionStatus.SUCCEEDED

    run(test)


def test_an_action_that_waits_is_stopped_by_a_kill_switch_until_it_is_off(run):
    async def test(app: Application) -> None:
        async def execute(action: Action) -> dict[str, Any]:
            return {}

        await app.send()
        switch = await app.switch(app.flow)
        assert await respond(app.acme, execute) is None

        async with get_session(app.acme) as session:
            await KillSwitchRepository(session).deactivate(switch)
            await session.commit()
        assert await respond(app.acme, execute) is not None

    run(test)


def test_three_failures_open_a_vendors_circuit_and_a_success_closes_it(run):
    async def test(app: Application) -> None:
        async def fail(action: Action) -> dict[str, Any]:
            raise ConnectionError("no answer")

        async def succeed(action: Action) -> dict[str, Any]:
            return {}

        async def state() -> CircuitState:
            async with get_session() as session:
                return (await session.scalars(sa.select(Vendor))).one().circuit_breaker_state

        for number in range(3):
            await app.send(event_type=f"kind {number}", key=str(number))
            done = await respond(app.acme, fail)
            assert done is not None
            assert done.result == {"error": "ConnectionError: no answer"}
        assert await state() is CircuitState.OPEN

        answer = await app.send("later", event_type="another kind")
        assert answer["decision"] == "wait"
        async with get_session(app.acme) as session:
            (waiting,) = await ActionRepository(session).get_pending(answer["incident_id"])
        assert waiting.action_type is ActionType.MANUAL

        await respond(app.acme, succeed)
        assert await state() is CircuitState.CLOSED

    run(test)


# ------------------------------------------------------------------ data layer


def test_a_service_stores_an_event_and_its_incident_with_one_commit(run):
    async def test(app: Application) -> None:
        async def ingest_event(key: str, *, commit: bool) -> None:
            async with get_session(app.acme) as session:
                event = await EventRepository(session).create(app.event(key))
                await IncidentRepository(session).create_from_event(event)
                if commit:
                    await session.commit()

        await ingest_event("a", commit=False)
        assert (await app.counts())[:2] == [0, 0]
        await ingest_event("a", commit=True)
        await ingest_event("b", commit=True)
        await app.send("c")

        assert (await app.counts())[:2] == [3, 1]
        assert (await app.incident()).event_count == 3

    run(test)


def test_repositories_find_by_status_by_page_and_by_time(run):
    async def test(app: Application) -> None:
        now = dt.datetime.now(dt.UTC)
        for number in range(5):
            at = now - dt.timedelta(hours=10 * number)
            await app.send(str(number), event_type=f"kind {number}", occurred_at=at)
        async with get_session(app.acme) as session:
            incidents, events = IncidentRepository(session), EventRepository(session)

            newest = await incidents.get_incidents_by_status(IncidentStatus.NEW)
            assert [i.title[:6] for i in newest] == [f"kind {n}" for n in (4, 3, 2, 1, 0)]
            assert len(await incidents.get_incidents_paginated(page=2, page_size=3)) == 2
            assert await incidents.count_open() == 5
            recent = await events.get_recent_events(app.flow)
            assert [event.event_type for event in recent] == ["kind 0", "kind 1", "kind 2"]
            assert await events.count_events(app.flow) == 5
            assert (await events.count_by_type())["kind 3"] == 1
            found = await events.get_by_idempotency_key("2")
            assert found is not None
            assert found.event_type == "kind 2"

    run(test)


@pytest.mark.parametrize("model", [Event, Decision])
def test_events_and_decisions_are_never_changed_or_removed(run, model: type):
    async def test(app: Application) -> None:
        await app.send()
        for change in (_touch, _remove):
            async with get_session(app.acme) as session:
                record = (await session.scalars(sa.select(model))).one()
                await change(session, record)
                with pytest.raises(AppendOnlyError):
                    await session.commit()
        assert await app.counts() == [1, 1, 1, 1]

    run(test)


async def _touch(session: AsyncSession, record: Any) -> None:
    record.created_at = NOON


async def _remove(session: AsyncSession, record: Any) -> None:
    await session.delete(record)


@pytest.mark.parametrize("model", [Event, Decision])
def test_no_statement_changes_or_removes_events_and_decisions(run, model: type):
    async def test(app: Application) -> None:
        await app.send()
        for statement in (sa.update(model).values(created_at=NOON), sa.delete(model)):
            async with get_session(app.acme) as session:
                with pytest.raises(AppendOnlyError):
                    await session.execute(statement)
        assert await app.counts() == [1, 1, 1, 1]

    run(test)


def test_no_tenant_sees_or_changes_what_another_has(run):
    async def test(app: Application) -> None:
        answer = await app.send()
        async with get_session(app.globex) as session:
            assert await session.get(Event, answer["event_id"]) is None
            assert await IncidentRepository(session).get_by_id(answer["incident_id"]) is None
            assert await ActionRepository(session).list() == []
            changed = await session.execute(sa.update(Action).values(status=ActionStatus.FAILED))
            assert changed.rowcount == 0
        assert await app.counts(app.globex) == [0, 0, 0, 0]

    run(test)


def test_the_indexes_of_common_queries_exist(run):
    wanted = {
        ("events", ("tenant_id", "workflow_id")),
        ("events", ("tenant_id", "occurred_at")),
        ("events", ("tenant_id", "idempotency_key")),
        ("incidents", ("tenant_id", "status")),
        ("actions", ("incident_id", "status")),
        ("workflows", ("tenant_id", "name")),
    }

    async def test(app: Application) -> None:
        async with (await get_engine()).connect() as connection:
            found = await connection.run_sync(_indexed)
        assert wanted <= found

    run(test)


def _indexed(connection: sa.Connection) -> set[tuple[str, tuple[str, ...]]]:
    inspector = sa.inspect(connection)
    return {
        (table, tuple(index["column_names"]))
        for table in inspector.get_table_names()
        for index in inspector.get_indexes(table)
    }
