"""Append-only models: refused by the verbs, and by triggers for everything else."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from dataflow import DataFlow, Field
from dataflow.errors import AppendOnlyError, DataLossError
from dataflow.portal import portal


def run(db: DataFlow, sql: str) -> Any:
    """Run raw SQL as any caller of the driver would."""
    return portal.call(db.database.execute(sql, ()))


def declare_event(db: DataFlow) -> None:
    @db.model(append_only=True)
    class Event:
        name: str
        text: str = ""


@pytest.mark.parametrize(
    ("sql", "verb"),
    [
        ("UPDATE events SET text = 'x'", "UPDATE"),
        ("DELETE FROM events", "DELETE"),
        ("DELETE FROM events WHERE id = 1", "DELETE"),
    ],
)
def test_raw_sql_is_refused(db: DataFlow, sql: str, verb: str):
    declare_event(db)
    db.create("Event", name="a")

    with pytest.raises(AppendOnlyError) as caught:
        run(db, sql)

    assert str(caught.value) == f"model 'Event' is append-only: {verb} is refused.\n  code: DF211"
    assert db.read("Event", 1)["text"] == ""


def test_raw_sql_that_changes_nothing_passes(db: DataFlow):
    declare_event(db)
    db.create("Event", name="a")

    changed = run(db, "UPDATE events SET text = 'x' WHERE id = 99")

    assert changed == 0


def test_replacing_on_sqlite_and_truncating_on_postgresql_are_refused(db: DataFlow):
    declare_event(db)
    db.create("Event", name="a")
    replace = (
        "INSERT OR REPLACE INTO events (id, name, created_at, updated_at) VALUES (1, 'b', '', '')"
    )
    sql = {"sqlite": replace, "postgresql": "TRUNCATE events"}[db.database.driver.name]

    with pytest.raises(AppendOnlyError):
        run(db, sql)

    assert db.read("Event", 1)["name"] == "a"


def test_an_upsert_that_meets_a_record_is_refused(db: DataFlow):
    declare_event(db)
    db.create("Event", name="a")
    values = "(id, name, created_at, updated_at) VALUES ({}, 'b', now(), now())"
    values = (
        values if db.database.driver.name != "sqlite" else values.replace("now()", "'2020-01-01'")
    )
    upsert = f"INSERT INTO events {values} ON CONFLICT (id) DO UPDATE SET name = 'b'"

    with pytest.raises(AppendOnlyError):
        run(db, upsert.format(1))
    run(db, upsert.format(2))

    assert [record["name"] for record in db.list("Event")["records"]] == ["a", "b"]


def test_a_cascade_is_refused(db: DataFlow):
    @db.model
    class Case:
        title: str

    @db.model(append_only=True)
    class Decision:
        text: str
        case_id: int = Field(foreign_key="cases.id", on_delete="cascade")

    case = db.create("Case", title="a")
    db.create("Decision", text="yes", case_id=case["id"])

    with pytest.raises(AppendOnlyError):
        db.delete("Case", case["id"])

    assert db.count("Decision") == 1


def test_sessions_of_sqlalchemy_are_refused(db: DataFlow):
    declare_event(db)
    db.create("Event", name="a")

    async def change() -> str:
        lane = await db.database.lane()
        async with AsyncSession(lane.engine) as session:
            try:
                await session.execute(text("UPDATE events SET name = 'b'"))
            except Exception as error:  # noqa: BLE001 - SQLAlchemy's own, whatever its class
                return str(error)
        return "changed"

    assert "append-only" in portal.call(change())


def test_records_are_still_created_and_read(db: DataFlow):
    declare_event(db)

    db.bulk_create("Event", [{"name": str(n)} for n in range(3)])
    ignored = db.bulk_upsert("Event", [{"id": 1, "name": "x"}], on_conflict="ignore")

    assert ignored["skipped"] == 1
    assert db.count("Event") == 3


def test_a_table_that_is_rebuilt_stays_append_only(url: str):
    with DataFlow(url) as old:
        declare_event(old)
        old.create("Event", name="a")

    with DataFlow(url, auto_migrate=False) as db:

        @db.model(append_only=True)
        class Event:
            name: str
            text: str | None = None
            size: int = 7

        db.migrations.apply()
        assert db.migrations.plan().changes == ()
        with pytest.raises(AppendOnlyError):
            run(db, "UPDATE events SET text = 'x'")
        assert db.read("Event", 1)["size"] == 7


def test_giving_the_protection_up_must_be_allowed(url: str):
    with DataFlow(url) as old:
        declare_event(old)
        old.create("Event", name="a")

    with DataFlow(url) as db:

        @db.model
        class Event:
            name: str
            text: str = ""

        with pytest.raises(AppendOnlyError):
            db.update("Event", 1, {"text": "x"})
        with pytest.raises(DataLossError):
            db.migrations.apply()
        plan = db.migrations.apply(allow_drop=True)
        changed = db.update("Event", 1, {"text": "x"})

    assert {change.kind for change in plan.changes} == {"drop trigger"}
    assert changed is not None
    assert changed["text"] == "x"
