"""The table of orders that queries are measured on, and the query shapes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from dataflow import DataFlow

CUSTOMERS = 5_000
STATUSES = ("completed", "pending", "cancelled", "completed")
COLUMNS = ("customer_id", "status", "amount", "price", "placed_at")
ALL = ("id", *COLUMNS)
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
PAGE = 100
Row = tuple[Any, ...]

GROUPED: list[dict[str, Any]] = [
    {"$match": {"status": "completed"}},
    {"$group": {"_id": "$customer_id", "total": {"$sum": "$amount"}, "count": {"$sum": 1}}},
    {"$sort": {"total": -1}},
    {"$limit": PAGE},
]
GROUPED_EXACT: list[dict[str, Any]] = [
    GROUPED[0],
    {"$group": {"_id": "$customer_id", "total": {"$sum": "$price"}, "count": {"$sum": 1}}},
    *GROUPED[2:],
]
FILTER: dict[str, Any] = {
    "status": "completed",
    "amount": {"$gte": 10, "$lt": 500},
    "customer_id": {"$in": [1, 2]},
}


def declare_order(db: DataFlow) -> None:
    """Declare the model `Order` (table `orders`)."""

    @db.model(timestamps=False, indexes=[["customer_id", "id"]])
    class Order:
        customer_id: int
        status: str
        amount: float
        price: Decimal
        placed_at: dt.datetime


def order_rows(size: int) -> Iterator[Row]:
    """Yield what the raw driver takes: a tuple per order."""
    for number in range(size):
        amount = number * 7919 % 100_000 / 100
        yield (
            number * 31 % CUSTOMERS,
            STATUSES[number % len(STATUSES)],
            amount,
            Decimal(number * 7919 % 100_000).scaleb(-2),
            START + dt.timedelta(seconds=number),
        )


def grouping_sql(column: str, parameter: str) -> str:
    """Return the seed's aggregation as a person writes it."""
    return (
        f"SELECT customer_id AS _id, sum({column}) AS total, count(*) AS count FROM orders "
        f"WHERE status = {parameter} GROUP BY customer_id ORDER BY total DESC LIMIT {PAGE}"
    )


def new_filters() -> Iterator[dict[str, Any]]:
    """Yield filters of shapes that no filter before had."""
    operators = ("$gt", "$gte", "$lt", "$lte", "$eq", "$ne")
    for number in range(len(operators) ** 5):
        found: dict[str, dict[str, Any]] = {}
        for name in ("id", "customer_id", "amount", "price", "status"):
            number, place = divmod(number, len(operators))  # noqa: PLW2901 - its digits
            found[name] = {operators[place]: "x" if name == "status" else 1}
        yield found
