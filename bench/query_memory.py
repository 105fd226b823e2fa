"""Prints how far memory grows, in MB, while a query is iterated over.

Run in a process of its own: `python -m bench.query_memory batch|all URL`. The peak is the
kernel's high-water mark, reset after the first statement and one batch.
"""

from __future__ import annotations

import asyncio
import sys

from bench.memory import peak_mb, reset_peak
from bench.orders import declare_order
from dataflow import DataFlow

BATCH = 1_000


async def grown(who: str, url: str) -> float:
    async with DataFlow(url) as db:
        declare_order(db)
        query = db.aio.query("Order")
        await query.limit(BATCH).all()
        reset_peak()
        start = peak_mb()
        async for _ in (query if who == "all" else query.limit(BATCH)).iterate(BATCH):
            pass
        return peak_mb() - start


if __name__ == "__main__":
    print(asyncio.run(grown(*sys.argv[1:])))
