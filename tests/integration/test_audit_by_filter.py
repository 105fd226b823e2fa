"""Audited changes of all records that a filter finds, and what else changes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError
from dataflow.portal import portal


def rows(db: DataFlow) -> list[int | None]:
    """Return how many records each row of the log holds, oldest first."""
    found = portal.call(
        db.database.fetch("SELECT records FROM dataflow_audit_log ORDER BY sequence", ())
    )
    return [row[0] for row in found]


def checked(db: DataFlow, *models: str) -> bool:
    """Return whether the chain holds and the log's last word on each record is the record."""
    return db.audit.verify().ok and all(db.audit.verify_records(name).ok for name in models)


def declare_task(db: DataFlow) -> None:
    @db.model(audit=True, soft_delete=True, versioned=True)
    class Task:
        title: str
        pin: str = Field("0", secret=True)

    db.bulk_create("Task", [{"title": f"task {n % 2}"} for n in range(300)])


def test_on_sqlite_all_matches_of_a_filter_share_entries(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        declare_task(db)

        db.bulk_update("Task", {"title": "task 0"}, {"title": "odd", "pin": "1"})
        db.bulk_delete("Task", {"title": "odd"})
        db.bulk_delete("Task", {"title": "task 1"}, hard=True)
        db.bulk_update("Task", {"id": {"$lt": 50}}, {"title": "few"}, include_deleted=True)
        db.bulk_delete("Task", all=True, hard=True, include_deleted=True)

        assert rows(db) == [300, 150, 150, 150, *[None] * 25, 150]
        assert checked(db, "Task")


def test_an_update_by_filter_raises_versions_and_names_who_made_it(db: DataFlow):
    declare_task(db)

    with db.acting("ada", correlation_id="c"):
        result = db.bulk_update("Task", {"title": "task 0"}, {"title": "odd", "pin": "1"})

    assert result == {"processed": 150, "updated": 150, "success": True}
    found = db.audit.get_by_correlation_id("c")
    assert len(found) == 150
    for entry in found:
        assert (entry.actor, entry.action, entry.model) == ("ada", "update", "Task")
        assert set(entry.changed) == {"title", "version", "updated_at"}
        assert entry.changed["title"] == ("task 0", "odd")
        assert entry.changed["version"] == (1, 2)
    assert db.read("Task", 1)["title"] == "odd"
    assert checked(db, "Task")


@pytest.mark.parametrize("hard", [False, True])
def test_a_delete_by_filter_tells_each_record_that_is_gone(db: DataFlow, hard: bool):
    declare_task(db)
    db.bulk_delete("Task", {"id": {"$lte": 10}})

    with db.acting("ada", correlation_id="c"):
        result = db.bulk_delete("Task", {"title": "task 0"}, hard=hard)

    assert result == {"processed": 145, "deleted": 145, "success": True}
    found = db.audit.get_by_correlation_id("c")
    assert {entry.action for entry in found} == {"delete" if hard else "update"}
    assert sorted(entry.before["id"] for entry in found if entry.before) == [*range(11, 301, 2)]
    assert db.count("Task", include_deleted=True) == (155 if hard else 300)
    assert checked(db, "Task")


def test_a_change_that_fails_leaves_neither_records_nor_entries(db: DataFlow):
    @db.model(audit=True, timestamps=False)
    class Shelf:
        __tablename__ = "shelves"
        name: str

    @db.model(audit=True, timestamps=False)
    class Book:
        shelf: int = Field(foreign_key="shelves.id")
        code: int = Field(unique=True)

    db.bulk_create("Shelf", [{"name": "a"}] * 200)
    db.create("Book", shelf=150, code=1)
    db.bulk_create("Book", [{"shelf": 150, "code": n} for n in range(2, 200)])
    before = rows(db)

    with db.transaction():
        db.create("Shelf", name="kept")
        for change in (
            lambda: db.bulk_delete("Shelf", {"name": "a"}),
            lambda: db.bulk_update("Book", {"shelf": 150}, {"code": 1}),
        ):
            with pytest.raises(DataFlowError), db.transaction(savepoint=True):
                change()

    assert rows(db) == [*before, None]
    assert (db.count("Shelf"), db.count("Book")) == (201, 199)
    assert checked(db, "Shelf", "Book")


def test_each_tenants_matches_are_in_its_own_chain(db: DataFlow):
    @db.model(audit=True, multi_tenant=True, timestamps=False)
    class Note:
        text: str

    for tenant in ("acme", "bolt"):
        with db.tenant(tenant):
            db.bulk_create("Note", [{"text": "a"}] * 120)
    with db.tenant("acme"):
        db.bulk_update("Note", {"text": "a"}, {"text": "b"})
        db.bulk_delete("Note", {"text": "b"})
        assert len(db.audit.get_recent_activity(limit=1_000)) == 360
        assert db.audit.verify_records("Note").ok
    with db.tenant("bolt"):
        assert len(db.audit.get_recent_activity(limit=1_000)) == 120
        assert db.count("Note") == 120
        assert db.audit.verify().ok


def test_records_of_another_tenant_with_the_same_keys_stay(db: DataFlow):
    @db.model(audit=True, multi_tenant=True, soft_delete=True, timestamps=False)
    class Slot:
        id: str
        text: str

    slots = [{"id": f"s{n}", "text": "a"} for n in range(150)]
    for tenant in ("acme", "bolt"):
        with db.tenant(tenant):
            db.bulk_create("Slot", slots)
    with db.tenant("acme"):
        db.bulk_update("Slot", {"text": "a"}, {"text": "b"})
        db.bulk_delete("Slot", {"text": "b"})
        db.bulk_delete("Slot", all=True, hard=True, include_deleted=True)
        assert db.count("Slot", include_deleted=True) == 0
        assert db.audit.verify_records("Slot").ok
    with db.tenant("bolt"):
        assert db.list("Slot", {"text": "a"}, limit=None)["count"] == 150
        assert len(db.audit.get_recent_activity(limit=1_000)) == 150
        assert db.audit.verify_records("Slot").ok
        assert db.audit.verify().ok


def declare_tree(db: DataFlow, path: str, target: str | None = "nodes") -> None:
    """Make tables by hand, whose rows go with others: with those of `target`, and of nodes."""
    along = f"({path}) ON DELETE CASCADE ON UPDATE CASCADE"
    leaf = f"REFERENCES nodes {along}"
    up = "" if target is None else f"REFERENCES {target} {along}"

    async def make() -> None:
        for sql in (
            f"CREATE TABLE nodes (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, up INTEGER {up})",
            f"CREATE TABLE leaves (id INTEGER PRIMARY KEY, code INTEGER UNIQUE, up INTEGER {leaf})",
        ):
            await db.database.execute(sql, ())

    portal.call(make())

    @db.model(audit=True, timestamps=False)
    class Node:
        code: int | None = Field(None, unique=True)
        up: int | None = None

    @db.model(audit=True, timestamps=False)
    class Leaf:
        __tablename__ = "leaves"
        code: int | None = Field(None, unique=True)
        up: int | None = None


@pytest.mark.parametrize("target", ["nodes", "leaves", None])
def test_what_is_deleted_along_with_others_is_told_on_sqlite(tmp_path: Path, target: str | None):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        declare_tree(db, "id", target)
        db.bulk_create("Node", [{"id": n} for n in range(1, 301)])
        db.bulk_create("Leaf", [{"id": n, "up": n} for n in range(1, 301)])
        ups = [{"id": n + 150, "up": n} for n in range(1, 151)]
        db.bulk_update("Node", ups)

        db.bulk_delete("Node", {"id": {"$lte": 150}})

        left = 150 if target is None else 0
        assert (db.count("Node"), db.count("Leaf")) == (left, left)
        assert checked(db, "Node", "Leaf")


def test_what_is_updated_along_with_others_is_told_on_sqlite(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        declare_tree(db, "code")
        db.bulk_create("Node", [{"id": n, "code": n} for n in range(1, 201)])
        db.bulk_update("Node", [{"id": n, "up": n - 1} for n in range(2, 201)])
        db.bulk_create("Leaf", [{"id": n, "up": n} for n in range(1, 201)])

        db.bulk_update("Node", [{"id": n, "code": n + 1_000} for n in range(1, 201)])

        assert db.read("Leaf", 7)["up"] == 1_007
        assert db.read("Node", 7)["up"] == 1_006
        assert db.audit.get_by_entity("Leaf", 7)[0].changed == {"up": (7, 1_007)}
        assert checked(db, "Node", "Leaf")


def test_after_a_bulk_call_the_same_statement_is_audited_by_triggers(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db", pool_size=1, max_overflow=0) as db:

        @db.model(audit=True, timestamps=False)
        class Number:
            value: int

        async def change() -> None:
            async with db.transaction():
                await db.aio.bulk_create("Number", [{"value": n} for n in range(101)])
                for value in (1, 2):
                    some = [{"id": n, "value": value} for n in range(1, 102)]
                    await db.aio.bulk_update("Number", some)
                    await db.database.execute(statement, [value + 10, 5])
                await db.aio.bulk_create("Number", [{"value": 7}])

        statement = 'UPDATE "numbers" AS t SET "value" = ? WHERE t."id" = ?'
        portal.call(change())

        assert rows(db) == [101, 101, None, 101, None, None]
        assert checked(db, "Number")


def test_keys_that_json_would_change_are_told_all_the_same(db: DataFlow):
    @db.model(audit=True, timestamps=False)
    class Point:
        id: float
        value: int = 0

    keys = [0.1 + 0.2, 1e-7, 1e300, -2.5, 1 / 3, *(n / 7 for n in range(1, 150))]
    db.bulk_create("Point", [{"id": key} for key in keys])
    db.bulk_update("Point", [{"id": key, "value": 1} for key in keys])
    db.bulk_update("Point", {"value": 1}, {"value": 2})
    db.bulk_delete("Point", {"value": 2})

    history = [[entry.action for entry in db.audit.get_by_entity("Point", key)] for key in keys]
    assert history == [["delete", "update", "update", "create"]] * len(keys)
    assert checked(db, "Point")


def test_keys_with_a_null_character_are_told_on_sqlite(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(audit=True, timestamps=False)
        class Word:
            id: str
            value: int = 0

        async def insert() -> None:
            for n in range(150):  # the verbs refuse such texts
                key = f"'a' || char(0) || '{n}'"
                await db.database.execute(f"INSERT INTO words VALUES ({key}, 1)", ())

        db.create_tables()
        portal.call(insert())
        db.bulk_update("Word", {"value": 1}, {"value": 2})
        db.bulk_delete("Word", {"value": 2})

        assert [entry.action for entry in db.audit.get_recent_activity(limit=1_000)] == [
            *["delete"] * 150, *["update"] * 150, *["create"] * 150,
        ]  # fmt: skip


def test_small_changes_of_large_records_are_told_one_by_one(tmp_path: Path):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(audit=True, timestamps=False)
        class Paper:
            text: str
            read: bool = False

        db.bulk_create("Paper", [{"text": "x" * 200_000}] * 120)
        db.bulk_update("Paper", {"read": False}, {"read": True})
        db.bulk_update("Paper", [{"id": n, "read": False} for n in range(1, 121)])
        db.bulk_delete("Paper", {"read": False})

        assert rows(db) == [None] * 480
        assert db.audit.verify().ok


def test_wide_tables_are_told_whole(db: DataFlow):
    annotations: dict[str, Any] = {f"f{n}": int for n in range(150)}
    db.model(audit=True, timestamps=False)(type("Wide", (), {"__annotations__": annotations}))
    names = list(annotations)

    db.bulk_create("Wide", [dict.fromkeys(names, n) for n in range(150)])
    db.bulk_update("Wide", [{"id": n, "f7": 0, "f149": -n} for n in range(1, 151)])

    updated, created = db.audit.get_by_entity("Wide", 3)
    assert created.after == {"id": 3, **dict.fromkeys(names, 2)}
    assert updated.before == created.after
    assert updated.after == {"id": 3, **dict.fromkeys(names, 2), "f7": 0, "f149": -3}
    assert checked(db, "Wide")
