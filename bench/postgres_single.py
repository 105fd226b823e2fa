"""PostgreSQL, one record at a time: read, create, update, list, many readers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bench.alchemy import CORE, ORM
from bench.data import ALL, COLUMNS, cycle_keys, record, utc_now
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.postgres import SEEDED, PostgresBench
from dataflow import LocalRuntime, WorkflowBuilder

READ = f"SELECT {', '.join(ALL)} FROM users WHERE id = $1"
CREATE = (
    f"INSERT INTO users ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6) "
    f"RETURNING {', '.join(ALL)}"
)
UPDATE = f"UPDATE users SET age = $1, updated_at = $2 WHERE id = $3 RETURNING {', '.join(ALL)}"
LIST = f"SELECT {', '.join(ALL)} FROM users ORDER BY id LIMIT $1"
READERS = 50
POOL = "asyncpg pool"


def _single(bench: PostgresBench, *contestants: Contestant) -> Contest:
    bench.runner.run(bench.seed())
    return Contest(contestants, calls=bench.sizes.calls, rounds=bench.sizes.single)


def _raw_read(bench: PostgresBench) -> Contestant:
    key, fetchrow = cycle_keys(SEEDED), bench.raw.fetchrow

    async def run() -> None:
        dict(await fetchrow(READ, key()))

    return Contestant(BASELINE, run)


def read(bench: PostgresBench) -> Contest:
    key, aio = cycle_keys(SEEDED), bench.db.aio

    async def ours() -> None:
        await aio.read("User", key())

    async def core() -> None:
        await bench.core.read(key())

    async def orm() -> None:
        await bench.orm.read(key())

    async def pooled() -> None:
        async with bench.pool.acquire() as connection:
            dict(await connection.fetchrow(READ, key()))

    return _single(
        bench, _raw_read(bench), Contestant(OURS, ours), Contestant(CORE, core),
        Contestant(ORM, orm), Contestant(POOL, pooled),
    )  # fmt: skip


def _read_workflow(bench: PostgresBench) -> Any:
    builder = WorkflowBuilder("read", db=bench.db)
    builder.add_node("UserReadNode", "read", {"id": 7})
    return builder.build()


def workflow(bench: PostgresBench) -> Contest:
    runtime, built = LocalRuntime(), _read_workflow(bench)

    async def ours() -> None:
        await runtime.execute_async(built)

    return _single(bench, _raw_read(bench), Contestant(OURS, ours))


def workflow_sync(bench: PostgresBench) -> Contest:
    runtime, built = LocalRuntime(), _read_workflow(bench)

    def ours() -> None:
        runtime.execute(built)

    return _single(bench, _raw_read(bench), Contestant(OURS, ours))


def create(bench: PostgresBench) -> Contest:
    key, aio, fetchrow = cycle_keys(SEEDED), bench.db.aio, bench.raw.fetchrow

    async def raw() -> None:
        now = utc_now()
        dict(await fetchrow(CREATE, *record(key()).values(), now, now))

    async def ours() -> None:
        await aio.create("User", record(key()))

    async def core() -> None:
        await bench.core.create(record(key()))

    async def orm() -> None:
        await bench.orm.create(record(key()))

    return _single(
        bench, Contestant(BASELINE, raw), Contestant(OURS, ours), Contestant(CORE, core),
        Contestant(ORM, orm),
    )  # fmt: skip


def update(bench: PostgresBench) -> Contest:
    key, aio, fetchrow = cycle_keys(SEEDED), bench.db.aio, bench.raw.fetchrow

    async def raw() -> None:
        number = key()
        dict(await fetchrow(UPDATE, number % 90, utc_now(), number))

    async def ours() -> None:
        number = key()
        await aio.update("User", number, {"age": number % 90})

    async def core() -> None:
        number = key()
        await bench.core.update(number, number % 90)

    async def orm() -> None:
        number = key()
        await bench.orm.update(number, number % 91)

    return _single(
        bench, Contestant(BASELINE, raw), Contestant(OURS, ours), Contestant(CORE, core),
        Contestant(ORM, orm),
    )  # fmt: skip


def list_100(bench: PostgresBench) -> Contest:
    aio, fetch = bench.db.aio, bench.raw.fetch

    async def raw() -> None:
        [dict(row) for row in await fetch(LIST, 100)]

    async def ours() -> None:
        await aio.list("User", limit=100)

    return _single(
        bench, Contestant(BASELINE, raw), Contestant(OURS, ours),
        Contestant(CORE, partial(bench.core.list, 100)),
        Contestant(ORM, partial(bench.orm.list, 100)),
    )  # fmt: skip


def readers(bench: PostgresBench) -> Contest:
    """50 coroutines that read at once, 10 connections; asyncpg's own pool is 1.0."""
    key, aio = cycle_keys(SEEDED), bench.db.aio
    each = max(1, bench.sizes.calls // 30)

    def at_once(read_one: Callable[[], Awaitable[Any]]) -> Callable[[], Any]:
        async def one_reader() -> None:
            for _ in range(each):
                await read_one()

        async def run() -> None:
            await asyncio.gather(*(one_reader() for _ in range(READERS)))

        return run

    async def pooled() -> None:
        async with bench.pool.acquire() as connection:
            dict(await connection.fetchrow(READ, key()))

    bench.runner.run(bench.seed())
    contestants = (
        Contestant(BASELINE, at_once(pooled)),
        Contestant(OURS, at_once(lambda: aio.read("User", key()))),
        Contestant(CORE, at_once(lambda: bench.core.read(key()))),
        Contestant(ORM, at_once(lambda: bench.orm.read(key()))),
    )
    return Contest(contestants, rounds=bench.sizes.single, items=READERS * each)


MEASURES = (
    Measure("read", "read by key, db.aio.read", 2.0, read),
    Measure("workflow", "the same as a one-node workflow, execute_async", 2.6, workflow),
    Measure("workflow_sync", "the same, sync execute from a script", 3.6, workflow_sync),
    Measure("create", "create one record, all columns returned", 1.6, create),
    Measure("update", "update by key", 1.8, update),
    Measure("list_100", "list 100 records as dicts", 1.4, list_100),
    Measure("readers", "50 readers, pool of 10 (asyncpg pool = 1)", 1.2, readers),
)
