"""What row-level security costs: the same calls of a tenant with it and without it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.data import Sizes, cycle_keys, record, records
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.postgres import database, execute
from dataflow import DataFlow

SEEDED = 10_000
STATEMENTS = 10


class WallBench:
    """Two DataFlow objects of a plain role with the same model, each on its own database."""

    def __init__(self, runner: asyncio.Runner, urls: tuple[str, str], sizes: Sizes) -> None:
        self.runner = runner
        self.sizes = sizes
        self.plain, self.walled = (
            DataFlow(url, pool_size=10, max_overflow=0, row_level_security=walled)
            for url, walled in zip(urls, (False, True), strict=True)
        )
        for db in (self.plain, self.walled):
            _declare(db)
            runner.run(_within(db, _seed)())

    def versions(self) -> list[str]:
        return []

    def close(self) -> None:
        for db in (self.plain, self.walled):
            self.runner.run(db.aclose())


def _declare(db: DataFlow) -> None:
    @db.model(multi_tenant=True)
    class User:
        name: str
        email: str
        active: bool = True
        age: int = 0


def _seed(db: DataFlow) -> Callable[[], Any]:
    return partial(db.aio.bulk_create, "User", records(SEEDED))


@contextmanager
def open_postgres(runner: asyncio.Runner, server: str, sizes: Sizes) -> Iterator[WallBench]:
    """Make a role and two databases for the time of the measurements."""
    role = f"bench_{os.getpid()}"
    runner.run(execute(server, f"CREATE ROLE {role} LOGIN PASSWORD '{role}'"))
    try:
        with (
            database(runner, server) as plain,
            database(runner, server, "walled") as walled,
        ):
            urls = (_owned(runner, plain, role), _owned(runner, walled, role))
            bench = WallBench(runner, urls, sizes)
            try:
                yield bench
            finally:
                bench.close()
    finally:
        runner.run(execute(server, f"DROP ROLE {role}"))


def _owned(runner: asyncio.Runner, url: str, role: str) -> str:
    name = url.rpartition("/")[2]
    runner.run(execute(url, f"ALTER DATABASE {name} OWNER TO {role}"))
    return re.sub(r"//([^@]*@)?", f"//{role}:{role}@", url, count=1)


Call = Callable[[DataFlow], Callable[[], Any]]


def _contest(bench: WallBench, call: Call, **options: Any) -> Contest:
    contestants = (
        Contestant(BASELINE, _within(bench.plain, call)),
        Contestant(OURS, _within(bench.walled, call)),
    )
    return Contest(contestants, **options)


def _within(db: DataFlow, call: Call) -> Callable[[], Any]:
    work = call(db)

    async def run() -> None:
        async with db.tenant("acme"):
            await work()

    return run


def read(bench: WallBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            await db.aio.read("User", key())

        return run

    return _contest(bench, call, calls=bench.sizes.calls, rounds=bench.sizes.single)


def create(bench: WallBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            await db.aio.create("User", record(key()))

        return run

    return _contest(bench, call, calls=bench.sizes.calls, rounds=bench.sizes.single)


def transaction(bench: WallBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            async with db.transaction():
                for number in range(STATEMENTS):
                    if number % 2:
                        await db.aio.update("User", key(), {"age": number})
                    else:
                        await db.aio.read("User", key())

        return run

    calls = max(1, bench.sizes.calls // STATEMENTS)
    return _contest(bench, call, calls=calls, rounds=bench.sizes.single)


def bulk_create(bench: WallBench) -> Contest:
    given = records(bench.sizes.bulk)

    def call(db: DataFlow) -> Callable[[], Any]:
        return partial(db.aio.bulk_create, "User", given)

    return _contest(bench, call, rounds=bench.sizes.rounds, items=bench.sizes.bulk)


MEASURES = (
    Measure("read", "read by key, row-level security (without = 1)", None, read),
    Measure("create", "create one record", None, create),
    Measure("transaction", "transaction of ten statements", 1.3, transaction),
    Measure("bulk_create", "bulk create", None, bulk_create),
)
