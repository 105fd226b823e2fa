"""Values come back in the declared type, the same on every database."""

import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired

import annotated_types
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import TypedDict

from dataflow import DataFlow, Field
from dataflow.errors import RecordValidationError

PLUS_TWO = dt.timezone(dt.timedelta(hours=2))


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tone(enum.StrEnum):
    DARK = "dark"
    LIGHT = "light"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Number(enum.Enum):
    ONE = 1
    BIG = 2**40


class Address(TypedDict):
    street: str
    floor: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: float
    at: dt.date | None = None


class Price(pydantic.BaseModel):
    amount: Decimal
    currency: str = "EUR"
    since: dt.datetime | None = None


TEXTS = [
    "",
    " leading and trailing ",
    "Grüße, 世界, עברית",
    "👩‍👩‍👧‍👦 🏳️‍🌈",
    "e\u0301 is not é",
    'it\'s "quoted" `so`',
    "100% %s %(name)s $1 :name ?",
    "C:\\path\\new \\\\ \\u0041 \\x00",
    "line\nline\r\n\ttab",
    "{not: a template} {{}}",
    "'; DROP TABLE things; --",
    "a" * 10_000,
]
SCALARS: dict[str, tuple[Any, list[Any]]] = {
    "int": (int, [0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]),
    "float": (float, [0.0, 0.1, 1 / 3, 1e308, -1e308, 5e-324, 1e-7, 123456789.123456789]),
    "bool": (bool, [True, False]),
    "str": (str, TEXTS),
    "bytes": (bytes, [b"", b"\x00\xff\xfe", bytes(range(256)), b"it's \\x41"]),
    "Decimal": (
        Decimal,
        [
            Decimal(0),
            Decimal("0.1"),
            Decimal("-12345678901234567890123456789012345678.1234567890123456789"),
            Decimal("1E-30"),
            Decimal("1" + "0" * 40 + "1"),
        ],
    ),
    "date": (dt.date, [dt.date.min, dt.date(1969, 12, 31), dt.date(2024, 2, 29), dt.date.max]),
    "time": (dt.time, [dt.time.min, dt.time(12, 30), dt.time.max]),
    "datetime": (
        dt.datetime,
        [
            dt.datetime(1, 1, 1, microsecond=1, tzinfo=dt.UTC),
            dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
            dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
            dt.datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=dt.UTC),
        ],
    ),
    "timedelta": (
        dt.timedelta,
        [
            dt.timedelta(0),
            dt.timedelta(microseconds=-1),
            dt.timedelta(days=-400, seconds=5),
            dt.timedelta(days=36_500, hours=23, microseconds=999_999),
        ],
    ),
    "UUID": (uuid.UUID, [uuid.UUID(int=0), uuid.uuid4(), uuid.UUID(int=2**128 - 1)]),
    "Enum": (Color, list(Color)),
    "StrEnum": (Tone, list(Tone)),
    "IntEnum": (Level, list(Level)),
    "Enum of numbers": (Number, list(Number)),
    "Literal of texts": (Literal["new", "done"], ["new", "done"]),
    "Literal of numbers": (Literal[1, 2], [1, 2]),
    "Annotated": (Annotated[int, annotated_types.Ge(0)], [0, 7]),
    "Annotated text": (Annotated[str, pydantic.Field(max_length=3)], ["", "abc"]),
    "Optional": (int | None, [None, 0, 5]),
    "Optional text": (str | None, [None, "", "None", "null"]),
    "Optional datetime": (dt.datetime | None, [None, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)]),
    "Optional Decimal": (Decimal | None, [None, Decimal("1.5")]),
    "Optional Enum": (Color | None, [None, Color.RED]),
    "Optional UUID": (uuid.UUID | None, [None, uuid.UUID(int=5)]),
    "Optional bytes": (bytes | None, [None, b""]),
    "Optional timedelta": (dt.timedelta | None, [None, dt.timedelta(1)]),
}
DOCUMENTS: dict[str, tuple[Any, list[Any]]] = {
    "dict": (dict, [{}, {"a": [1, 2.5, None, True, {"b": "ü\\n%"}]}, {"$eq": 1}]),
    "list": (list, [[], [1, "two", None, [3]], ["'\"\\"]]),
    "dict of int": (dict[str, int], [{}, {"a": 1}]),
    "list of str": (list[str], [[], ["a", "😀"]]),
    "list of Decimal": (list[Decimal], [[Decimal("0.10")]]),
    "set": (set[int], [set(), {1, 2}]),
    "tuple": (tuple[int, str], [(1, "a")]),
    "TypedDict": (Address, [{"street": "Elm"}, {"street": "Elm", "floor": 3}]),
    "dataclass": (Point, [Point(1, 0.5), Point(2, 1.0, dt.date(2024, 1, 1))]),
    "pydantic": (
        Price,
        [
            Price(amount=Decimal("9.90")),
            Price(amount=Decimal(1), since=dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        ],
    ),
    "list of pydantic": (list[Price], [[], [Price(amount=Decimal(1))]]),
    "Any": (Any, [1, "text", [1], {"a": None}, True]),
    "Optional dict": (dict | None, [None, {}, {"a": None}]),
    "Optional pydantic": (Price | None, [None, Price(amount=Decimal(2))]),
}


def declare(db: DataFlow, annotation: Any) -> None:
    @db.model(timestamps=False)
    class Thing:
        id: int
        value: annotation  # type: ignore[valid-type]  # a parameter of the test


def typed(values: list[Any]) -> list[tuple[type, str]]:
    """Values with their types; `repr` tells apart what `==` does not."""
    # asyncpg's UUID is a subclass of the standard one.
    return [
        (uuid.UUID if isinstance(value, uuid.UUID) else type(value), repr(value))
        for value in values
    ]


@pytest.mark.parametrize(("annotation", "values"), SCALARS.values(), ids=SCALARS)
def test_a_scalar_comes_back_as_it_was_given(db: DataFlow, annotation: Any, values: list[Any]):
    declare(db, annotation)

    created = [db.create("Thing", {"value": value})["value"] for value in values]
    bulk = db.bulk_create("Thing", [{"value": v} for v in values], returning="records")["records"]
    listed = db.list("Thing", {}, sort="id")["records"]

    assert typed(created) == typed(values)
    assert typed([record["value"] for record in bulk]) == typed(values)
    assert typed([record["value"] for record in listed]) == typed(values * 2)


@pytest.mark.parametrize(("annotation", "values"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_comes_back_as_it_was_given(db: DataFlow, annotation: Any, values: list[Any]):
    declare(db, annotation)

    created = [db.create("Thing", {"value": value})["value"] for value in values]
    bulk = db.bulk_create("Thing", [{"value": v} for v in values], returning="records")["records"]
    listed = db.list("Thing", {}, sort="id")["records"]

    assert created == values
    assert [type(value) for value in created] == [type(value) for value in values]
    assert [record["value"] for record in bulk] == values
    assert [record["value"] for record in listed] == values * 2


@pytest.mark.parametrize(("annotation", "values"), SCALARS.values(), ids=SCALARS)
def test_a_scalar_is_found_by_its_value_and_in_a_list(
    db: DataFlow, annotation: Any, values: list[Any]
):
    declare(db, annotation)
    ids = db.bulk_create("Thing", [{"value": value} for value in values], returning="ids")["ids"]

    by_value = [
        [record["id"] for record in db.list("Thing", {"value": value})["records"]]
        for value in values
    ]
    in_list = db.list("Thing", {"value": {"$in": values}}, sort="id")["records"]

    assert by_value == [[key] for key in ids]
    assert [record["id"] for record in in_list] == ids


@pytest.mark.parametrize(("annotation", "values"), SCALARS.values(), ids=SCALARS)
def test_a_scalar_is_updated_and_upserted_as_given(
    db: DataFlow, annotation: Any, values: list[Any]
):
    declare(db, annotation)
    db.bulk_create("Thing", [{"value": values[0]} for _ in values])

    updated = [db.update("Thing", key, {"value": v})["value"] for key, v in enumerate(values, 1)]
    db.bulk_update("Thing", [{"id": k, "value": v} for k, v in enumerate(reversed(values), 1)])
    after_update = [record["value"] for record in db.list("Thing", sort="id")["records"]]
    db.bulk_upsert("Thing", [{"id": k, "value": v} for k, v in enumerate(values, 1)])
    after_upsert = [record["value"] for record in db.list("Thing", sort="id")["records"]]

    assert typed(updated) == typed(values)
    assert typed(after_update) == typed(values[::-1])
    assert typed(after_upsert) == typed(values)


@pytest.mark.parametrize(("annotation", "values"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_is_updated_and_upserted_as_given(
    db: DataFlow, annotation: Any, values: list[Any]
):
    declare(db, annotation)
    db.bulk_create("Thing", [{"value": values[0]} for _ in values])

    updated = [db.update("Thing", key, {"value": v})["value"] for key, v in enumerate(values, 1)]
    db.bulk_update("Thing", [{"id": k, "value": v} for k, v in enumerate(reversed(values), 1)])
    after_update = [record["value"] for record in db.list("Thing", sort="id")["records"]]
    db.bulk_upsert("Thing", [{"id": k, "value": v} for k, v in enumerate(values, 1)])
    after_upsert = [record["value"] for record in db.list("Thing", sort="id")["records"]]

    assert updated == values
    assert after_update == values[::-1]
    assert after_upsert == values


@pytest.mark.parametrize(
    "name", ["int", "float", "str", "Decimal", "date", "time", "datetime", "timedelta", "bytes"]
)
def test_a_scalar_is_sorted_and_compared_by_value(db: DataFlow, name: str):
    annotation, values = SCALARS[name]
    declare(db, annotation)
    db.bulk_create("Thing", [{"value": value} for value in values])
    if name == "str":
        values = [value for value in values if value.isascii() and value.islower()]
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]

    above = db.list("Thing", {"value": {"$gt": middle, "$in": values}}, sort="value")["records"]
    between = db.list("Thing", {"value": {"$between": [ordered[0], middle], "$in": values}})

    assert [record["value"] for record in above] == [v for v in ordered if v > middle]
    assert between["count"] == len([v for v in ordered if v <= middle])


def test_a_naive_datetime_is_taken_as_utc(db: DataFlow):
    declare(db, dt.datetime)

    created = db.create("Thing", {"value": dt.datetime(2024, 5, 6, 7, 8, 9, 10)})

    assert created["value"].isoformat() == "2024-05-06T07:08:09.000010+00:00"


def test_an_aware_datetime_is_converted_to_utc(db: DataFlow):
    declare(db, dt.datetime)

    created = db.create("Thing", {"value": dt.datetime(2024, 5, 6, 1, tzinfo=PLUS_TWO)})
    found = db.list("Thing", {"value": dt.datetime(2024, 5, 5, 23)})["records"]

    assert created["value"].isoformat() == "2024-05-05T23:00:00+00:00"
    assert found == [created]


def test_instants_sort_by_time_whatever_zone_they_were_given_in(db: DataFlow):
    declare(db, dt.datetime)
    late = dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)
    early = dt.datetime(2024, 1, 1, 13, tzinfo=PLUS_TWO)
    db.bulk_create("Thing", [{"value": late}, {"value": early}])

    records = db.list("Thing", sort="value")["records"]

    assert [record["value"] for record in records] == [early, late]


def test_an_optional_document_of_none_is_null(db: DataFlow):
    declare(db, dict | None)
    db.bulk_create("Thing", [{"value": None}, {"value": {}}])

    records = db.list("Thing", {"value": {"$null": True}})["records"]

    assert records == [{"id": 1, "value": None}]


def test_a_decimal_with_places_keeps_all_its_digits(db: DataFlow):
    @db.model(timestamps=False)
    class Thing:
        id: int
        value: Decimal = Field(max_digits=40, decimal_places=10)

    value = Decimal("123456789012345678901234567890.0123456789")
    created = db.create("Thing", {"value": value})
    bulk = db.bulk_create("Thing", [{"value": value}], returning="records")["records"]

    assert created == {"id": 1, "value": value}
    assert bulk == [{"id": 2, "value": value}]


def test_a_decimal_with_places_is_filled_up_with_zeros_on_every_database(db: DataFlow):
    @db.model(timestamps=False)
    class Thing:
        id: int
        value: Decimal = Field(max_digits=10, decimal_places=2)

    created = db.create("Thing", {"value": Decimal("1.5")})

    assert str(created["value"]) == "1.50"


def test_large_floats_in_a_document_stay_floats(db: DataFlow):
    declare(db, dict)

    created = db.create("Thing", {"value": {"big": 1e22, "small": 1e-22, "one": 1.0}})

    assert {name: type(value) for name, value in created["value"].items()} == {
        "big": float, "small": float, "one": float,
    }  # fmt: skip


def test_large_whole_numbers_in_a_document_are_exact(db: DataFlow):
    declare(db, dict)

    created = db.create("Thing", {"value": {"n": 2**80 + 1}})

    assert created["value"] == {"n": 2**80 + 1}


@pytest.mark.parametrize("key", [1, None, 2.5, True])
def test_a_document_key_that_is_no_text_is_not_rewritten(db: DataFlow, key: Any):
    declare(db, dict)

    with pytest.raises(RecordValidationError):
        db.create("Thing", {"value": {key: "x"}})

    assert db.count("Thing") == 0


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
numbers = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "whole": numbers,
        "real": floats,
        "flag": st.booleans(),
        "words": text,
        "raw": st.binary(max_size=20),
        "exact": st.decimals(allow_nan=False, allow_infinity=False, places=12).filter(
            lambda value: abs(value) < Decimal(10) ** 40
        ),
        "day": st.dates(),
        "clock": st.times(),
        "moment": st.datetimes(
            dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)
        ),
        "span": st.timedeltas(dt.timedelta(days=-36_500), dt.timedelta(days=36_500)),
        "key": st.uuids(),
        "color": st.sampled_from(Color),
        "note": st.none() | text,
        "extra": st.dictionaries(text, documents, max_size=3),
    }
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(given_rows=st.lists(rows, min_size=1, max_size=5))
def test_any_values_come_back_unchanged(db: DataFlow, given_rows: list[dict[str, Any]]):
    if "Sample" not in db.list_models():

        @db.model(timestamps=False)
        class Sample:
            id: int
            whole: int
            real: float
            flag: bool
            words: str
            raw: bytes
            exact: Decimal
            day: dt.date
            clock: dt.time
            moment: dt.datetime
            span: dt.timedelta
            key: uuid.UUID
            color: Color
            note: str | None
            extra: dict

    one = db.create("Sample", given_rows[0])
    many = db.bulk_create("Sample", given_rows, returning="records")["records"]
    found = db.read("Sample", many[-1]["id"])

    assert {**one, "id": 0} == {"id": 0, **given_rows[0]}
    assert [{**record, "id": 0} for record in many] == [{"id": 0, **row} for row in given_rows]
    assert found == many[-1]
