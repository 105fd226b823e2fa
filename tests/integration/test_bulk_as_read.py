"""Rows of bulk calls as callers have them: read before, in their order, with equal keys."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import RecordValidationError


def declare_ticket(db: DataFlow) -> list[dict[str, Any]]:
    @db.model(versioned=True, soft_delete=True, audit=True)
    class Ticket:
        code: int = Field(unique=True)
        title: str = "old"

    db.bulk_create("Ticket", [{"code": n} for n in range(150)])
    return db.list("Ticket", limit=None)["records"]


@pytest.mark.parametrize("verb", ["bulk_update", "bulk_upsert"])
def test_records_that_were_read_are_written_back(db: DataFlow, verb: str):
    records = declare_ticket(db)

    getattr(db, verb)("Ticket", [{**record, "title": "new"} for record in records])

    found = db.list("Ticket", limit=None)["records"]
    assert {(record["title"], record["version"]) for record in found} == {("new", 2)}
    assert {record["deleted_at"] for record in found} == {None}
    assert db.audit.verify_records("Ticket").ok


def test_an_upsert_deletes_nothing(db: DataFlow):
    records = declare_ticket(db)
    gone = [{"code": r["code"], "deleted_at": dt.datetime.now(dt.UTC)} for r in records]

    with pytest.raises(RecordValidationError, match="an upsert deletes nothing"):
        db.bulk_upsert("Ticket", gone, conflict_on="code")

    assert db.count("Ticket", include_deleted=True) == 150


@pytest.mark.parametrize("count", [50, 150])
def test_on_sqlite_rows_are_updated_in_their_order(tmp_path: Path, count: int):
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:

        @db.model(timestamps=False)
        class Place:
            rank: int = Field(unique=True)

        db.bulk_create("Place", [{"rank": n} for n in range(1, count + 1)])
        db.bulk_update("Place", [{"id": n, "rank": n + 1} for n in range(count, 0, -1)])

        assert db.read("Place", 1) == {"id": 1, "rank": 2}


def test_the_later_of_two_rows_wins_whole(db: DataFlow):
    @db.model(timestamps=False, versioned=True)
    class Part:
        code: str = Field(unique=True)
        a: int
        b: int

    rows = [{"code": "x", "a": 1, "b": 1}, {"code": "x", "a": 2, "b": 2}]
    db.bulk_upsert("Part", rows, conflict_on="code", update_fields=["a"])
    db.bulk_upsert("Part", [{"id": 1, **row} for row in rows])

    assert db.read("Part", 1) == {"id": 1, "code": "x", "a": 2, "b": 2, "version": 2}


def test_a_table_that_stores_other_types_is_told_as_it_is(tmp_path: Path):
    def code(kind: type) -> type:
        return type("Code", (), {"__annotations__": {"n": kind}})

    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        db.model(timestamps=False)(code(int))
        db.create_tables()
    with DataFlow(f"sqlite:///{tmp_path}/app.db") as db:
        db.model(audit=True, timestamps=False)(code(str))
        db.bulk_create("Code", [{"n": f"a{n}"} for n in range(150)])
        db.bulk_update("Code", [{"id": n, "n": "007"} for n in range(1, 151)])

        after = db.audit.get_by_entity("Code", 1)[0].after
        assert after is not None
        assert after["n"] == 7  # as the column of whole numbers has it


def test_rows_of_all_shapes_and_with_equal_keys_are_counted(db: DataFlow):
    @db.model(timestamps=False)
    class Part:
        a: int = 0
        b: int = 0

    db.bulk_create("Part", [{}] * 3)
    rows = [{"id": 1, "a": 1}, {"id": 2, "b": 2}, {"id": 1, "b": 3}, {"id": 3, "a": 4}]

    assert db.bulk_update("Part", rows)["processed"] == 4
    assert db.bulk_update("Part", [{"id": 1}, {"id": 1}, {"id": 2, "a": 1}])["processed"] == 3
    assert db.read("Part", 1) == {"id": 1, "a": 1, "b": 3}
