"""What bulk calls need not read again stands in their entries as if they had read it."""

from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow
from dataflow.database.sqlite_images import LARGE
from dataflow.errors import ParameterError
from dataflow.records.auditentry import AuditEntry

MANY = 1_000


def declare_ticket(db: DataFlow, **options: Any) -> None:
    @db.model(audit=True, indexes=["rank"], **options)
    class Ticket:
        state: str = "open"
        rank: int = 0
        urgent: bool = False
        note: str | None = None


def history(db: DataFlow, key: Any, model: str = "Ticket") -> list[AuditEntry]:
    return db.audit.get_by_entity(model, key)


def assert_told(db: DataFlow, model: str = "Ticket") -> None:
    """Check that the log has the records as they are."""
    assert db.audit.verify().ok
    assert db.audit.verify_records(model).ok


@pytest.mark.parametrize(
    ("field", "value"), [("state", "shut"), ("rank", 1), ("urgent", True), ("note", "")]
)
@pytest.mark.parametrize("place", [1, 17, MANY - 2])
def test_one_record_that_differs_from_all_others_is_told(
    db: DataFlow, field: str, value: Any, place: int
):
    declare_ticket(db)
    rows: list[dict[str, Any]] = [{"state": "open"} for _ in range(MANY)]
    rows[place][field] = value
    ids = db.bulk_create("Ticket", rows, returning="ids")["ids"]
    db.bulk_update("Ticket", [{"id": key, "state": "done"} for key in ids])
    db.bulk_delete("Ticket", ids=ids)
    told = [entry.before[field] for entry in history(db, ids[place]) if entry.before]
    changed = "done" if field == "state" else value
    assert told == [changed, value]
    assert [entry.before[field] for entry in history(db, ids[0]) if entry.before][1] != value


@pytest.mark.parametrize("gone", [(), (5,), (0, MANY - 1)])
def test_records_updated_in_any_order_or_missing_are_told_each_with_its_own(
    db: DataFlow, gone: tuple[int, ...]
):
    declare_ticket(db)
    rows = [{"rank": MANY - number} for number in range(MANY)]
    ids = db.bulk_create("Ticket", rows, returning="ids")["ids"]
    db.bulk_delete("Ticket", ids=[ids[place] for place in gone])
    shuffled = [ids[0], *reversed(ids[1:-1]), ids[-1]]  # the first and the last as in order
    for order in (ids, shuffled):
        db.bulk_update("Ticket", [{"id": key, "note": f"{key}"} for key in order])
        assert_told(db)
    for place in {1, 2, MANY // 2} - set(gone):
        changes = [entry for entry in history(db, ids[place]) if entry.action == "update"]
        assert {entry.before["rank"] for entry in changes if entry.before} == {MANY - place}


def test_values_that_begin_and_end_alike_are_told_of_their_records(db: DataFlow):
    declare_ticket(db)
    rows = [{"rank": -number, "note": f"{number % (MANY - 1)}"} for number in range(MANY)]
    ids = db.bulk_create("Ticket", rows, returning="ids")["ids"]
    assert_told(db)
    for place in (1, 2, MANY - 1):
        (entry,) = history(db, ids[place])
        assert entry.after is not None
        assert (entry.after["rank"], entry.after["note"]) == (-place, rows[place]["note"])


@pytest.mark.parametrize("options", [{"versioned": True}, {"multi_tenant": True}, {"actors": True}])
def test_fields_that_are_kept_for_the_caller_are_told_too(db: DataFlow, options: dict[str, bool]):
    declare_ticket(db, **options)
    with db.tenant("acme") if "multi_tenant" in options else nullcontext():
        with db.acting("ann"):
            ids = db.bulk_create("Ticket", [{}] * MANY, returning="ids")["ids"]
        with db.acting("bob"):
            db.bulk_update("Ticket", [{"id": key, "rank": key} for key in ids])
        assert_told(db)
        last, first = history(db, ids[3])
        changed = {"rank", "updated_at", "version", "updated_by"} & set(last.after or {})
        record = {**db.read("Ticket", ids[3])}
        assert last.before == first.after
        assert last.after == {**(first.after or {}), **{name: record[name] for name in changed}}


def test_a_model_without_tenants_is_not_checked_inside_a_tenants_block(db: DataFlow):
    declare_ticket(db)
    db.create("Ticket", {})
    with db.tenant("acme"), pytest.raises(ParameterError, match="has no tenants"):
        db.audit.verify_records("Ticket")
    with db.all_tenants():
        assert_told(db)


def test_texts_that_a_column_takes_for_equal_are_told_apart_on_sqlite(tmp_path: Path):
    class Base(DeclarativeBase):
        pass

    class Word(Base):
        __tablename__ = "words"
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str] = mapped_column(sa.String(collation="NOCASE"))
        length: Mapped[int] = mapped_column(default=0)

    with DataFlow(f"sqlite:///{tmp_path}/words.db") as db:
        db.model(Word, audit=True)
        rows = [{"text": "WORD" if number == 3 else "word"} for number in range(MANY)]
        ids = db.bulk_create("Word", rows, returning="ids")["ids"]
        db.bulk_update("Word", [{"id": key, "length": 4} for key in ids])
        (change, _) = history(db, ids[3], "Word")
        assert change.before is not None
        assert change.before["text"] == "WORD"


def test_keys_between_whole_numbers_are_not_taken_for_them_on_sqlite(tmp_path: Path):
    path = tmp_path / "odd.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE things (id BIGINT PRIMARY KEY, number INTEGER)")
        keys = (6.5 if key == 7 else key for key in range(1, MANY + 1))
        raw.executemany("INSERT INTO things VALUES (?, 0)", [(key,) for key in keys])
    raw.close()

    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "things"
        id: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int]

    with DataFlow(f"sqlite:///{path}") as db:
        db.model(Thing, audit=True)
        db.bulk_update("Thing", [{"id": key, "number": 1} for key in range(1, MANY + 1)])
        assert history(db, 7, "Thing") == []
        assert len(history(db, 8, "Thing")) == 1


@pytest.mark.long
@pytest.mark.parametrize("large", [None, 1])
def test_parts_of_one_call_are_told_each_in_its_way_on_sqlite(tmp_path: Path, large: int | None):
    with DataFlow(f"sqlite:///{tmp_path}/parts.db") as db:
        declare_ticket(db)
        # Triggers tell of a part that is large, the call itself of others.
        sizes = [5_000, 5_000, 1_000]
        rows = [
            {"note": "x" * (LARGE // size) if part == large else None}
            for part, size in enumerate(sizes)
            for _ in range(size)
        ]
        ids = db.bulk_create("Ticket", rows, returning="ids")["ids"]
        db.bulk_update("Ticket", [{"id": key, "rank": 1} for key in ids])
        db.update("Ticket", ids[-1], {"rank": 2})
        told = [[e.action for e in history(db, ids[n])] for n in (1, 5_001, 10_500, -1)]
        assert told == [["update", "create"]] * 3 + [["update", "update", "create"]]
        with sqlite3.connect(tmp_path / "parts.db") as connection:
            ((alone,),) = connection.execute(
                "SELECT count(*) FROM dataflow_audit_log WHERE record_key IS NOT NULL"
            ).fetchall()
        connection.close()
        assert alone == 1 + (0 if large is None else 2 * sizes[large])
        assert_told(db)
