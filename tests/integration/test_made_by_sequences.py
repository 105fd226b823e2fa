"""Keys and fields of adopted classes that sequences, identities and expressions make."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow
from dataflow.errors import ParameterError, RecordValidationError, SchemaDriftError
from dataflow.portal import portal

ALWAYS = "the database always makes this value"


def declare(db: DataFlow, key: Any, **columns: Any) -> None:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = key
        name: Mapped[str] = mapped_column(sa.Text, unique=True)
        locals().update(columns)

    db.adopt(Item)
    db.create_tables()


def names(prefix: str, count: int) -> list[dict[str, str]]:
    return [{"name": f"{prefix}{n}"} for n in range(count)]


@pytest.mark.parametrize("count", [2, 600])
def test_sequences_that_the_table_does_not_name_fill_single_and_bulk_calls(
    postgres_db: DataFlow, count: int
):
    db = postgres_db
    key = mapped_column(sa.Integer, sa.Sequence("Own keys", start=100), primary_key=True)
    declare(db, key, number=mapped_column(sa.Integer, sa.Sequence("numbers"), nullable=False))

    assert db.create("Item", {"name": "one"}) == {"id": 100, "name": "one", "number": 1}
    db.bulk_create("Item", names("a", count))
    told = db.bulk_create("Item", names("b", count), returning="ids")["ids"]
    db.bulk_create("Item", names("c", count), on_conflict="skip")
    db.bulk_create("Item", names("d", count), on_error="collect")
    found = db.bulk_upsert("Item", [*names("a", count), *names("e", count)], conflict_on=["name"])
    db.bulk_create("Item", [{"id": 10_000, "name": "far"}])

    assert (found["inserted"], found["updated"]) == (count, count)
    assert db.create("Item", {"name": "last"})["id"] == 10_001
    records = db.list("Item", limit=None)["records"]
    assert {r["id"] for r in records if r["name"].startswith("b")} == set(told)
    assert len({r["number"] for r in records}) == len(records) == 5 * count + 3


def test_a_sequence_makes_records_of_nothing_else(postgres_db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Ticket(Base):
        __tablename__ = "tickets"
        id: Mapped[int] = mapped_column(sa.Sequence("ticket_ids"), primary_key=True)

    postgres_db.adopt(Ticket)
    postgres_db.bulk_create(Ticket, [{}] * 3)

    assert [r["id"] for r in postgres_db.list(Ticket, sort="id")["records"]] == [1, 2, 3]


def test_keys_with_a_sequence_are_rowids_on_sqlite(memory: DataFlow):
    declare(memory, mapped_column(sa.Integer, sa.Sequence("ids"), primary_key=True))

    memory.bulk_create("Item", names("a", 2))
    assert memory.create("Item", {"name": "one"})["id"] == 3


def test_a_value_that_the_database_always_makes_is_given_by_nobody(db: DataFlow):
    key = mapped_column(sa.Identity(always=True), primary_key=True)
    declare(db, key, loud=mapped_column(sa.Text, sa.Computed("name || '!'", persisted=True)))

    db.create("Item", {"name": "a0"})
    db.bulk_create("Item", names("b", 2), returning="ids")
    db.bulk_upsert("Item", names("a", 600), conflict_on=["name"])
    db.bulk_update("Item", [{"id": 1, "name": "one"}])
    assert db.read("Item", 1) == {"id": 1, "name": "one", "loud": "one!"}
    before = db.count("Item")

    for made in ({"id": 5_000}, {"loud": "x"}):
        row = {"name": "new", **made}
        for call in (
            lambda row=row: db.create("Item", row),
            lambda row=row: db.bulk_create("Item", [row]),
            lambda row=row: db.bulk_upsert("Item", [row], conflict_on=["name"]),
        ):
            with pytest.raises(RecordValidationError, match=ALWAYS):
                call()
    for change in (
        lambda: db.update("Item", 1, {"loud": "x"}),
        lambda: db.bulk_update("Item", [{"id": 1, "loud": "x"}]),
        lambda: db.bulk_update("Item", {"id": 1}, {"loud": "x"}),
    ):
        with pytest.raises(RecordValidationError, match=ALWAYS):
            change()
    assert db.count("Item") == before


def test_keys_that_bulk_calls_cannot_ask_for_are_not_returned(postgres_db: DataFlow):
    class Base(DeclarativeBase):
        pass

    class Paper(Base):
        __tablename__ = "papers"
        id: Mapped[str] = mapped_column(
            primary_key=True, server_default=sa.text("gen_random_uuid()::text")
        )
        name: Mapped[str]

    postgres_db.adopt(Paper)
    rows = names("a", 2)

    for options in ({"returning": "ids"}, {"returning": "records", "on_error": "collect"}):
        with pytest.raises(ParameterError) as caught:
            postgres_db.bulk_create(Paper, rows, **options)
        assert caught.value.problem_text() == (
            "Paper.id is made by the database in a way that bulk calls cannot ask for."
        )
        assert caught.value.advice() == "give the keys in the rows, or leave returning out"
    assert postgres_db.bulk_create(Paper, rows)["inserted"] == 2
    given = [{"id": "x", "name": "n"}]
    assert postgres_db.bulk_create(Paper, given, returning="ids")["ids"] == ["x"]


def test_a_key_without_a_sequence_takes_the_values_it_is_given(postgres_db: DataFlow):
    db = postgres_db
    portal.call(
        db.database.execute("CREATE TABLE items (id int PRIMARY KEY, name text UNIQUE)", ())
    )
    declare(db, mapped_column(primary_key=True))

    assert db.create("Item", {"id": 7, "name": "a"})["id"] == 7
    db.bulk_create("Item", [{"id": 8, "name": "b"}])
    db.bulk_upsert("Item", [{"id": 8, "name": "c"}])
    with pytest.raises(SchemaDriftError, match="column 'id' of 'items' makes no keys"):
        db.bulk_create("Item", names("d", 1), returning="ids")
    assert db.count("Item") == 2
