"""Ready-made base models: their fields, steps, nodes and indexes, on every database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.context import ALL_TENANTS
from dataflow.errors import AppendOnlyError, RecordValidationError
from dataflow.middleware import database as signpost
from dataflow.middleware.database import enums as words
from dataflow.models.enums import (
    ComplianceFramework,
    ExecutionStatus,
    NodeType,
    SecurityEventType,
    WorkflowStatus,
)
from dataflow.models.ready import (
    BaseAuditLogModel,
    BaseComplianceModel,
    BaseExecutionModel,
    BaseModel,
    BaseSecurityEventModel,
    BaseTemplateModel,
    BaseWorkflowModel,
)
from dataflow.repositories import Repository

NOON = dt.datetime(2026, 1, 2, 12, 0, 0, 123456, tzinfo=dt.UTC)
DOCUMENT = {"a": [1, None, {"b": "é"}], "n": 1.5}


class Base(BaseModel):
    __abstract__ = True
    metadata = sa.MetaData(naming_convention=BaseModel.metadata.naming_convention)


class ReadyWorkflow(BaseWorkflowModel, Base):
    __abstract__ = False


class ReadyRun(BaseExecutionModel, Base):
    __abstract__ = False


class ReadyTemplate(BaseTemplateModel, Base):
    __abstract__ = False


class ReadyEvent(BaseSecurityEventModel, Base):
    __abstract__ = False


class ReadyLog(BaseAuditLogModel, Base):
    __abstract__ = False


class ReadyAssessment(BaseComplianceModel, Base):
    __abstract__ = False


VALUES: dict[type, dict[str, Any]] = {
    ReadyWorkflow: {
        "name": "n",
        "description": "d",
        "status": WorkflowStatus.ACTIVE,
        "definition": DOCUMENT,
        "tags": ["a", "b"],
        "details": DOCUMENT,
        "session_id": "s",
        "security_classification": "secret",
        "compliance_requirements": ["gdpr"],
    },
    ReadyRun: {
        "workflow_id": uuid.UUID(int=5),
        "status": ExecutionStatus.RUNNING,
        "inputs": DOCUMENT,
        "outputs": DOCUMENT,
        "session_id": "s",
        "started_by": "ada",
        "started_at": NOON,
        "completed_at": NOON,
        "runtime_seconds": 0.1,
        "total_nodes": 4,
        "completed_nodes": 1,
        "progress_percentage": 25.0,
        "error_message": "e",
        "error_details": DOCUMENT,
        "resource_usage": DOCUMENT,
        "logs": [DOCUMENT],
        "debug_info": DOCUMENT,
    },
    ReadyTemplate: {
        "name": "n",
        "description": "d",
        "category": "c",
        "definition": DOCUMENT,
        "tags": ["a"],
        "is_public": True,
        "certification_level": "gold",
        "usage_count": 3,
        "last_used": NOON,
        "rating_average": 4.5,
        "rating_count": 2,
    },
    ReadyEvent: {
        "event_type": SecurityEventType.INTRUSION,
        "severity": "high",
        "user_id": "ada",
        "resource": "r",
        "outcome": "o",
        "ip_address": "::1",
        "user_agent": "curl",
        "details": DOCUMENT,
        "correlation_id": "c",
    },
    ReadyLog: {
        "user_id": "ada",
        "action": "create",
        "entity_type": "workflow",
        "entity_id": "7",
        "details": DOCUMENT,
        "ip_address": "::1",
        "user_agent": "curl",
        "correlation_id": "c",
    },
    ReadyAssessment: {
        "framework": ComplianceFramework.GDPR,
        "status": "done",
        "score": 0.75,
        "assessed_by": "ada",
        "assessed_at": NOON,
        "valid_until": NOON,
        "findings": [DOCUMENT],
        "evidence": DOCUMENT,
    },
}
MODELS = tuple(VALUES)
INDEXES = {
    ReadyWorkflow: {("tenant_id", "status"), ("tenant_id", "created_at"), ("session_id",)},
    ReadyRun: {
        ("tenant_id", "status"),
        ("tenant_id", "workflow_id"),
        ("tenant_id", "created_at"),
        ("session_id",),
    },
    ReadyTemplate: {("tenant_id", "category"), ("tenant_id", "created_at")},
    ReadyEvent: {
        ("tenant_id", "event_type"),
        ("tenant_id", "user_id"),
        ("tenant_id", "created_at"),
        ("correlation_id",),
    },
    ReadyLog: {
        ("tenant_id", "entity_type", "entity_id"),
        ("tenant_id", "user_id"),
        ("tenant_id", "created_at"),
        ("correlation_id",),
    },
    ReadyAssessment: {("tenant_id", "framework"), ("tenant_id", "status")},
}


@pytest.fixture
def ready(db: DataFlow) -> Iterator[DataFlow]:
    db.adopt(*MODELS)
    with db.tenant("acme"):
        yield db


@pytest.mark.parametrize("model", MODELS)
def test_every_field_comes_back_as_it_was_stored(ready: DataFlow, model: type):
    values = VALUES[model]
    own = set(model.__dataflow__.fields) - {  # type: ignore[attr-defined]  # a model's specification
        "id", "tenant_id", "created_at", "updated_at", "version", "deleted_at", "deleted_by",
        "created_by", "updated_by",
    }  # fmt: skip
    assert own == set(values)

    made = ready.create(model, values)
    read = ready.read(model, made["id"])
    with ready.session() as session:
        record = Repository(session, model).get(made["id"])

    assert {name: read[name] for name in values} == values
    assert {name: getattr(record, name) for name in values} == values
    assert read["tenant_id"] == "acme"


@pytest.mark.parametrize("model", MODELS)
def test_the_indexes_are_in_the_database(ready: DataFlow, model: Any):
    ready.create_tables()
    with ready.session(ALL_TENANTS) as session:
        found = sa.inspect(session.connection()).get_indexes(model.__tablename__)

    assert INDEXES[model] <= {tuple(index["column_names"]) for index in found}


@pytest.mark.parametrize("model", [ReadyWorkflow, ReadyTemplate, ReadyAssessment])
def test_nine_nodes_work_on_a_ready_model(ready: DataFlow, runtime: LocalRuntime, model: Any):
    name, values = model.__name__, VALUES[model]
    field = "name" if "name" in values else "status"
    row = {key: getattr(value, "value", value) for key, value in values.items()}
    row = {key: value.isoformat() if value is NOON else value for key, value in row.items()}
    key = str(uuid.UUID(int=1))
    workflow = WorkflowBuilder(db=ready)
    steps: list[tuple[str, dict[str, Any]]] = [
        ("Create", {**row, "id": key}),
        ("Read", {"id": key}),
        ("Update", {"filter": {"id": key}, "fields": {field: "one"}}),
        ("BulkCreate", {"data": [row, row]}),
        ("List", {"filter": {}}),
        ("BulkUpdate", {"all": True, "update": {field: "all"}}),
        ("BulkUpsert", {"data": [{**row, "id": key}]}),
        ("Delete", {"id": key}),
        ("BulkDelete", {"filter": {field: "all"}}),
    ]
    for kind, inputs in steps:
        workflow.add_node(f"{name}{kind}Node", kind.lower(), inputs)

    assert len(ready.get_generated_nodes(name)) == 9
    results, _ = runtime.execute(workflow.build())

    assert results["create"]["id"] == uuid.UUID(key)
    assert results["list"]["count"] == 3
    assert results["bulkdelete"]["deleted"] >= 2


def test_a_text_is_no_status(ready: DataFlow):
    with pytest.raises(RecordValidationError, match="status"):
        ready.create(ReadyWorkflow, name="n", status="nonsense")

    assert ready.create(ReadyWorkflow, name="n", status="active")["status"] is WorkflowStatus.ACTIVE


def test_append_only_models_are_refused_by_name_and_by_sql(ready: DataFlow):
    event = ready.create(ReadyEvent, VALUES[ReadyEvent])

    with pytest.raises(AppendOnlyError):
        ready.update(ReadyEvent, event["id"], {"severity": "low"})
    with ready.session() as session, pytest.raises(Exception, match=r"(?i)append"):
        record = session.get(ReadyEvent, event["id"])
        assert record is not None
        record.severity = "low"
        session.flush()
    assert ready.read(ReadyEvent, event["id"])["severity"] == "high"


# ----------------------------------------------------------------------- steps


def test_a_run_starts_advances_and_completes(ready: DataFlow):
    with ready.session() as session:
        run = ReadyRun(total_nodes=4)
        run.start(uuid.UUID(int=3))
        run.advance(1)
        assert (run.completed_nodes, run.progress_percentage) == (1, 25.0)
        run.complete({"sum": 5})
        session.add(run)
        session.commit()
        key = run.id

    stored = ready.read(ReadyRun, key)
    assert (stored["status"], stored["outputs"]) == (ExecutionStatus.COMPLETED, {"sum": 5})
    assert (stored["completed_nodes"], stored["progress_percentage"]) == (4, 100.0)
    assert stored["started_by"] == str(uuid.UUID(int=3))
    assert stored["runtime_seconds"] >= 0
    assert stored["completed_at"] >= stored["started_at"]


def test_a_run_fails_with_what_went_wrong():
    run = ReadyRun()
    run.start()

    run.fail("no answer", {"host": "a"})

    assert (run.status, run.error_message) == (ExecutionStatus.FAILED, "no answer")
    assert run.error_details == {"host": "a"}
    assert run.started_by is None


def test_a_run_may_fail_before_it_starts():
    run = ReadyRun(status=ExecutionStatus.PENDING)

    run.fail("never began")

    assert run.status is ExecutionStatus.FAILED
    assert run.runtime_seconds is None


@pytest.mark.parametrize(
    ("status", "step"),
    [
        (ExecutionStatus.RUNNING, "start"),
        (ExecutionStatus.COMPLETED, "start"),
        (ExecutionStatus.PENDING, "complete"),
        (ExecutionStatus.COMPLETED, "complete"),
        (ExecutionStatus.FAILED, "complete"),
        (ExecutionStatus.COMPLETED, "fail"),
        (ExecutionStatus.CANCELLED, "fail"),
        (ExecutionStatus.PENDING, "advance"),
        (None, "complete"),
        (None, "advance"),
    ],
)
def test_a_step_that_does_not_follow_is_refused(status: Any, step: str):
    run = ReadyRun(status=status)
    arguments: dict[str, Any] = {"fail": ("x",), "advance": (1,)}

    with pytest.raises(ValueError, match="the run is"):
        getattr(run, step)(*arguments.get(step, ()))

    assert run.status is status


@pytest.mark.parametrize("number", [-1, 5])
def test_a_run_cannot_have_done_more_nodes_than_it_has(number: int):
    run = ReadyRun(total_nodes=4)
    run.start()

    with pytest.raises(ValueError, match="completed_nodes must be from 0 to 4"):
        run.advance(number)


def test_a_run_of_no_nodes_completes():
    run = ReadyRun()
    run.start()

    run.complete()

    assert (run.completed_nodes, run.progress_percentage, run.outputs) == (0, 100.0, None)


def test_a_template_counts_its_uses_and_averages_its_ratings():
    template = ReadyTemplate(name="n")

    template.use()
    template.use()
    for stars in (5, 4, 3):
        template.rate(stars)

    assert (template.usage_count, template.rating_count) == (2, 3)
    assert template.rating_average == pytest.approx(4.0)
    assert template.last_used is not None
    for wrong in (0, 5.5, float("nan")):
        with pytest.raises(ValueError, match="from 1 to 5"):
            template.rate(wrong)


def test_a_workflow_is_hidden_and_shown(ready: DataFlow):
    with ready.session() as session:
        workflow = ReadyWorkflow(name="n")
        session.add(workflow)
        session.commit()
        workflow.soft_delete(uuid.UUID(int=1))
        session.commit()
        assert (workflow.is_deleted, workflow.deleted_by) == (True, str(uuid.UUID(int=1)))
        assert ready.count(ReadyWorkflow) == 0
        session.rollback()
        workflow.restore()
        session.commit()

    assert (workflow.is_deleted, workflow.deleted_by) == (False, None)
    assert ready.count(ReadyWorkflow) == 1


def test_a_record_shows_its_key_alone():
    workflow = ReadyWorkflow(name="secret")

    assert repr(workflow) == "ReadyWorkflow(id=None)"


# ----------------------------------------------------------------------- words


@pytest.mark.parametrize(
    "kind", [WorkflowStatus, ExecutionStatus, NodeType, SecurityEventType, ComplianceFramework]
)
def test_words_are_texts_and_have_two_ways_to_them(kind: Any):
    assert all(member == member.value == member.name.lower() for member in kind)
    assert getattr(words, kind.__name__) is kind


def test_the_signpost_names_what_it_leads_to():
    assert all(getattr(signpost, name) is not None for name in signpost.__all__)
    assert signpost.BaseModel is BaseModel
