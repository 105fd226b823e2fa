"""Values that are compared are never cut or rounded to the bounds of their column."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dataflow import DataFlow, Field


@pytest.fixture
def prices(db: DataFlow) -> DataFlow:
    @db.model
    class Price:
        name: str = Field(max_length=5)
        total: Decimal = Field(max_digits=6, decimal_places=2)
        count: int = 0

    db.bulk_create(
        Price,
        [{"name": "abcde", "total": Decimal("1.01"), "count": 1},
         {"name": "b", "total": Decimal("2.00"), "count": 2}],
    )  # fmt: skip
    return db


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"name": "abcdefgh"}, []),
        ({"name": {"$in": ["abcdefgh"]}}, []),
        ({"name": {"$ne": "abcdefgh"}}, ["abcde", "b"]),
        ({"total": Decimal("1.012")}, []),
        ({"total": {"$in": [Decimal("1.012")]}}, []),
        ({"total": {"$gt": Decimal("1.005")}}, ["abcde", "b"]),
        ({"total": {"$lt": Decimal("1.012")}}, ["abcde"]),
        ({"total": {"$lt": Decimal("1E+30")}}, ["abcde", "b"]),
        ({"total": {"$gt": Decimal("1E+30")}}, []),
        ({"total": {"$between": [Decimal("1.005"), Decimal("1.0151")]}}, ["abcde"]),
        ({"count": {"$lt": 1.5}}, ["abcde"]),
        ({"count": {"$gte": 1.5}}, ["b"]),
        ({"count": {"$gt": 0.5}}, ["abcde", "b"]),
        ({"count": {"$lte": 1.5}}, ["abcde"]),
        ({"count": {"$between": [0.5, 1.5]}}, ["abcde"]),
    ],
    ids=str,
)
def test_a_filter_compares_the_value_that_was_given(
    prices: DataFlow, filter: dict[str, Any], found: list[str]
):
    assert [record.name for record in prices.query("Price").where(filter).sort("id").all()] == found


def test_a_write_behind_such_a_filter_touches_nothing(prices: DataFlow):
    assert prices.query("Price").where({"total": Decimal("1.012")}).delete() == 0
    assert (
        prices.bulk_update("Price", {"name": {"$in": ["abcdefgh"]}}, {"count": 9})["updated"] == 0
    )


def test_pages_by_an_exact_order_lose_no_record(prices: DataFlow):
    query = prices.query("Price").sort("total")
    first = query.page(1)
    second = query.page(1, first["next"])

    assert [page["records"][0]["name"] for page in (first, second)] == ["abcde", "b"]
