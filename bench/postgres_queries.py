"""PostgreSQL with 1,000,000 orders; asyncpg on a connection held open is 1.0."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from bench.data import Sizes
from bench.orders import ALL, COLUMNS, declare_order, grouping_sql, order_rows
from bench.postgres import database
from dataflow import DataFlow

SELECT = f"SELECT {', '.join(ALL)} FROM orders ORDER BY id"
PREFETCH = 1_000


class PostgresQueries:
    """Fulfils `bench.query_cases.QueryBench`."""

    def __init__(self, runner: asyncio.Runner, url: str, sizes: Sizes) -> None:
        self.runner, self.url, self.sizes = runner, url, sizes
        self.db = DataFlow(url)
        declare_order(self.db)
        self.raw: Any = runner.run(asyncpg.connect(url))
        runner.run(self._load())

    async def _load(self) -> None:
        await self.db.aio.count("Order")
        rows = order_rows(self.sizes.orders)
        await self.raw.copy_records_to_table("orders", columns=COLUMNS, records=rows)
        # Set the hint bits now, and plan every contestant's statements alike.
        await self.raw.execute("VACUUM (ANALYZE, FREEZE) orders")

    async def raw_grouped(self, column: str) -> Any:
        return [dict(row) for row in await self.raw.fetch(grouping_sql(column, "$1"), "completed")]

    async def raw_count(self) -> Any:
        sql = "SELECT count(*) FROM orders WHERE status = $1"
        return await self.raw.fetchval(sql, "completed")

    async def raw_rows(self) -> AsyncIterator[dict[str, Any]]:
        async with self.raw.transaction(readonly=True):
            async for row in self.raw.cursor(SELECT, prefetch=PREFETCH):
                yield dict(row)

    def versions(self) -> list[str]:
        version = self.raw.get_server_version()
        return [f"PostgreSQL {version.major}.{version.minor}"]

    async def _close(self) -> None:
        await self.db.aclose()
        await self.raw.close()

    def close(self) -> None:
        self.runner.run(self._close())


@contextmanager
def open_queries(runner: asyncio.Runner, server: str, sizes: Sizes) -> Iterator[PostgresQueries]:
    """Make a database with the orders for the time of the measurements."""
    with database(runner, server) as url:
        bench = PostgresQueries(runner, url, sizes)
        try:
            yield bench
        finally:
            bench.close()
