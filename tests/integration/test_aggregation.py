"""Aggregation pipelines: equal answers, in declared types, on every database."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.errors import FilterError, UnknownFieldError, UnknownModelError

D = Decimal
BY_ID: dict[str, Any] = {"$sort": {"id": 1}}
BY_KEY: dict[str, Any] = {"$sort": {"_id": 1}}


class Channel(enum.Enum):
    WEB = "web"
    SHOP = "shop"


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]  # year, month, day, …


SALES: list[dict[str, Any]] = [
    {"id": 1, "status": "completed", "customer_id": 1, "amount": D("10.10"), "score": 1.5,
     "quantity": 2, "at": utc(2024, 1, 31, 23, 59, 59), "tags": ["a", "b"], "paid": True,
     "meta": {"p": 1, "l": [{"q": 1}, {"q": 2}]}},
    {"id": 2, "status": "completed", "customer_id": 1, "amount": D("0.2"), "quantity": 3,
     "at": utc(2024, 2, 1, 0, 0, 0, 5), "tags": [], "meta": {"p": 1.0}},
    {"id": 3, "status": "open", "customer_id": 2, "amount": D(5), "score": 2.5,
     "quantity": 1, "tags": ["a", 1, None], "meta": None, "paid": True},
    {"id": 4, "status": "completed", "amount": D("7.75"), "score": -1.25, "quantity": 7,
     "at": utc(2024, 2, 29, 12, 30), "tags": ["c"], "meta": {"p": None, "l": {"q": 9}, "t": "x"},
     "channel": Channel.SHOP},
    {"id": 5, "status": "open", "customer_id": 3, "amount": D("-3.5"), "score": 4.0,
     "quantity": 0, "at": utc(2023, 12, 31, 5), "tags": ["b", "b"], "meta": {"t": "y", "p": True}},
]  # fmt: skip


@pytest.fixture(scope="module")
def sales(shared_db: DataFlow) -> DataFlow:
    @shared_db.model
    class Customer:
        id: int
        name: str
        city: str | None = None

    @shared_db.model
    class Sale:
        id: int
        status: str
        customer_id: int | None = Field(default=None, foreign_key="customers.id")
        amount: D
        score: float | None = None
        quantity: int = 1
        at: dt.datetime | None = None
        tags: list[Any] = Field(default_factory=list)
        meta: dict[str, Any] | None = None
        paid: bool = False
        channel: Channel = Channel.WEB
        token: uuid.UUID | None = None
        __dataflow__ = {"timestamps": False, "soft_delete": True}

    shared_db.bulk_create(
        Customer,
        [{"id": 1, "name": "Ada", "city": "Paris"}, {"id": 2, "name": "Bob"},
         {"id": 3, "name": "Cy", "city": "Rome"}],
    )  # fmt: skip
    gone = {"id": 6, "status": "gone", "amount": D(1_000_000), "quantity": 1_000_000}
    shared_db.bulk_create(Sale, [*SALES, gone])
    shared_db.delete(Sale, 6)
    return shared_db


CASES: list[tuple[str, list[dict[str, Any]], Any]] = [
    (
        "the seed's pipeline",
        [
            {"$match": {"status": "completed"}},
            {"$group": {"_id": "$customer_id", "total": {"$sum": "$amount"}, "n": {"$sum": 1}}},
            {"$sort": {"total": -1}},
            {"$limit": 100},
        ],
        [{"_id": 1, "total": D("10.30"), "n": 2}, {"_id": None, "total": D("7.75"), "n": 1}],
    ),
    ("a bare sum", [{"$sum": "$amount"}], D("19.55")),
    ("a bare sum of nothing", [{"$match": {"id": 99}}, {"$sum": "$amount"}], 0),
    ("a bare maximum of nothing", [{"$match": {"id": 99}}, {"$max": "$at"}], None),
    ("a bare maximum", [{"$max": "$at"}], utc(2024, 2, 29, 12, 30)),
    (
        "accumulators over typed columns",
        [
            {
                "$group": {
                    "_id": None,
                    "mean": {"$avg": "$amount"},
                    "least": {"$min": "$amount"},
                    "most": {"$max": "$amount"},
                    "count": {"$count": {}},
                    "quantity": {"$sum": "$quantity"},
                    "deviation": {"$stdDevPop": "$quantity"},
                    "paid": {"$max": "$paid"},
                    "channel": {"$max": "$channel"},
                }
            }
        ],
        [
            {
                "_id": None,
                "mean": D("3.91"),
                "least": D("-3.5"),
                "most": D("10.10"),
                "count": 5,
                "quantity": 13,
                "deviation": pytest.approx(2.4166091947),
                "paid": True,
                "channel": Channel.WEB,
            }
        ],
    ),
    (
        "accumulators over JSON",
        [
            {
                "$group": {
                    "_id": None,
                    "least": {"$min": "$meta.p"},
                    "most": {"$max": "$meta.p"},
                    "sum": {"$sum": "$meta.p"},
                    "mean": {"$avg": "$meta.p"},
                }
            }
        ],
        [{"_id": None, "least": 1, "most": True, "sum": 2, "mean": 1.0}],
    ),
    (
        "groups by several values",
        [
            {"$group": {"_id": {"s": "$status", "y": {"$year": "$at"}}, "n": {"$sum": 1}}},
            {"$sort": {"_id.s": 1, "_id.y": -1}},
            {"$match": {"_id.y": {"$gte": 2023}, "n": {"$gte": 1}}},
        ],
        [
            {"_id": {"s": "completed", "y": 2024}, "n": 3},
            {"_id": {"s": "open", "y": 2023}, "n": 1},
        ],
    ),
    (
        "groups by JSON, where 1 and 1.0 are equal and missing is null",
        [{"$group": {"_id": "$meta.p", "n": {"$sum": 1}}}, BY_KEY],
        [{"_id": None, "n": 2}, {"_id": 1, "n": 2}, {"_id": True, "n": 1}],
    ),
    (
        "first, last and lists, in the order of a sort",
        [
            {"$sort": {"id": -1}},
            {
                "$group": {
                    "_id": "$status",
                    "ids": {"$push": "$id"},
                    "first": {"$first": "$at"},
                    "last": {"$last": "$amount"},
                    "all": {"$push": {"a": "$amount", "t": "$meta.t", "c": "$channel"}},
                }
            },
            BY_KEY,
        ],
        [
            {
                "_id": "completed",
                "ids": [4, 2, 1],
                "first": utc(2024, 2, 29, 12, 30),
                "last": D("10.10"),
                "all": [
                    {"a": D("7.75"), "t": "x", "c": Channel.SHOP},
                    {"a": D("0.2"), "c": Channel.WEB},
                    {"a": D("10.10"), "c": Channel.WEB},
                ],
            },
            {
                "_id": "open",
                "ids": [5, 3],
                "first": utc(2023, 12, 31, 5),
                "last": D(5),
                "all": [
                    {"a": D("-3.5"), "t": "y", "c": Channel.WEB},
                    {"a": D(5), "c": Channel.WEB},
                ],
            },
        ],
    ),
    (
        "arithmetic, which keeps Decimals exact",
        [
            BY_ID,
            {"$limit": 2},
            {
                "$project": {
                    "id": 1,
                    "sum": {"$add": ["$amount", 1]},
                    "product": {"$multiply": ["$score", 2]},
                    "half": {"$divide": ["$quantity", 2]},
                    "rest": {"$mod": ["$quantity", 3]},
                    "less": {"$subtract": ["$amount", "$quantity"]},
                    "json": {"$add": ["$meta.p", 1]},
                    "zero": {"$divide": ["$amount", 0]},
                }
            },
        ],
        [
            {"id": 1, "sum": D("11.10"), "product": 3.0, "half": 1.0, "rest": 2,
             "less": D("8.10"), "json": 2, "zero": None},
            {"id": 2, "sum": D("1.2"), "product": None, "half": 1.5, "rest": 0,
             "less": D("-2.8"), "json": 2, "zero": None},
        ],
    ),
    (
        "rounding half to even",
        [
            BY_ID,
            {"$project": {"_id": 0, "s": {"$round": "$score"}, "a": {"$round": ["$amount", 1]}}},
        ],
        [{"s": 2.0, "a": D("10.1")}, {"s": None, "a": D("0.2")}, {"s": 2.0, "a": D("5.0")},
         {"s": -1.0, "a": D("7.8")}, {"s": 4.0, "a": D("-3.5")}],
    ),
    (
        "texts and choices",
        [
            {"$match": {"id": {"$in": [3, 4]}}},
            BY_ID,
            {
                "$project": {
                    "text": {"$concat": ["$status", "-", {"$toUpper": "$status"}]},
                    "part": {"$substr": ["$status", 1, 3]},
                    "many": {"$cond": [{"$gt": ["$quantity", 1]}, "many", "few"]},
                    "mixed": {"$cond": {"if": "$meta.t", "then": 1, "else": "no"}},
                    "filled": {"$ifNull": ["$meta.t", "none"]},
                    "named": {
                        "$switch": {
                            "branches": [{"case": {"$eq": ["$quantity", 1]}, "then": "one"}],
                            "default": "more",
                        }
                    },
                }
            },
        ],
        [
            {"text": "open-OPEN", "part": "pen", "many": "few", "mixed": "no",
             "filled": "none", "named": "one"},
            {"text": "completed-COMPLETED", "part": "omp", "many": "many", "mixed": 1,
             "filled": "x", "named": "more"},
        ],
    ),
    (
        "parts and beginnings of instants",
        [
            {"$match": {"id": 1}},
            {
                "$project": {
                    "year": {"$year": "$at"},
                    "month": {"$month": "$at"},
                    "day": {"$dayOfMonth": "$at"},
                    "weekday": {"$dayOfWeek": "$at"},
                    "yearday": {"$dayOfYear": "$at"},
                    "hour": {"$hour": "$at"},
                    "minute": {"$minute": "$at"},
                    "second": {"$second": "$at"},
                    "began": {"$dateTrunc": {"date": "$at", "unit": "month"}},
                    "quarter": {"$dateTrunc": {"date": "$at", "unit": "quarter"}},
                    "week": {"$dateTrunc": {"date": "$at", "unit": "week"}},
                    "monday": {
                        "$dateTrunc": {"date": "$at", "unit": "week", "startOfWeek": "monday"}
                    },
                    "paris": {
                        "$dateTrunc": {"date": "$at", "unit": "day", "timezone": "Europe/Paris"}
                    },
                }
            },
        ],
        [
            {
                "year": 2024, "month": 1, "day": 31, "weekday": 4, "yearday": 31, "hour": 23,
                "minute": 59, "second": 59, "began": utc(2024, 1, 1), "quarter": utc(2024, 1, 1),
                "week": utc(2024, 1, 28), "monday": utc(2024, 1, 29),
                "paris": utc(2024, 1, 31, 23),
            }
        ],
    ),
    (
        "lists inside JSON",
        [
            BY_ID,
            {
                "$project": {
                    "n": {"$size": "$tags"},
                    "has": {"$in": ["a", "$tags"]},
                    "q": "$meta.l.q",
                    "known": {"$in": ["$status", ["open"]]},
                }
            },
        ],
        [
            {"n": 2, "has": True, "q": [1, 2], "known": False},
            {"n": 0, "has": False, "known": False},
            {"n": 3, "has": True, "known": True},
            {"n": 1, "has": False, "q": 9, "known": False},
            {"n": 2, "has": False, "known": True},
        ],
    ),
    (
        "an unwound list",
        [
            {"$unwind": "$tags"},
            {"$group": {"_id": "$tags", "n": {"$sum": 1}}},
            {"$sort": {"n": -1, "_id": 1}},
        ],
        [{"_id": "b", "n": 3}, {"_id": "a", "n": 2}, {"_id": None, "n": 1}, {"_id": 1, "n": 1},
         {"_id": "c", "n": 1}],
    ),
    (
        "an unwound list with places, where records without elements stay",
        [
            BY_ID,
            {"$limit": 3},
            {
                "$unwind": {
                    "path": "$tags",
                    "includeArrayIndex": "place",
                    "preserveNullAndEmptyArrays": True,
                }
            },
            {"$project": {"id": 1, "tags": 1, "place": 1}},
        ],
        [
            {"id": 1, "tags": "a", "place": 0},
            {"id": 1, "tags": "b", "place": 1},
            {"id": 2, "place": None},
            {"id": 3, "tags": "a", "place": 0},
            {"id": 3, "tags": 1, "place": 1},
            {"id": 3, "tags": None, "place": 2},
        ],
    ),
    (
        "a list inside an object, unwound in its place",
        [BY_ID, {"$unwind": "$meta.l"}, {"$project": {"id": 1, "meta": 1}}],
        [
            {"id": 1, "meta": {"p": 1, "l": {"q": 1}}},
            {"id": 1, "meta": {"p": 1, "l": {"q": 2}}},
            {"id": 4, "meta": {"p": None, "l": {"q": 9}, "t": "x"}},
        ],
    ),
    (
        "a list inside an object, where documents that are null stay",
        [
            BY_ID,
            {"$unwind": {"path": "$meta.l", "preserveNullAndEmptyArrays": True}},
            {"$project": {"id": 1, "meta": 1}},
            {"$match": {"id": {"$in": [3, 4, 5]}}},
        ],
        [
            {"id": 3, "meta": None},
            {"id": 4, "meta": {"p": None, "l": {"q": 9}, "t": "x"}},
            {"id": 5, "meta": {"t": "y", "p": True}},
        ],
    ),
    (
        "a path below single values, where every record stays",
        [
            BY_ID,
            {"$unwind": {"path": "$meta.p.x", "preserveNullAndEmptyArrays": True}},
            {"$project": {"_id": 0, "p": "$meta.p"}},
        ],
        [{"p": 1}, {"p": 1.0}, {}, {"p": None}, {"p": True}],
    ),
    (
        "a path through a list, which stays as it is",
        [{"$match": {"id": 1}}, {"$unwind": "$meta.l.q"}, {"$project": {"_id": 0, "l": "$meta.l"}}],
        [{"l": [{"q": 1}, {"q": 2}]}, {"l": [{"q": 1}, {"q": 2}]}],
    ),
    (
        "records of another model",
        [
            {"$match": {"id": {"$gte": 3}}},
            BY_ID,
            {
                "$lookup": {
                    "from": "customers", "localField": "customer_id", "foreignField": "id",
                    "as": "who",
                }
            },
            {"$project": {"id": 1, "name": "$who.name"}},
        ],
        [{"id": 3, "name": ["Bob"]}, {"id": 4, "name": []}, {"id": 5, "name": ["Cy"]}],
    ),
    (
        "a join: looked up, and unwound",
        [
            {
                "$lookup": {
                    "from": "customers", "localField": "customer_id", "foreignField": "id",
                    "as": "who",
                }
            },
            {"$unwind": "$who"},
            {"$group": {"_id": "$who.name", "total": {"$sum": "$amount"}}},
            BY_KEY,
        ],
        [{"_id": "Ada", "total": D("10.30")}, {"_id": "Bob", "total": D(5)},
         {"_id": "Cy", "total": D("-3.5")}],
    ),
    (
        "a join behind a limit, which counts records and not pairs",
        [
            {
                "$lookup": {
                    "from": "sales", "localField": "customer_id",
                    "foreignField": "customer_id", "as": "same",
                }
            },
            BY_ID,
            {"$limit": 2},
            {"$unwind": "$same"},
            {"$project": {"id": 1, "other": "$same.id"}},
        ],
        [{"id": 1, "other": 1}, {"id": 1, "other": 2}, {"id": 2, "other": 1},
         {"id": 2, "other": 2}],
    ),
    (
        "parts of documents, and of documents in lists",
        [BY_ID, {"$project": {"meta.l.q": 1, "meta.t": 1}}],
        [{"meta": {"l": [{"q": 1}, {"q": 2}]}}, {"meta": {}}, {},
         {"meta": {"l": {"q": 9}, "t": "x"}}, {"meta": {"t": "y"}}],
    ),
    (
        "several pipelines over the same records",
        [
            {
                "$facet": {
                    "totals": [{"$group": {"_id": "$status", "t": {"$sum": "$amount"}}}, BY_KEY],
                    "count": [{"$count": "n"}],
                    "last": [{"$sort": {"id": -1}}, {"$limit": 1}, {"$project": {"at": 1}}],
                    "none": [{"$match": {"id": 99}}],
                }
            }
        ],
        [
            {
                "totals": [{"_id": "completed", "t": D("18.05")}, {"_id": "open", "t": D("1.5")}],
                "count": [{"n": 5}],
                "last": [{"at": utc(2023, 12, 31, 5)}],
                "none": [],
            }
        ],
    ),
    (
        "buckets",
        [
            {
                "$bucket": {
                    "groupBy": "$amount", "boundaries": [0, 5, 10], "default": "other",
                    "output": {"n": {"$sum": 1}, "ids": {"$push": "$id"}},
                }
            }
        ],
        [{"_id": 0, "n": 1, "ids": [2]}, {"_id": 5, "n": 2, "ids": [3, 4]},
         {"_id": "other", "n": 2, "ids": [1, 5]}],
    ),
    (
        "values by how often they occur",
        [{"$sortByCount": "$status"}],
        [{"_id": "completed", "count": 3}, {"_id": "open", "count": 2}],
    ),
    (
        "distinct values",
        [{"$distinct": "$status"}, {"$sort": {"status": 1}}],
        [{"status": "completed"}, {"status": "open"}],
    ),
    ("a count", [{"$match": {"paid": True}}, {"$count": "n"}], [{"n": 2}]),
    ("a count of nothing", [{"$match": {"id": 99}}, {"$count": "n"}], []),
    (
        "a filter on a computed field",
        [
            BY_ID,
            {"$addFields": {"total": {"$multiply": ["$amount", "$quantity"]}}},
            {"$match": {"total": {"$gt": 10}}},
            {"$project": {"id": 1, "total": 1}},
        ],
        [{"id": 1, "total": D("20.20")}, {"id": 4, "total": D("54.25")}],
    ),
    (
        "a filter that compares fields",
        [BY_ID, {"$match": {"$expr": {"$gt": ["$amount", "$quantity"]}}}, {"$project": {"id": 1}}],
        [{"id": 1}, {"id": 3}, {"id": 4}],
    ),
    (
        "JSON in MongoDB's order of types",
        [{"$sort": {"meta.p": 1, "id": 1}}, {"$project": {"id": 1, "p": "$meta.p"}}],
        [{"id": 3}, {"id": 4, "p": None}, {"id": 1, "p": 1}, {"id": 2, "p": 1.0},
         {"id": 5, "p": True}],
    ),
    (
        "limits before and after other stages",
        [BY_ID, {"$skip": 1}, {"$limit": 3}, {"$sort": {"id": -1}}, {"$limit": 2},
         {"$project": {"id": 1}}],
        [{"id": 4}, {"id": 3}],
    ),
    (
        "whole records in a list, taken apart again in their types",
        [
            {"$match": {"id": {"$lte": 2}}},
            BY_ID,
            {"$group": {"_id": None, "all": {"$push": "$$ROOT"}}},
            {"$unwind": "$all"},
            {"$project": {"_id": 0, "a": "$all.amount", "at": "$all.at", "c": "$all.channel"}},
        ],
        [
            {"a": D("10.10"), "at": utc(2024, 1, 31, 23, 59, 59), "c": Channel.WEB},
            {"a": D("0.2"), "at": utc(2024, 2, 1, 0, 0, 0, 5), "c": Channel.WEB},
        ],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("pipeline", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_pipeline_answers(sales: DataFlow, pipeline: list[dict[str, Any]], wanted: Any):
    assert sales.query("Sale").aggregate(pipeline) == wanted


def test_a_decimal_stays_one_and_a_whole_number_too(sales: DataFlow):
    (found,) = sales.query("sales").aggregate(
        [{"$group": {"_id": None, "a": {"$sum": "$amount"}, "n": {"$sum": "$quantity"}}}]
    )

    assert (type(found.a), type(found.n)) == (D, int)


def test_what_the_query_asks_for_comes_before_the_pipeline(sales: DataFlow):
    query = sales.query("Sale").where({"status": "completed"}).sort("-id").limit(2)

    assert query.aggregate([{"$sum": "$quantity"}]) == 10


def test_a_pipeline_kept_for_its_shape_takes_the_values_of_each_call(sales: DataFlow):
    def total(status: str) -> Any:
        return sales.query("Sale").where({"status": status}).aggregate([{"$sum": "$amount"}])

    assert [total("open"), total("completed"), total("open")] == [D("1.5"), D("18.05"), D("1.5")]


def rounded(times: int) -> Any:
    expression: Any = "$meta.p"
    for _ in range(times):
        expression = {"$round": [expression, 1]}
    return expression


NESTED = rounded(20)


def test_an_expression_that_doubles_with_each_stage_is_computed_once_per_stage(sales: DataFlow):
    doubled: list[dict[str, Any]] = [
        {"$addFields": {"quantity": {"$add": ["$quantity", "$quantity"]}}}
    ]

    total = sales.query("Sale").aggregate([*doubled * 40, {"$sum": "$quantity"}])

    assert total == 13 * 2**40


def test_a_long_path_is_no_long_statement(sales: DataFlow):
    path = ".".join(["$meta", *"abcdefghijklmno"])

    assert sales.query("Sale").aggregate([{"$project": {"x": path}}, {"$limit": 1}]) == [{}]
    assert len(sales.query("Sale").sql([{"$project": {"x": path}}]).text) < 20_000


REFUSED: list[tuple[Any, type[Exception], str]] = [
    ([{"$foo": 1}], FilterError, "there is no stage '$foo'."),
    ([{"$matc": {}}], FilterError, "there is no stage '$matc'."),
    ("x", FilterError, "a pipeline must be a list of stages, not str."),
    ([{"$match": {"nam": 1}}], UnknownFieldError, "model 'Sale' has no field 'nam'."),
    ([{"$limit": 0}], FilterError, "$limit takes a whole number from 1, not 0."),
    ([{"$sort": {"x": 1}}], UnknownFieldError, "model 'Sale' has no field 'x'."),
    (
        [{"$group": {"x": {"$sum": 1}}}],
        FilterError,
        "$group takes a dict with '_id': an expression, or None for one group.",
    ),
    (
        [{"$group": {"_id": None, "x": {"$sum": "$status"}}}],
        FilterError,
        "$sum of 'x' takes numbers, not str.",
    ),
    (
        [{"$group": {"_id": None, "x": {"$summ": "$amount"}}}],
        FilterError,
        "there is no accumulator '$summ' (for 'x').",
    ),
    (
        [{"$project": {"x": {"$add": ["$status", 1]}}}],
        FilterError,
        "$add takes numbers, not str.",
    ),
    (
        [{"$project": {"x": {"$nope": 1}}}],
        FilterError,
        "there is no operator '$nope' for expressions.",
    ),
    (
        [{"$lookup": {"from": "nowhere", "localField": "id", "foreignField": "id", "as": "x"}}],
        UnknownModelError,
        "there is no model 'nowhere'.",
    ),
    (
        [{"$project": {"id": 1, "status": 0}}],
        FilterError,
        "$project includes fields or excludes them, not both.",
    ),
    ([{"$limit": 1}] * 101, FilterError, "a pipeline has at most 100 stages."),
    (
        [{"$project": {"x": NESTED}}],
        FilterError,
        "an expression is too large; it repeats its own parts.",
    ),
]


@pytest.mark.parametrize(("pipeline", "kind", "problem"), REFUSED, ids=lambda x: str(x)[:40])
def test_a_malformed_pipeline_is_refused(
    sales: DataFlow, pipeline: Any, kind: type[Exception], problem: str
):
    with pytest.raises(kind) as caught:
        sales.query("Sale").aggregate(pipeline)

    assert str(caught.value).splitlines()[0] == problem
