"""Queries on 1,000,000 orders: the cases that both databases share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from itertools import count
from typing import Any, Protocol

import sqlalchemy as sa

from bench.data import Sizes
from bench.fresh import run_fresh
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.orders import FILTER, GROUPED, GROUPED_EXACT, PAGE, new_filters
from dataflow import DataFlow
from dataflow.records.requests import list_request

ROUNDS = 5
OFFSET, ESTIMATE = "OFFSET", "estimate"


class QueryBench(Protocol):
    """A database with the orders, and what its raw driver does with them."""

    runner: asyncio.Runner
    sizes: Sizes
    db: DataFlow
    url: str

    async def raw_grouped(self, column: str) -> Any:
        """Run the seed's aggregation, written by hand, and return dicts."""

    async def raw_count(self) -> Any:
        """Count the orders of one status."""

    def raw_rows(self) -> AsyncIterator[dict[str, Any]] | Iterable[dict[str, Any]]:
        """Yield every order as a dict from a cursor."""
        ...


# ------------------------------------------------------------------- compiling


def _statement(bench: QueryBench) -> Callable[[dict[str, Any]], Any]:
    """Return what a list call does before it goes to the database."""
    store = bench.db._catalogue.store_of("Order")

    def compile_list(filter: dict[str, Any]) -> Any:
        request = list_request(store, {"filter": filter})
        return store.pages.statement(request)

    return compile_list


def known_shape(bench: QueryBench) -> Contest:
    """The values differ each time; the statement is compiled already."""
    compile_list, numbers = _statement(bench), count()
    table, amount = bench.db.metadata.tables["orders"], dict(FILTER["amount"])

    def alchemy() -> None:
        statement = sa.select(table).where(
            table.c.status == "completed",
            table.c.amount >= 10,
            table.c.amount < next(numbers),
            table.c.customer_id.in_([1, 2]),
        )
        statement.order_by(table.c.id).limit(PAGE)._generate_cache_key()

    def ours() -> None:
        compile_list({**FILTER, "amount": {**amount, "$lt": next(numbers)}})

    return _compiled(bench, alchemy, ours, 20)


def new_shape(bench: QueryBench) -> Contest:
    compile_list, filters, others = _statement(bench), new_filters(), new_filters()
    table, dialect = bench.db.metadata.tables["orders"], bench.db.database.driver.dialect

    def alchemy() -> None:
        statement = sa.select(table).where(*(table.c[name] > 1 for name in next(others)))
        statement.order_by(table.c.id).limit(PAGE).compile(dialect=dialect)

    def ours() -> None:
        compile_list(next(filters))

    return _compiled(bench, alchemy, ours, 1)


def _compiled(
    bench: QueryBench, alchemy: Callable[[], None], ours: Callable[[], None], more: int
) -> Contest:
    contestants = Contestant(BASELINE, alchemy), Contestant(OURS, ours)
    return Contest(contestants, calls=bench.sizes.calls * more, rounds=ROUNDS)


# --------------------------------------------------------------------- records


def grouped(bench: QueryBench, column: str = "amount") -> Contest:
    pipeline = GROUPED if column == "amount" else GROUPED_EXACT

    async def ours() -> None:
        await bench.db.aio.query("Order").aggregate(pipeline)

    contestants = Contestant(BASELINE, partial(bench.raw_grouped, column)), Contestant(OURS, ours)
    return Contest(contestants, rounds=ROUNDS if column == "amount" else 2)


def deep_page(bench: QueryBench, sort: str = "id") -> Contest:
    """The first page is the baseline: depth must cost nothing."""
    query = bench.db.aio.query("Order").sort(sort)
    skipped = bench.sizes.orders * 9 // 10
    before = bench.runner.run(query.offset(skipped - PAGE).page(PAGE))["next"]

    async def first() -> None:
        await query.page(PAGE)

    async def ours() -> None:
        await query.page(PAGE, before)

    async def offset() -> None:
        await query.offset(skipped).page(PAGE)

    contestants = Contestant(BASELINE, first), Contestant(OURS, ours), Contestant(OFFSET, offset, 1)
    return Contest(contestants, calls=10, rounds=bench.sizes.single)


def iterate(bench: QueryBench) -> Contest:
    async def raw() -> None:
        found = bench.raw_rows()
        if isinstance(found, AsyncIterator):
            async for _ in found:
                pass
        else:
            for _ in found:
                pass

    async def ours() -> None:
        async for _ in bench.db.aio.query("Order").iterate():
            pass

    contestants = Contestant(BASELINE, raw, 3), Contestant(OURS, ours, 3)
    return Contest(contestants, rounds=3, items=bench.sizes.orders)


def iterate_memory(bench: QueryBench) -> Contest:
    def grown(who: str) -> float:
        return run_fresh("-m", "bench.query_memory", who, bench.url)

    names = {BASELINE: "one batch", OURS: "all"}
    contestants = [Contestant(name, partial(grown, who), 1) for name, who in names.items()]
    return Contest(contestants, rounds=1, reports=True)


def counted(bench: QueryBench) -> Contest:
    query = bench.db.aio.query("Order").where({"status": "completed"})

    async def ours() -> None:
        await query.count()

    async def estimate() -> None:
        await query.count(estimate=True)

    contestants = (
        Contestant(BASELINE, bench.raw_count), Contestant(OURS, ours),
        Contestant(ESTIMATE, estimate),
    )  # fmt: skip
    return Contest(contestants, rounds=ROUNDS)


MEASURES = (
    Measure(
        "known_shape", "a filter of a known shape to SQL (SQLAlchemy: build and cache key)",
        15.0, known_shape, "us",
    ),
    Measure(
        "new_shape", "a filter of a new shape to SQL (SQLAlchemy: build and compile)",
        400.0, new_shape, "us",
    ),
    Measure("group", "$match, $group, $sort, $limit over 1M (the same SQL = 1)", 1.1, grouped),
    Measure(
        "group_exact", "the same with sums of Decimal (plain SQL = 1)",
        None, partial(grouped, column="price"),
    ),
    Measure("deep_page", "page of 100 after 900k by key (the first page = 1)", 1.3, deep_page),
    Measure(
        "deep_page_sorted", "the same by an indexed field and the key",
        1.3, partial(deep_page, sort="customer_id"),
    ),
    Measure("iterate", "iterate over 1M records (a raw cursor to dicts = 1)", 1 / 0.6, iterate),
    Measure(
        "iterate_memory", "memory growth of iterate over 1M (one batch)",
        20.0, iterate_memory, "MB",
    ),
    Measure("count", "count with a filter over 1M (the same SQL = 1)", 1.1, counted),
)  # fmt: skip
