"""What a value becomes for each driver, and back."""

import datetime as dt
import enum
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.dialects.sqlite import aiosqlite

from dataflow.errors import DataValueError
from dataflow.models.columntypes import (
    EncodedJson,
    EnumValue,
    ExactDecimal,
    JsonValue,
    Microseconds,
    UtcDateTime,
    utc_of,
)

SQLITE = aiosqlite.dialect()
POSTGRES = asyncpg.dialect()


def to_driver(kind: Any, value: Any, dialect: Any = SQLITE) -> Any:
    convert = kind.bind_processor(dialect)
    return value if convert is None else convert(value)


def from_driver(kind: Any, value: Any, dialect: Any = SQLITE) -> Any:
    convert = kind.result_processor(dialect, None)
    return value if convert is None else convert(value)


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


def test_an_instant_is_text_of_fixed_width_in_utc_on_sqlite():
    plus_two = dt.timezone(dt.timedelta(hours=2))
    values = [dt.datetime(2024, 1, 2, 3), dt.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=plus_two)]

    texts = [to_driver(UtcDateTime(), value) for value in values]

    assert texts == ["2024-01-02 03:00:00.000000+00:00", "2024-01-02 01:04:05.000006+00:00"]


@given(st.lists(st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)), min_size=2))
def test_instants_sort_as_text_by_time(values: list[dt.datetime]):
    texts = [to_driver(UtcDateTime(), value) for value in values]

    assert [from_driver(UtcDateTime(), text) for text in sorted(texts)] == [
        utc_of(value) for value in sorted(values)
    ]


@pytest.mark.parametrize(
    "text", ["2024-01-02 03:00:00", "2024-01-02T03:00:00Z", "2024-01-02 03:00:00+00:00"]
)
def test_instants_that_other_programs_wrote_are_read(text: str):
    assert from_driver(UtcDateTime(), text) == dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC)


def test_an_instant_stays_a_datetime_in_utc_on_postgresql():
    value = to_driver(UtcDateTime(), dt.datetime(2024, 1, 2), POSTGRES)

    assert value == dt.datetime(2024, 1, 2, tzinfo=dt.UTC)


@given(st.decimals(allow_nan=False, allow_infinity=False).filter(lambda d: abs(d.adjusted()) < 400))
def test_a_decimal_is_exact_text_on_sqlite(value: Decimal):
    text = to_driver(ExactDecimal(), value)

    assert "e" not in text.lower()
    assert from_driver(ExactDecimal(), text) == value


def test_a_decimal_with_places_is_filled_up_and_never_rounded_to_28_digits():
    kind = ExactDecimal(40, 10)

    assert to_driver(kind, Decimal("1.5")) == "1.5000000000"
    assert to_driver(kind, Decimal("1" * 30)) == "1" * 30 + ".0000000000"


@given(st.timedeltas(dt.timedelta(days=-(10**6)), dt.timedelta(days=10**6)))
def test_a_duration_is_whole_microseconds_on_sqlite(value: dt.timedelta):
    stored = to_driver(Microseconds(), value)

    assert isinstance(stored, int)
    assert from_driver(Microseconds(), stored) == value


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])
def test_an_enum_is_stored_as_its_value(dialect: Any):
    assert to_driver(EnumValue(Color), Color.RED, dialect) == "red"
    assert to_driver(EnumValue(Level), Level.LOW, dialect) == 1
    assert from_driver(EnumValue(Color), "red", dialect) is Color.RED
    assert from_driver(EnumValue(Level), 1, dialect) is Level.LOW


@pytest.mark.parametrize(
    "kind",
    [UtcDateTime(), ExactDecimal(), Microseconds(), EnumValue(Color), JsonValue(dict),
     JsonValue(list[int])],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=["sqlite", "postgres"])
def test_none_is_null_for_every_type(kind: Any, dialect: Any):
    assert to_driver(kind, None, dialect) is None
    assert from_driver(kind, None, dialect) is None


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab\\u0"), inner),
    max_leaves=8,
)


@given(documents)
def test_a_document_is_json_text(value: Any):
    text = to_driver(JsonValue(Any), value)

    if value is not None:
        assert json.loads(text) == value
        assert from_driver(JsonValue(Any), text) == value


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\u0000b", "u0000"])
def test_text_that_looks_like_an_escaped_nul_is_no_nul(text: str):
    assert json.loads(to_driver(JsonValue(dict), {"a": text})) == {"a": text}


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ({"a": "x\0"}, "JSON text cannot hold the character U+0000"),
        ({"\0": 1}, "JSON text cannot hold the character U+0000"),
        ({"a": "\\\0"}, "JSON text cannot hold the character U+0000"),
    ],
    ids=str,
)
def test_a_document_with_a_nul_is_refused(value: Any, detail: str):
    with pytest.raises(DataValueError) as caught:
        to_driver(JsonValue(dict), value)

    assert str(caught.value) == f"the database refused a value: {detail}\n  code: DF210"


@pytest.mark.parametrize(
    "value", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": "\ud800"}, {1: 2}],
    ids=["nan", "inf", "object", "surrogate", "number as key"],
)  # fmt: skip
def test_what_is_no_json_is_refused(value: Any):
    with pytest.raises(DataValueError):
        to_driver(JsonValue(dict), value)


def test_a_document_that_contains_itself_is_refused():
    value: dict[str, Any] = {}
    value["self"] = value

    with pytest.raises(DataValueError):
        to_driver(JsonValue(dict), value)


def test_a_document_that_was_encoded_is_taken_as_it_is():
    assert to_driver(JsonValue(dict), EncodedJson('{"a":1}')) == '{"a":1}'
