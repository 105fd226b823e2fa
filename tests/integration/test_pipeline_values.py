"""What expressions and accumulators yield at the edges is the same on every database."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import DataValueError

NEW_YEAR = dt.date(2026, 1, 1)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 2


@pytest.fixture
def edges(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Edge:
        number: int = 0
        size: float = 0.0
        at: dt.datetime | None = None
        colour: Colour | None = None
        rank: Rank | None = None
        tags: list[str] | None = None
        days: list[dt.date] | None = None
        doc: dict[str, Any] | None = None

    return db


def value_of(db: DataFlow, expression: Any) -> Any:
    (row,) = db.query("Edge").aggregate([{"$project": {"value": expression}}])
    return row.value


@pytest.mark.parametrize(("name", "value"), [("tags", ["a"]), ("doc", {"k": 1})])
def test_the_first_and_the_last_may_be_a_null_document(edges: DataFlow, name: str, value: Any):
    edges.bulk_create("Edge", [{}, {name: value}, {name: value}, {}])
    group = {"_id": None, "first": {"$first": f"${name}"}, "last": {"$last": f"${name}"}}
    (row,) = edges.query("Edge").sort("id").aggregate([{"$group": group}])
    assert (row.first, row.last) == (None, None)
    some = edges.query("Edge").where({"id": {"$in": [2, 3]}}).sort("id")
    (row,) = some.aggregate([{"$group": group}])
    assert (row.first, row.last) == (value, value)
    filled = {"$group": {"_id": None, "none": {"$first": {"$ifNull": [f"${name}", "none"]}}}}
    (row,) = edges.query("Edge").sort("id").aggregate([filled])
    assert row.none == "none"


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ({"$ifNull": ["$colour", "none"]}, ["red", "none"]),
        ({"$cond": [{"$eq": ["$colour", "red"]}, "$colour", "other"]}, ["red", "other"]),
        ({"$ifNull": ["$rank", 0]}, [2, 0]),
        ({"$ifNull": ["$tags", "none"]}, [["a"], "none"]),
        ({"$ifNull": ["$doc", "$tags"]}, [{"k": 1}, None]),
        ({"$ifNull": ["$colour", None]}, [Colour.RED, None]),
        ({"$ifNull": ["$days", []]}, [[NEW_YEAR], []]),
        ({"$ifNull": ["$days", None]}, [[NEW_YEAR], None]),
        ({"$cond": ["$rank", "$days", None]}, [[NEW_YEAR], None]),
        ({"$ifNull": ["$days", "none"]}, [["2026-01-01"], "none"]),
        ({"$cond": ["$rank", "$rank", None]}, [Rank.HIGH, None]),
    ],
)
def test_values_beside_others_are_what_both_can_be(
    edges: DataFlow, expression: Any, values: list[Any]
):
    given = {"colour": Colour.RED, "rank": Rank.HIGH, "tags": ["a"], "doc": {"k": 1}}
    given["days"] = [NEW_YEAR]
    edges.bulk_create("Edge", [given, {}])
    found = edges.query("Edge").sort("id").aggregate([{"$project": {"value": expression}}])
    assert [row.value for row in found] == values
    assert [type(row.value) for row in found] == list(map(type, values))
    groups = edges.query("Edge").aggregate([{"$group": {"_id": expression}}])
    assert len(groups) == 2


@pytest.mark.parametrize(("other", "rest"), [([], []), (None, None)])
def test_lists_that_a_group_made_keep_their_values(edges: DataFlow, other: Any, rest: Any):
    edges.bulk_create("Edge", [{"number": n, "at": dt.datetime(2026, 1, 1 + n)} for n in (0, 1)])
    stages = [
        {"$group": {"_id": "$number", "at": {"$push": "$at"}}},
        {"$project": {"at": {"$cond": ["$_id", "$at", other]}}},
        {"$sort": {"_id": 1}},
    ]
    found = edges.query("Edge").aggregate(stages)
    assert [row.at for row in found] == [rest, [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)]]


@pytest.mark.parametrize("group", [{"_id": None}, {"_id": {}}, {"_id": None, "n": {"$sum": None}}])
def test_one_group_of_all_needs_no_accumulators(edges: DataFlow, group: dict[str, Any]):
    assert edges.query("Edge").aggregate([{"$group": group}]) == []
    edges.bulk_create("Edge", [{}, {}])
    (row,) = edges.query("Edge").aggregate([{"$group": group}])
    assert dict(row) == {name: 0 if name == "n" else value for name, value in group.items()}


def test_the_last_microsecond_of_a_day_is_of_that_day(edges: DataFlow):
    last = dt.datetime.combine(dt.date(2024, 12, 31), dt.time.max, dt.UTC)  # a Tuesday
    edges.create("Edge", at=last)
    parts = {"$dayOfWeek": 3, "$dayOfMonth": 31, "$dayOfYear": 366, "$month": 12, "$year": 2024}
    parts |= {"$hour": 23, "$minute": 59, "$second": 59}
    assert {part: value_of(edges, {part: "$at"}) for part in parts} == parts


@pytest.mark.parametrize(
    "expression", [{"$add": ["$number", "$number"]}, {"$multiply": ["$number", 4]}]
)
def test_whole_numbers_that_outgrow_64_bits_are_refused(edges: DataFlow, expression: Any):
    edges.create("Edge", number=2**62 + 1)
    with pytest.raises(DataValueError, match="out of range"):
        value_of(edges, expression)


def test_a_sum_that_outgrows_64_bits_is_refused_or_whole(edges: DataFlow):
    edges.bulk_create("Edge", [{"number": 2**62 + 1}] * 3)
    total = {"$sum": "$number"}
    if edges.database.driver.name == "postgresql":
        assert edges.query("Edge").aggregate([total]) == 3 * (2**62 + 1)
    else:
        with pytest.raises(DataValueError, match="overflow"):
            edges.query("Edge").aggregate([total])


@pytest.mark.parametrize(
    ("value", "divisor", "rest"),
    [(1.0, 0.1, 0.0), (0.3, 0.1, 0.0), (1e16, 7.0, 4.0), (5.5, 2, 1.5), (-5.5, 2, -1.5)],
)
def test_remainders_of_floats_are_those_of_their_digits(
    edges: DataFlow, value: float, divisor: float, rest: float
):
    edges.create("Edge", size=value)
    found = value_of(edges, {"$mod": ["$size", divisor]})
    assert (found, type(found)) == (rest, float)


@pytest.mark.parametrize(("value", "rest"), [(2**62 + 1, 1), (-(2**62) - 1, -1)])
def test_remainders_of_large_whole_numbers_are_exact(edges: DataFlow, value: int, rest: int):
    edges.create("Edge", number=value)
    assert value_of(edges, {"$mod": ["$number", 2**61]}) == rest


@pytest.mark.parametrize(
    "expression",
    [
        {"$multiply": [None, None]},
        {"$add": [None, None]},
        {"$mod": [None, None]},
        {"$divide": [None, None]},
        {"$abs": None},
        {"$ifNull": [None, None]},
        {"$concat": [None, None]},
        {"$year": None},
        {"$cond": [{"$eq": ["$number", 0]}, {"$ifNull": [None, None]}, 2]},
    ],
)
def test_what_is_made_of_nulls_alone_is_null(edges: DataFlow, expression: Any):
    edges.create("Edge", {})
    assert value_of(edges, expression) is None
