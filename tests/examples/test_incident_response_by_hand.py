"""The data layer of `incident_response` does the same as the one by hand, in fewer lines."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import re
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import incident_response_by_hand as by_hand
import pytest
import sqlalchemy as sa
from incident_response import enums, models, repositories, session

from dataflow import errors

pytestmark = pytest.mark.long

EXAMPLE = Path(models.__file__).parents[1]
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
OURS = SimpleNamespace(
    **{name: getattr(place, name) for place in (repositories, models) for name in place.__all__},
    ActionStatus=enums.ActionStatus,
    IncidentStatus=enums.IncidentStatus,
    AppendOnlyError=errors.AppendOnlyError,
    TenantRequiredError=errors.TenantRequiredError,
    **{name: getattr(session, name) for name in session.__all__},
)
Layer = ModuleType | SimpleNamespace
Test = Callable[[Any, Any], Awaitable[None]]


@pytest.fixture(params=[OURS, by_hand], ids=["dataflow", "by hand"])
def run(request: pytest.FixtureRequest, url: str) -> Callable[[Test], None]:
    layer = request.param

    async def whole(test: Test) -> None:
        layer.connect(url)
        try:
            await layer.create_tables()
            await test(layer, await _set_up(layer))
        finally:
            await layer.close_db()

    return lambda test: asyncio.run(whole(test))


async def _set_up(layer: Layer) -> SimpleNamespace:
    async with layer.get_session() as opened:
        tenants = [await layer.TenantRepository(opened).create(name=name) for name in ("a", "b")]
        await layer.VendorRepository(opened).create(name="bank")
        await opened.commit()
    async with layer.get_session(tenants[0].id) as opened:
        workflow = await layer.WorkflowRepository(opened).create(name="checkout")
        await opened.commit()
    return SimpleNamespace(tenant=tenants[0].id, other=tenants[1].id, workflow=workflow.id)


async def _ingest(layer: Layer, case: Any, key: str) -> Any:
    async with layer.get_session(case.tenant) as opened:
        event = await layer.EventRepository(opened).create(
            workflow_id=case.workflow,
            event_type="payment.failed",
            payload={"error_code": "timeout"},
            idempotency_key=key,
            occurred_at=NOON,
        )
        incident = await layer.IncidentRepository(opened).create_from_event(event)
        decision = await layer.DecisionRepository(opened).create(
            incident_id=incident.id,
            event_id=event.id,
            decision_type="retry",
            reasoning="first",
            confidence_score=0.5,
            ai_model="rules",
        )
        await layer.ActionRepository(opened).create(
            incident_id=incident.id, decision_id=decision.id, action_type="retry"
        )
        await opened.commit()
        return event


def test_events_open_an_incident_and_count_it_up(run):
    async def test(layer: Any, case: Any) -> None:
        await _ingest(layer, case, "1")
        event = await _ingest(layer, case, "2")
        async with layer.get_session(case.tenant) as opened:
            (incident,) = await layer.IncidentRepository(opened).list()
            found = await layer.EventRepository(opened).get_by_idempotency_key("2")
            assert (incident.event_count, incident.first_seen_at) == (2, NOON)
            assert (found.id, found.payload) == (event.id, {"error_code": "timeout"})
            assert await layer.EventRepository(opened).count_events(case.workflow) == 2
            assert await layer.IncidentRepository(opened).count_open() == 1
            assert len(await layer.IncidentRepository(opened).get_incidents_paginated()) == 1
            assert len(await layer.DecisionRepository(opened).get_trail(incident.id)) == 2

    run(test)


def test_tenants_are_kept_apart(run):
    async def test(layer: Any, case: Any) -> None:
        event = await _ingest(layer, case, "1")
        async with layer.get_session(case.other) as opened:
            assert await layer.EventRepository(opened).get_by_id(event.id) is None
            assert await opened.get(layer.Event, event.id) is None
            moved = await opened.execute(sa.update(layer.Incident).values(title="mine"))
            assert moved.rowcount == 0
        async with layer.get_session() as opened:
            with pytest.raises(layer.TenantRequiredError):
                await layer.EventRepository(opened).list()

    run(test)


def test_events_are_never_changed(run):
    async def test(layer: Any, case: Any) -> None:
        event = await _ingest(layer, case, "1")
        async with layer.get_session(case.tenant) as opened:
            with pytest.raises(layer.AppendOnlyError):
                await layer.EventRepository(opened).update(event.id, {"event_type": "x"})
        async with layer.get_session(case.tenant) as opened:
            with pytest.raises(layer.AppendOnlyError):
                await opened.execute(sa.delete(layer.Event))

    run(test)


def test_actions_wait_while_a_kill_switch_is_on(run):
    async def test(layer: Any, case: Any) -> None:
        await _ingest(layer, case, "1")
        async with layer.get_session(case.tenant) as opened:
            switches, actions = layer.KillSwitchRepository(opened), layer.ActionRepository(opened)
            switch = await switches.activate("maintenance", "Ada", case.workflow)
            assert await actions.start_next() is None
            assert await switches.find_active(case.workflow) is not None
            assert (await switches.find_active(uuid.uuid4())) is None
            await switches.deactivate(switch.id)
            action = await actions.start_next()
            assert action.status is layer.ActionStatus.IN_PROGRESS
            done = await actions.finish(action.id, succeeded=True, result={"ok": 1})
            assert (done.status, done.result) == (layer.ActionStatus.SUCCEEDED, {"ok": 1})
            await layer.VendorRepository(opened).record_failure("bank")
            vendor = await layer.VendorRepository(opened).get_by_name("bank")
            assert vendor.circuit_breaker_failure_count == 1

    run(test)


def test_the_readme_tells_the_lines_of_both():
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| ([a-z, ]+?) +\| (\d+ \| \d+) \|$", text, re.MULTILINE))

    ours, theirs = _lines_of_ours(), _lines_by_hand()

    counted = {part: f"{ours[part]} | {theirs[part]}" for part in ours}
    assert told == {**counted, "together": f"{sum(ours.values())} | {sum(theirs.values())}"}


def _lines_of_ours() -> dict[str, int]:
    parts = {
        "base, sessions": ["base.py", "session.py", "repositories/base.py"],
        "models, words": ["enums.py", "models/*.py"],
        "repositories": ["repositories/[!b]*.py"],
    }
    return {
        part: sum(
            code_lines(path.read_text(encoding="utf-8"))
            for pattern in patterns
            for path in EXAMPLE.glob(pattern)
        )
        for part, patterns in parts.items()
    }


def _lines_by_hand() -> dict[str, int]:
    """Return the lines of the same parts; the sections of the file are in another order."""
    source = Path(by_hand.__file__).read_text(encoding="utf-8")
    base, models, sessions, rest = re.split(r"^# -+ \w+\n", source, flags=re.MULTILINE)[1:]
    repository, mark, queries = rest.partition("class TenantRepository")
    return {
        "base, sessions": sum(map(code_lines, (base, sessions, repository))),
        "models, words": code_lines(models),
        "repositories": code_lines(mark + queries),
    }


def code_lines(source: str) -> int:
    """Return how many lines hold code of one's own.

    Not counted: imports and `__all__`, comments, docstrings, closing brackets alone.
    """
    lines = enumerate(source.splitlines(), 1)
    counted = {n for n, line in lines if line.strip(" \t)]},") and line.lstrip()[0] != "#"}
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if is_text or names or isinstance(node, ast.Import | ast.ImportFrom):
            counted -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(counted)
