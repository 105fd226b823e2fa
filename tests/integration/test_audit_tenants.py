"""The audit log inside a tenant's block, whatever type names the tenants."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow
from dataflow.errors import UnscopedStatementError

TENANTS: list[tuple[type, Any, Any]] = [
    (str, "acme", "globex"),
    (int, 7, 8),
    (uuid.UUID, uuid.UUID(int=7), uuid.UUID(int=8)),
]


@pytest.mark.parametrize(("kind", "mine", "theirs"), TENANTS)
def test_a_tenant_reads_and_checks_its_own_chain(db: DataFlow, kind: type, mine: Any, theirs: Any):
    @db.model(multi_tenant=True, audit=True)
    class Note:
        tenant_id: kind  # type: ignore[valid-type]  # a parameter
        text: str = ""

    with db.tenant(theirs):
        db.bulk_create("Note", [{}] * 200)
    with db.tenant(mine):
        note = db.create("Note", {})
        db.bulk_create("Note", [{}] * 200)
        db.audit.record(action="read", entity_type="Note", entity_id=note["id"])
        db.audit.record(action="login")
        assert db.audit.verify().entries == db.audit.anchor()[0]["sequence"]
        assert {entry.action for entry in db.audit.get_by_entity("Note", note["id"])} == {
            "create",
            "read",
        }
        assert len(db.audit.get_recent_activity(limit=1_000)) == 203
        assert (report := db.audit.verify_records("Note")).ok
        assert report.records == 201
    with db.all_tenants():
        assert db.audit.verify().chains == 2 * len({p["partition"] for p in db.audit.anchor()})
        assert db.audit.verify_records("Note").records == 401


def test_a_tenants_session_does_not_read_the_log_past_its_methods(db: DataFlow):
    @db.model(multi_tenant=True, audit=True)
    class Note:
        text: str

    for tenant in ("acme", "globex"):
        with db.tenant(tenant):
            db.create("Note", text=f"a secret of {tenant}")

    log = sa.table("dataflow_audit_log", sa.column("after"))
    with db.session("acme") as session:
        for statement in (
            sa.text("SELECT after FROM dataflow_audit_log"),
            sa.select(log),
            sa.select(log.alias("l")),
            sa.text("SELECT chain FROM dataflow_audit_heads"),
        ):
            with pytest.raises(UnscopedStatementError, match="dataflow_audit_"):
                session.execute(statement)
