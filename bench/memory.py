"""Prints how far memory grows, in MB, while records stream from a generator.

Run in a process of its own: `python -m bench.memory ours|raw URL RECORDS`. The peak is
the kernel's high-water mark, reset after the first statement; `getrusage` would give
that of the parent process, too.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import asyncpg

from bench.data import COLUMNS, FIELDS, declare_user, stream, utc_now
from dataflow import DataFlow

PROCESS = Path("/proc/self")


def reset_peak() -> None:
    gc.collect()
    (PROCESS / "clear_refs").write_text("5")


def peak_mb() -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024


async def ours(url: str, size: int) -> float:
    async with DataFlow(url) as db:
        declare_user(db)
        await db.aio.count("User")
        reset_peak()
        start = peak_mb()
        await db.aio.bulk_create("User", stream(size))
        return peak_mb() - start


async def raw(url: str, size: int) -> float:
    connection = await asyncpg.connect(url)
    now = utc_now()
    values = ((*(item[name] for name in FIELDS), now, now) for item in stream(size))
    reset_peak()
    start = peak_mb()
    await connection.copy_records_to_table("users", columns=COLUMNS, records=values)
    grown = peak_mb() - start
    await connection.close()
    return grown


if __name__ == "__main__":
    who, address, count = sys.argv[1:]
    print(asyncio.run((ours if who == "ours" else raw)(address, int(count))))
