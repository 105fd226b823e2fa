"""Kinds of values in pipelines: how results are decoded into declared types."""

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dataflow.models.columntypes import JsonValue
from dataflow.query.kinds import (
    ANY,
    BOOL,
    DECIMAL,
    FLOAT,
    INSTANT,
    INT,
    NULL,
    TEXT,
    Array,
    Document,
    DynamicNumber,
    JsonText,
    Kind,
    Scalar,
    kind_of,
)

DIALECTS = [postgresql.dialect(), sqlite.dialect()]  # type: ignore[no-untyped-call]  # SQLAlchemy's own


class Colour(enum.Enum):
    RED = "red"


def scalar(family: Any, declared: Any) -> Scalar:
    return Scalar(family, sa.Text(), declared)


DECODED: list[tuple[Kind, str, Any]] = [
    (INT, "5", 5),
    (FLOAT, "5", 5.0),
    (DECIMAL, '"1.50"', Decimal("1.50")),
    (TEXT, '"1.5"', "1.5"),
    (BOOL, "true", True),
    (NULL, "null", None),
    (INSTANT, '"2024-01-31T10:00:00+02:00"', dt.datetime(2024, 1, 31, 8, tzinfo=dt.UTC)),
    (INSTANT, '"2024-01-31 08:00:00"', dt.datetime(2024, 1, 31, 8, tzinfo=dt.UTC)),
    (scalar("date", dt.date), '"2024-01-31"', dt.date(2024, 1, 31)),
    (scalar("time", dt.time), '"10:30:00"', dt.time(10, 30)),
    (scalar("duration", dt.timedelta), "1500000", dt.timedelta(seconds=1.5)),
    (scalar("uuid", uuid.UUID), f'"{uuid.UUID(int=7)}"', uuid.UUID(int=7)),
    (scalar("bytes", bytes), '"00ff"', b"\x00\xff"),
    (scalar("text", Colour), '"red"', Colour.RED),
    (ANY, '{"a": [1, null]}', {"a": [1, None]}),
    (Array(DECIMAL), '["1.5", null]', [Decimal("1.5"), None]),
    (Array(Array(FLOAT)), "[[1], null]", [[1.0], None]),
    (Document({"d": DECIMAL, "n": INT}), '{"n": 1, "d": "2.0"}', {"d": Decimal("2.0"), "n": 1}),
    (Document({"d": DECIMAL, "gone": INT}), '{"d": null}', {"d": None}),
    (Array(Document({"at": scalar("date", dt.date)})), '[{"at": "2024-01-31"}]',
     [{"at": dt.date(2024, 1, 31)}]),
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(("kind", "text", "value"), DECODED, ids=str)
def test_json_text_is_decoded_into_the_declared_types(
    dialect: Any, kind: Kind, text: str, value: Any
):
    found = JsonText(kind).from_driver(dialect)(text)

    assert found == value
    assert type(found) is type(value)


def test_a_document_without_conversions_is_read_by_json_alone():
    assert JsonText(Array(INT)).from_driver(DIALECTS[0]) is json.loads


@pytest.mark.parametrize(
    ("value", "found"),
    [(Decimal(5), 5), (Decimal("5.0"), 5.0), (Decimal("1E+2"), 100.0), (Decimal("0.1"), 0.1)],
)
def test_a_number_out_of_json_is_what_is_written_there(value: Decimal, found: float):
    read = DynamicNumber().from_driver(DIALECTS[0])

    assert read is not None
    assert read(value) == found
    assert type(read(value)) is type(found)


@pytest.mark.parametrize(
    ("type_", "declared", "family"),
    [(sa.Boolean(), bool, "bool"), (sa.BigInteger(), int, "int"), (sa.Date(), dt.date, "date"),
     (sa.Text(), str, "text"), (sa.Uuid(), uuid.UUID, "uuid"), (sa.LargeBinary(), bytes, "bytes")],
    ids=str,
)  # fmt: skip
def test_a_column_is_of_the_kind_of_its_type(type_: Any, declared: Any, family: str):
    assert kind_of(type_, declared) == Scalar(family, type_, declared)  # type: ignore[arg-type]  # one of them


def test_a_json_column_is_never_missing():
    column = JsonValue()

    assert getattr(kind_of(column, dict), "declared", None) is column
