"""Values that the database cannot hold: every verb refuses them by the same error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, INET
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dataflow import DataFlow
from dataflow.errors import DataValueError, RecordValidationError

Write = Callable[[DataFlow, dict[str, Any]], Any]
MANY = 600
WRITES: dict[str, Write] = {
    "create": lambda db, values: db.create("Item", values),
    "update": lambda db, values: db.update("Item", 1, values),
    "bulk_create": lambda db, values: db.bulk_create("Item", [values]),
    "keys": lambda db, values: db.bulk_create("Item", [values], returning="ids"),
    "copy": lambda db, values: db.bulk_create("Item", [{}] * MANY + [values]),
    "skip": lambda db, values: db.bulk_create("Item", [values], on_conflict="skip"),
    "rows": lambda db, values: db.bulk_update("Item", [{"id": 1, **values}]),
    "filter": lambda db, values: db.bulk_update("Item", {"id": 1}, values),
    "many rows": lambda db, values: db.bulk_update(
        "Item", [{"id": n, **values} for n in range(MANY)]
    ),
    "upsert": lambda db, values: db.bulk_upsert("Item", [{"id": 1, **values}]),
    "many upserts": lambda db, values: db.bulk_upsert(
        "Item", [{"id": n, **values} for n in range(MANY)]
    ),
}
writes = pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)


def declare(db: DataFlow, **columns: Any) -> None:
    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "items"
        id: Mapped[int] = mapped_column(primary_key=True)
        locals().update({name: mapped_column(kind) for name, kind in columns.items()})

    db.adopt(Item)
    db.create("Item", {"id": 1})


@writes
def test_what_no_database_can_hold_is_told_by_record_and_field(db: DataFlow, write: Write):
    declare(db, big=sa.BigInteger, text=sa.Text, at=sa.DateTime(timezone=True), doc=sa.JSON)
    values = (
        ("big", 2**63),
        ("text", "a\0b"),
        ("text", "\ud800"),
        ("at", "0001-01-01T00:00:00+05:00"),
        ("doc", {"a": "\0"}),
    )
    for field, value in values:
        with pytest.raises(RecordValidationError) as caught:
            write(db, {field: value})
        assert caught.value.model == "Item"
        assert caught.value.problems[0][1].partition(".")[0] == field
    assert db.count("Item") == 1


@writes
@pytest.mark.parametrize(("kind", "bits"), [(sa.SmallInteger, 15), (sa.Integer, 31)])
def test_numbers_too_wide_for_their_column_are_told_by_record_and_field(
    postgres_db: DataFlow, write: Write, kind: Any, bits: int
):
    declare(postgres_db, number=kind)
    write(postgres_db, {"number": -(2**bits)})
    before = postgres_db.count("Item")

    for wide in (2**bits, -(2**bits) - 1):
        with pytest.raises(RecordValidationError) as caught:
            write(postgres_db, {"number": wide})
        assert caught.value.problems[0][1] == "number"
        assert caught.value.problems[0][3] == wide
    assert postgres_db.count("Item") == before


def test_sqlite_holds_64_bits_in_any_column_of_whole_numbers(memory: DataFlow):
    declare(memory, number=sa.Integer)

    assert memory.create("Item", {"number": 2**40})["number"] == 2**40


def test_numbers_may_be_compared_with_wider_ones(db: DataFlow):
    declare(db, number=sa.SmallInteger)
    db.create("Item", {"id": 2, "number": 7})

    assert db.count("Item", {"number": {"$lt": 2**40}}) == 1
    assert db.count("Item", {"number": {"$in": [7, 2**40]}}) == 1
    assert db.count("Item", {"number": 2**40}) == 0
    assert db.count("Item", {"id": {"$between": [2, 2**40]}}) == 1


@writes
def test_what_the_driver_cannot_send_is_our_error_on_every_way(postgres_db: DataFlow, write: Write):
    declare(postgres_db, sizes=ARRAY(sa.Integer), host=INET, single=sa.REAL)

    for field, value in (("sizes", [2**40]), ("host", "no address"), ("single", 1e300)):
        with pytest.raises(DataValueError):
            write(postgres_db, {field: value})
    assert postgres_db.count("Item") == 1


def test_what_the_rows_of_a_caller_raise_is_left_alone(postgres_db: DataFlow):
    declare(postgres_db, number=sa.Integer)

    def rows() -> Iterator[dict[str, Any]]:
        yield from ({} for _ in range(20_000))
        message = "no more of them"
        raise ValueError(message)

    with pytest.raises(ValueError, match="no more of them"):
        postgres_db.bulk_create("Item", rows())
    assert postgres_db.count("Item") == 1
