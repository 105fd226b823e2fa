"""Values that fit no column get the same verdict on every database, alone and in bulk."""

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pydantic
import pytest

from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError


class Color(enum.Enum):
    RED = "red"


NAN, INF = float("nan"), float("inf")
REFUSED: dict[str, tuple[Any, Any, Any]] = {
    "nan": (float, None, NAN),
    "inf": (float, None, INF),
    "-inf": (float, None, -INF),
    "optional nan": (float | None, None, NAN),
    "constrained nan": (float, Field(ge=0), NAN),
    "too large an int for a float": (float, None, 10**400),
    "2**63": (int, None, 2**63),
    "-2**63-1": (int, None, -(2**63) - 1),
    "optional 2**63": (int | None, None, 2**63),
    "constrained 2**63": (int, Field(ge=0), 2**63),
    "2**63 under a higher bound": (int, Field(le=2**70), 2**63),
    "below an annotated bound": (Annotated[int, pydantic.Field(ge=0)], None, -1),
    "1.9 for an int": (int, None, 1.9),
    "inf for an int": (int, None, INF),
    "text for an int": (int, None, "abc"),
    "None for an int": (int, None, None),
    "number for a text": (str, None, 5),
    "NUL": (str, None, "a\0b"),
    "NUL with a pattern": (str, Field(pattern="a.*"), "a\0b"),
    "NUL in an optional text": (str | None, None, "\0"),
    "NUL in an annotated text": (Annotated[str, pydantic.Field(min_length=1)], None, "\0"),
    "NUL with a maximal length": (str, Field(max_length=9), "a\0b"),
    "lone surrogate": (str, None, "a\ud800"),
    "lone surrogate with a pattern": (str, Field(pattern="a.*"), "a\ud800"),
    "11 characters into 10": (str, Field(max_length=10), "x" * 11),
    "300 characters into 10": (str, Field(max_length=10), "x" * 300),
    "too short a text": (str, Field(min_length=2), "x"),
    "another pattern": (str, Field(pattern=r"^\d+$"), "12a"),
    "below ge": (int, Field(ge=1), 0),
    "above le": (int, Field(le=1), 2),
    "at gt": (float, Field(gt=1), 1.0),
    "at lt": (float, Field(lt=1), 1.0),
    "wrong enum": (Color, None, "green"),
    "name instead of an enum's value": (Color, None, "RED"),
    "wrong literal": (Literal["a", "b"], None, "c"),
    "wrong bool": (bool, None, "perhaps"),
    "2 for a bool": (bool, None, 2),
    "instant after the year 9999": (
        dt.datetime, None,
        dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
    ),
    "instant before the year 1": (
        dt.datetime, None,
        dt.datetime(1, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5))),
    ),
    "instant that PostgreSQL calls infinity": (dt.datetime, None, dt.datetime.max),
    "instant that PostgreSQL calls minus infinity": (dt.datetime, None, dt.datetime.min),
    "no date": (dt.date, None, "2024-02-30"),
    "date with a time": (dt.date, None, dt.datetime(2024, 1, 1, 12)),
    "time with a zone": (dt.time, None, dt.time(1, tzinfo=dt.UTC)),
    "Decimal NaN": (Decimal, None, Decimal("NaN")),
    "Decimal infinity": (Decimal, None, Decimal("Infinity")),
    "too many digits": (Decimal, Field(max_digits=5, decimal_places=2), Decimal("1234.56")),
    "too many places": (Decimal, Field(max_digits=5, decimal_places=2), Decimal("1.234")),
    "Decimal larger than any database's": (Decimal, None, Decimal("1E+200000")),
    "Decimal smaller than any database's": (Decimal, None, Decimal("1E-20000")),
    "timedelta larger than any database's": (dt.timedelta, None, dt.timedelta.max),
    "timedelta smaller than any database's": (dt.timedelta, None, dt.timedelta.min),
    "no UUID": (uuid.UUID, None, "not-a-uuid"),
    "text for a list": (list, None, "abc"),
    "item of another type": (list[int], None, [1, "x"]),
    "NaN in a typed document": (dict[str, float], None, {"a": NAN}),
}  # fmt: skip
NOT_JSON: dict[str, Any] = {
    "NaN": {"a": NAN},
    "infinity": {"a": [INF]},
    "NUL": {"a": "x\0y"},
    "NUL in a key": {"a\0": 1},
    "lone surrogate": {"a": "\ud800"},
    "a set": {"a": {1}},
    "an object": {"a": object()},
}


def declare(db: DataFlow, annotation: Any, field: Any) -> None:
    if field is None:

        @db.model(timestamps=False)
        class Thing:
            id: int
            value: annotation  # type: ignore[valid-type]  # a parameter of the test

    else:

        @db.model(timestamps=False)
        class Thing:
            id: int
            value: annotation = field  # type: ignore[valid-type]  # a parameter of the test


def verdict(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(DataFlowError) as caught:
        call(*args, **options)
    return caught.value.code


@pytest.mark.parametrize(("annotation", "field", "value"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_does_not_fit_is_refused_by_every_verb(
    db: DataFlow, annotation: Any, field: Any, value: Any
):
    declare(db, annotation, field)

    codes = [
        verdict(db.create, "Thing", {"value": value}),
        verdict(db.bulk_create, "Thing", [{"value": value}]),
        verdict(db.bulk_create, "Thing", [{"value": value}] * 3, returning="ids"),
        verdict(db.bulk_upsert, "Thing", [{"id": 1, "value": value}]),
        verdict(db.update, "Thing", 1, {"value": value}),
        verdict(db.bulk_update, "Thing", [{"id": 1, "value": value}]),
        verdict(db.bulk_update, "Thing", {"id": 1}, {"value": value}),
    ]

    collected = db.bulk_create("Thing", [{"value": value}], on_error="collect")

    rejected = [(item["index"], item["field"][:5]) for item in collected["rejected"]]
    assert codes == ["DF201"] * 7
    assert (collected["inserted"], rejected) == (0, [(0, "value")])
    assert db.count("Thing") == 0


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON)
def test_a_document_that_is_no_json_is_refused(db: DataFlow, value: Any):
    declare(db, dict, None)

    codes = {
        verdict(db.create, "Thing", {"value": value}),
        verdict(db.bulk_create, "Thing", [{"value": value}]),
        verdict(db.update, "Thing", 1, {"value": value}),
    }
    collected = db.bulk_create("Thing", [{"value": value}, {"value": {}}], on_error="collect")

    rejected = [(item["index"], item["field"]) for item in collected["rejected"]]
    assert codes == {"DF201"}
    assert (collected["inserted"], rejected) == (1, [(0, "value")])


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, NAN), (int, 2**63), (int, 1.9), (str, "a\0"), (str, "\ud800"), (Color, "green"),
        (dt.timedelta, dt.timedelta.max), (Decimal, Decimal("1E+200000")),
    ],
    ids=str,
)  # fmt: skip
def test_a_filter_refuses_values_that_no_record_can_have(db: DataFlow, annotation: Any, value: Any):
    declare(db, annotation, None)

    codes = {
        verdict(db.list, "Thing", {"value": value}),
        verdict(db.list, "Thing", {"value": {"$in": [value]}}),
        verdict(db.list, "Thing", {"value": {"$ne": value}}),
    }

    assert codes == {"DF201"}


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (int, "abc"), (int, 1.9), (int, 2**63), (float, NAN), (str, 5), (str, "\0"),
        (Color, "green"), (bool, None), (dict, {"a": NAN}), (Literal["a"], "b"),
    ],
    ids=str,
)  # fmt: skip
def test_a_default_that_does_not_fit_is_refused_when_the_model_is_declared(
    memory: DataFlow, annotation: Any, default: Any
):
    with pytest.raises(DataFlowError) as caught:
        declare(memory, annotation, Field(default=default))

    assert caught.value.code in ("DF105", "DF201")


@pytest.mark.parametrize(
    ("given", "stored"),
    [("5", 5), (5.0, 5), (True, 1)],
    ids=["numeric text", "whole float", "bool"],
)
def test_lossless_spellings_of_a_number_are_stored_as_the_number(
    db: DataFlow, given: Any, stored: int
):
    declare(db, int, None)

    created = db.create("Thing", {"value": given})

    assert (type(created["value"]), created["value"]) == (int, stored)


def test_a_text_of_exactly_the_maximal_length_in_characters_fits(db: DataFlow):
    declare(db, str, Field(max_length=10))

    created = db.create("Thing", {"value": "😀" * 10})

    assert created["value"] == "😀" * 10
