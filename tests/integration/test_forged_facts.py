"""What a caller cannot claim: another's name, another's log, another database's records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import (
    ParameterError,
    RecordValidationError,
    TenantRequiredError,
    UnknownModelError,
)
from dataflow.repositories import Repository


@pytest.fixture
def house(db: DataFlow) -> DataFlow:
    @db.model(multi_tenant=True, actors=True, soft_delete=True, audit=True)
    class Ticket:
        title: str

    for tenant in ("acme", "globex"):
        with db.tenant(tenant), db.acting(f"{tenant}-admin"):
            db.create("Ticket", title=f"of {tenant}")
    return db


def test_the_audit_log_shows_a_tenant_its_own_entries_and_no_one_those_of_all(house: DataFlow):
    log = house.audit

    with house.tenant("acme"):
        assert [entry.actor for entry in log.get_recent_activity()] == ["acme-admin"]
        assert {head["chain"] for head in log.anchor()} == {"acme"}
        assert log.verify().entries == 1
    for call in (log.get_recent_activity, log.anchor, log.verify):
        with pytest.raises(TenantRequiredError, match="dataflow_audit_log"):
            call()
    with house.all_tenants():
        assert len(log.get_recent_activity()) == 2
        assert log.verify().entries == 2


@pytest.mark.parametrize("field", ["created_by", "updated_by", "deleted_by"])
def test_who_acted_cannot_be_claimed(house: DataFlow, field: str):
    with house.tenant("acme"), house.acting("eve"):
        for call in (
            lambda: house.create("Ticket", {"title": "x", field: "boss"}),
            lambda: house.update("Ticket", {"title": "of acme"}, {field: "boss"}),
            lambda: house.bulk_create("Ticket", [{"title": "x", field: "boss"}]),
        ):
            with pytest.raises(RecordValidationError, match="DataFlow notes who acts"):
                call()
        with house.session() as session:
            tickets: Any = Repository(
                session, house.get_generated_nodes("Ticket")["TicketCreateNode"].spec.model
            )  # type: ignore[attr-defined]  # of model nodes
            with pytest.raises(RecordValidationError, match="DataFlow notes who acts"):
                tickets.create({"title": "x", field: "boss"})


def test_an_actor_that_no_column_takes_is_refused_at_once(house: DataFlow):
    with pytest.raises(ParameterError, match="actor has more than 255 characters"):
        house.acting("x" * 256)


@pytest.mark.parametrize("wrong", [True, b"acme", object(), 1.5, ""])
def test_what_names_no_tenant_is_refused(house: DataFlow, wrong: Any):
    with pytest.raises(ParameterError, match="names no tenant"):
        house.tenant(wrong)
    with pytest.raises(ParameterError, match="names no tenant"):
        house.session(wrong)


def test_a_number_is_taken_as_its_text_where_tenants_are_texts(house: DataFlow):
    model = house.get_generated_nodes("Ticket")["TicketCreateNode"].spec.model  # type: ignore[attr-defined]  # likewise

    with house.session(5) as session:
        session.add(model(title="five"))
        session.commit()
        assert [t.title for t in Repository(session, model).list()] == ["five"]

    with house.tenant("5"):
        assert house.query("Ticket").one().tenant_id == "5"


def test_a_session_refuses_records_of_another_databases_model(house: DataFlow, tmp_path: Path):
    other = DataFlow(f"sqlite:///{tmp_path}/other.db")

    @other.model
    class Note:
        text: str

    with house.session("acme") as session:
        session.add(Note(text="lost"))
        with pytest.raises(UnknownModelError, match="'Note'"):
            session.commit()
    other.close()
