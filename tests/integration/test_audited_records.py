"""Records compared with the audit log: what was changed behind the triggers' backs is found."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from dataflow import DataFlow, Field
from dataflow.errors import ParameterError
from dataflow.models.ready import BaseAuditLogModel
from dataflow.records.auditrecords import RecordProblem


@pytest.fixture
def house(db: DataFlow) -> DataFlow:
    @db.model(audit=True)
    class Payment:
        id: str
        amount: Decimal
        at: dt.datetime
        tags: list[str] = []
        note: str | None = None
        card: str = Field(default="", secret=True)

    now = dt.datetime.now(dt.UTC)
    db.bulk_create(
        "Payment", [{"id": f"p{n}", "amount": Decimal(n), "at": now, "card": "x"} for n in range(9)]
    )
    db.update("Payment", {"id": "p1"}, {"note": "changed", "amount": Decimal("1.50")})
    db.delete("Payment", "p2")
    return db


def behind_its_back(db: DataFlow, sql: str) -> None:
    """Run SQL as someone who may switch triggers off."""
    driver = db.database.driver

    async def run() -> None:
        engine = driver.create_engine(pooled=False)
        async with engine.connect() as connection:
            if driver.name == "postgresql":
                await connection.execute(sa.text("SET session_replication_role = replica"))
            else:
                rows = await connection.execute(
                    sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                )
                for (name,) in rows.all():
                    await connection.execute(sa.text(f'DROP TRIGGER "{name}"'))
            await connection.execute(sa.text(sql))
            await connection.commit()
        await engine.dispose()

    asyncio.run(run())


def test_records_that_only_the_triggers_saw_are_as_the_log_says(house: DataFlow):
    report = house.audit.verify_records("Payment")

    assert (report.ok, report.records, report.problems) == (True, 8, ())


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("UPDATE payments SET note = 'forged' WHERE id = 'p3'", RecordProblem("p3", "altered")),
        ("DELETE FROM payments WHERE id = 'p4'", RecordProblem("p4", "missing")),
        ("UPDATE payments SET id = 'q5' WHERE id = 'p5'", RecordProblem("q5", "unlogged")),
    ],
)
def test_what_was_done_behind_the_triggers_backs_is_found(
    house: DataFlow, sql: str, problem: RecordProblem
):
    behind_its_back(house, sql)

    report = house.audit.verify_records("Payment")

    assert not report.ok
    assert problem in report.problems


class ApplicationLogEntry(BaseAuditLogModel):
    """An application's own log."""


def test_a_log_model_of_an_application_is_tamper_evident(db: DataFlow):
    db.model(ApplicationLogEntry)
    with db.tenant("acme"):
        for number in range(3):
            db.create(
                "ApplicationLogEntry", action="approve", entity_type="request", entity_id=number
            )

    with db.tenant("globex"):
        assert db.audit.verify_records(ApplicationLogEntry).records == 0
    with db.all_tenants():
        assert db.audit.verify().ok
        assert db.audit.verify_records(ApplicationLogEntry).ok
        behind_its_back(db, "UPDATE application_log_entries SET action = 'reject'")
        found: Any = db.audit.verify_records(ApplicationLogEntry).problems
    assert [problem.kind for problem in found] == ["altered"] * 3


def test_records_of_something_unknown_cannot_be_compared(house: DataFlow):
    with pytest.raises(ParameterError, match="there is no model 'Paymnt' here"):
        house.audit.verify_records("Paymnt")


def test_columns_may_have_any_names(db: DataFlow):
    @db.model(audit=True)
    class Odd:
        n: int
        o: int = 1
        x: int = 2
        head: str = Field(default="", secret=True)
        who: str = ""
        before: str = ""

    odd = db.create("Odd", n=1)
    db.update("Odd", {"id": odd["id"]}, {"n": 2, "before": "b"})
    db.delete("Odd", odd["id"])

    entries = db.audit.get_by_entity("Odd", odd["id"])
    assert [entry.action for entry in entries] == ["delete", "update", "create"]
    assert entries[1].changed["n"] == (1, 2)
    assert db.audit.verify().ok


def test_columns_that_migrations_add_or_rename_are_no_alarm(db: DataFlow, later: DataFlow):
    @db.model(audit=True)
    class Account:
        owner: str
        zip: int = 0

    db.bulk_create("Account", [{"owner": "ada"}, {"owner": "bob"}])

    @later.model(audit=True, versioned=True)
    class Account:
        holder: str
        zip: int = 0
        city: str = "x"

    later.migrations.apply(renames={"accounts.owner": "accounts.holder"})
    assert later.audit.verify_records("Account").ok
    later.update("Account", 1, {"zip": 5})
    assert later.audit.verify_records("Account").ok
    behind_its_back(later, "UPDATE accounts SET city = 'y' WHERE id = 1")
    assert later.audit.verify_records("Account").problems == (RecordProblem("1", "altered"),)
