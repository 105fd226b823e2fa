"""Bulk upserts and updates by key: the audit log tells what became of each record."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.records.auditentry import AuditEntry

Change = Callable[[DataFlow], Any]
UPSERTS: dict[str, Change] = {
    "by a unique field": lambda db: db.bulk_upsert("Part", parts(300), conflict_on=("code",)),
    "some fields": lambda db: db.bulk_upsert(
        "Part", parts(300), conflict_on=("code",), update_fields=("name",)
    ),
    "new ones alone": lambda db: db.bulk_upsert(
        "Part", parts(300), conflict_on=("code",), on_conflict="ignore"
    ),
    "all there": lambda db: db.bulk_upsert("Part", parts(150), conflict_on=("code",)),
    "none there": lambda db: db.bulk_upsert("Part", parts(450)[300:], conflict_on=("code",)),
    "by key": lambda db: db.bulk_upsert(
        "Part", [{"id": n, **row} for n, row in enumerate(parts(450)[300:], 101)]
    ),
    "repeated": lambda db: db.bulk_upsert("Part", parts(200) * 2, conflict_on=("code",)),
    "deleted ones stay": lambda db: db.bulk_update(
        "Part", [{"id": n, "name": "changed"} for n in range(1, 151)]
    ),
}


def parts(count: int) -> list[dict[str, Any]]:
    return [{"code": f"c{n}", "name": f"new {n % 3}", "price": n} for n in range(count)]


@pytest.mark.parametrize(
    ("name", "tenants"),
    [*((name, False) for name in UPSERTS), *((name, True) for name in UPSERTS if name != "by key")],
)
def test_upserts_and_updates_tell_what_became_of_each_record(
    db: DataFlow, name: str, tenants: bool
):
    @db.model(audit=True, soft_delete=True, versioned=True, multi_tenant=tenants)
    class Part:
        code: str = Field(unique=True)
        name: str
        price: int = 0

    def present() -> dict[str, Any]:
        found = db.list("Part", limit=None, include_deleted=True)["records"]
        return {str(record["id"]): record for record in found}

    with db.tenant("acme") if tenants else nullcontext():
        db.bulk_create("Part", [{"code": f"c{n}", "name": "old"} for n in range(150)])
        db.bulk_delete("Part", {"id": {"$lte": 20}})
        before = present()
        with db.acting("ada", correlation_id=name):
            UPSERTS[name](db)
        after, found = present(), db.audit.get_by_correlation_id(name)

        told = [(entry.before, entry.after) for entry in found]
        assert all(was == before.get(str((now or {})["id"])) for was, now in told)
        assert named(found) == {key: after[key] for key in after if after[key] != before.get(key)}
        assert db.audit.verify().ok
        assert db.audit.verify_records("Part").ok


def named(found: list[AuditEntry]) -> dict[str, Any]:
    return {str((entry.after or {})["id"]): entry.after for entry in found}
