"""Keys of every type name their records in the audit log as they name them anywhere."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from dataflow import DataFlow, Field


class Size(enum.Enum):
    SMALL = 1
    LARGE = 20


UTC_NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
KEYS: dict[Any, list[Any]] = {
    dt.datetime: [UTC_NOON + dt.timedelta(microseconds=n) for n in (0, 1, 120_000, -1, 10**12)],
    dt.date: [dt.date(2026, 1, 2), dt.date(1, 1, 1), dt.date(9999, 12, 31)],
    dt.time: [
        dt.time(1),
        dt.time(1, 2, 3),
        dt.time(1, 2, 3, 120_000),
        dt.time(23, 59, 59, 999_999),
    ],
    dt.timedelta: [dt.timedelta(microseconds=n) for n in (0, 1, -1, 86_400_000_000, 10**15 + 1)],
    float: [0.0, 3.0, -3.5, 0.1, 1e14, 1e15, 1125899906842624.2, 1e16, 1e22, -1e300, 5e-324, 1e-5],
    Decimal: [
        Decimal(text) for text in ("0", "1.5", "-2", "100", "0.000001", "12345678901234567890")
    ],
    uuid.UUID: [uuid.UUID(int=n) for n in (0, 1, 2**127)],
    bytes: [b"", b"\x00", b"\xff" * 20],
    Size: [Size.SMALL, Size.LARGE],
}


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("kind", list(KEYS), ids=lambda kind: kind.__name__)
def test_keys_of_every_type_are_found(db: DataFlow, kind: Any, many: bool):
    @db.model(audit=True, timestamps=False)
    class Thing:
        id: kind = Field(primary_key=True)
        place: int = Field(primary_key=True)

    @db.model(audit=True, timestamps=False)
    class Lone:
        id: kind = Field(primary_key=True)
        value: int = 0

    values = KEYS[kind]
    rest = [{"id": values[0], "place": n} for n in range(1, 120 if many else 1)]
    db.bulk_create("Thing", [{"id": value, "place": 0} for value in values] + rest)
    db.bulk_create("Lone", [{"id": value} for value in values])

    for value in values:
        assert [entry.action for entry in db.audit.get_by_entity("Lone", value)] == ["create"]
        found = db.audit.get_by_entity("Thing", (value, 0))
        assert [(entry.action, entry.after["id"]) for entry in found] == [("create", value)]
    assert db.audit.verify_records("Lone").ok
    assert db.audit.verify_records("Thing").ok


@pytest.mark.parametrize("kind", [dt.datetime, dt.timedelta, float, Size, Decimal, int])
def test_many_records_with_keys_of_every_type_are_found(db: DataFlow, kind: Any):
    makers: dict[Any, Callable[[int], Any]] = {
        dt.datetime: lambda n: UTC_NOON + dt.timedelta(microseconds=n * 1_000),
        dt.timedelta: lambda n: dt.timedelta(milliseconds=n),
        float: lambda n: n / 4,
        Size: enum.Enum("Size", {f"N{n}": n for n in range(1, 200)}),
        Decimal: lambda n: Decimal(n) / 4,
        int: int,
    }
    make = makers[kind]
    declared = make if kind is Size else kind

    @db.model(audit=True, timestamps=False)
    class Lone:
        id: declared = Field(primary_key=True)
        value: int = 0

    db.bulk_create("Lone", [{"id": make(n)} for n in range(1, 150)])

    for n in (1, 77, 149):
        found = db.audit.get_by_entity("Lone", make(n))
        assert [(entry.action, entry.after["id"]) for entry in found] == [("create", make(n))]
    assert db.audit.verify_records("Lone").ok


@pytest.mark.parametrize("many", [1, 150])
def test_decimal_keys_are_found_by_their_value(db: DataFlow, many: int):
    @db.model(audit=True, timestamps=False)
    class Price:
        id: Decimal = Field(primary_key=True)
        value: int = 0

    given = {"5": "5.00", "0.50": "0.5", "100": "1E+2", "-7.10": "-7.1"}
    db.bulk_create("Price", [{"id": Decimal(n)} for n in range(1_000, 1_000 + many)])
    db.bulk_create("Price", [{"id": Decimal(text)} for text in given])
    for text, other in given.items():
        db.update("Price", Decimal(other), {"value": 2})
        for key in (text, other):
            found = db.audit.get_by_entity("Price", Decimal(key))
            assert [entry.action for entry in found] == ["update", "create"]
    assert db.audit.verify_records("Price").ok


@pytest.mark.parametrize("kind", [int, str, float])
def test_models_that_have_a_key_alone_are_audited(db: DataFlow, kind: Any):
    @db.model(audit=True, timestamps=False)
    class Mark:
        id: kind = Field(primary_key=True)

    db.bulk_create("Mark", [{"id": kind(n)} for n in range(1, 151)])
    db.create("Mark", id=kind(200))
    db.bulk_delete("Mark", all=True)

    found = db.audit.get_by_entity("Mark", kind(7))
    assert [(entry.action, entry.before, entry.after) for entry in found] == [
        ("delete", {"id": kind(7)}, None),
        ("create", None, {"id": kind(7)}),
    ]
    assert db.audit.verify().ok


@pytest.mark.parametrize("many", [2, 300])
def test_records_that_get_another_key_are_gone_under_the_old_one(db: DataFlow, many: int):
    db.enable_audit_log()

    @db.model
    class Shelf:
        room: int = Field(primary_key=True)
        name: str = Field(primary_key=True)
        code: int = Field(unique=True)

    db.bulk_create("Shelf", [{"room": 1, "name": f"s{n}", "code": n} for n in range(many)])
    moved = [{"room": 2, "name": f"s{n}", "code": n} for n in range(many)]
    db.bulk_upsert("Shelf", moved, conflict_on="code")
    old = db.audit.get_by_entity("Shelf", {"room": 1, "name": "s1"})
    new = db.audit.get_by_entity("Shelf", {"room": 2, "name": "s1"})
    assert [entry.action for entry in old] == ["delete", "create"]
    assert [entry.action for entry in new] == ["create"]
    assert db.audit.verify_records("Shelf").ok
