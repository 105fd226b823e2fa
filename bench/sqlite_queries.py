"""SQLite with 1,000,000 orders; sqlite3 in the same thread is 1.0."""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from bench.data import Sizes
from bench.orders import ALL, COLUMNS, declare_order, grouping_sql, order_rows
from bench.sqlite import connect, write_many
from dataflow import DataFlow

SELECT = f"SELECT {', '.join(ALL)} FROM orders ORDER BY id"
INSERT = f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?)"
BATCH = 1_000


class SqliteQueries:
    """Fulfils `bench.query_cases.QueryBench`."""

    def __init__(self, runner: asyncio.Runner, folder: Path, sizes: Sizes) -> None:
        self.runner, self.sizes = runner, sizes
        self.url = f"sqlite:///{folder}/orders.db"
        self.db = DataFlow(self.url)
        declare_order(self.db)
        runner.run(self.db.aio.count("Order"))
        self.raw = connect(folder / "orders.db")
        write_many(self.raw, INSERT, map(_stored, order_rows(sizes.orders)))
        self.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.raw.execute("ANALYZE")

    async def raw_grouped(self, column: str) -> Any:
        rows = self.raw.execute(grouping_sql(column, "?"), ("completed",)).fetchall()
        return [dict(zip(("_id", "total", "count"), row, strict=True)) for row in rows]

    async def raw_count(self) -> Any:
        sql = "SELECT count(*) FROM orders WHERE status = ?"
        return self.raw.execute(sql, ("completed",)).fetchone()[0]

    def raw_rows(self) -> Iterator[dict[str, Any]]:
        cursor = self.raw.execute(SELECT)
        while rows := cursor.fetchmany(BATCH):
            for row in rows:
                yield _record(row)

    def versions(self) -> list[str]:
        return []

    def close(self) -> None:
        self.runner.run(self.db.aclose())
        self.raw.close()


def _stored(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *first, price, placed = row
    return (*first, format(price, "f"), placed.isoformat(" ", "microseconds"))


def _record(row: tuple[Any, ...]) -> dict[str, Any]:
    """Return what DataFlow returns: a Decimal and an instant, not SQLite's texts."""
    key, customer, status, amount, price, placed = row
    return {
        "id": key, "customer_id": customer, "status": status, "amount": amount,
        "price": Decimal(price), "placed_at": dt.datetime.fromisoformat(placed),
    }  # fmt: skip


@contextmanager
def open_queries(runner: asyncio.Runner, sizes: Sizes) -> Iterator[SqliteQueries]:
    """Make a file with the orders for the time of the measurements."""
    with tempfile.TemporaryDirectory(prefix="dataflow-bench-") as folder:
        bench = SqliteQueries(runner, Path(folder), sizes)
        try:
            yield bench
        finally:
            bench.close()
