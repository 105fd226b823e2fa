"""What the audit log costs: the same verb on an audited model and on one that is not."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench.data import Sizes, cycle_keys, declare_user, keyed, record, records
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.postgres import database, execute
from dataflow import DataFlow

SEEDED = 10_000


class AuditBench:
    """Two DataFlow objects with the same model, each on a database of its own.

    Attributes:
        tidy: Runs untimed before each timing of a bulk call; None where nothing piles up.
    """

    tidy: Callable[[], Any] | None = None

    def __init__(self, runner: asyncio.Runner, urls: tuple[str, str], sizes: Sizes) -> None:
        self.runner = runner
        self.sizes = sizes
        self.plain, self.audited = (DataFlow(url, pool_size=10, max_overflow=0) for url in urls)
        self.audited.enable_audit_log()
        for db in (self.plain, self.audited):
            declare_user(db)
            runner.run(db.aio.bulk_create("User", records(SEEDED)))

    def versions(self) -> list[str]:
        return []

    def close(self) -> None:
        for db in (self.plain, self.audited):
            self.runner.run(db.aclose())


@contextmanager
def _opened(runner: asyncio.Runner, urls: tuple[str, str], sizes: Sizes) -> Iterator[AuditBench]:
    bench = AuditBench(runner, urls, sizes)
    try:
        yield bench
    finally:
        bench.close()


@contextmanager
def open_sqlite(runner: asyncio.Runner, sizes: Sizes) -> Iterator[AuditBench]:
    """Make two files for the time of the measurements."""
    with tempfile.TemporaryDirectory(prefix="dataflow-bench-") as folder:
        urls = (f"sqlite:///{folder}/plain.db", f"sqlite:///{folder}/audited.db")
        with _opened(runner, urls, sizes) as bench:
            yield bench


@contextmanager
def open_postgres(runner: asyncio.Runner, server: str, sizes: Sizes) -> Iterator[AuditBench]:
    """Make two databases for the time of the measurements."""
    with (
        database(runner, server) as plain,
        database(runner, server, "audited") as audited,
        _opened(runner, (plain, audited), sizes) as bench,
    ):
        for url in (plain, audited):
            # Autovacuum would start in the middle of somebody's round.
            runner.run(execute(url, "ALTER TABLE users SET (autovacuum_enabled = false)"))
        bench.tidy = partial(_vacuum, (plain, audited))
        yield bench


async def _vacuum(urls: tuple[str, str]) -> None:
    for url in urls:
        await execute(url, "VACUUM users")


Call = Callable[[DataFlow], Callable[[], Any]]


def _contest(bench: AuditBench, call: Call, **options: Any) -> Contest:
    contestants = (
        Contestant(BASELINE, call(bench.plain)),
        Contestant(OURS, call(bench.audited)),
    )
    return Contest(contestants, **options)


def _single(bench: AuditBench, call: Call) -> Contest:
    return _contest(bench, call, calls=bench.sizes.calls, rounds=bench.sizes.single)


def _bulk(bench: AuditBench, call: Call) -> Contest:
    # Both sides do nearly the same, so that the difference is small beside the machine's noise.
    rounds = 3 * bench.sizes.rounds
    return _contest(bench, call, rounds=rounds, items=bench.sizes.bulk, before=bench.tidy)


def create(bench: AuditBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            await db.aio.create("User", record(key()))

        return run

    return _single(bench, call)


def update(bench: AuditBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            number = key()
            await db.aio.update("User", number, {"age": number % 90})

        return run

    return _single(bench, call)


def acting(bench: AuditBench) -> Contest:
    def call(db: DataFlow) -> Callable[[], Any]:
        key = cycle_keys(SEEDED)

        async def run() -> None:
            number = key()
            async with db.acting("somebody", correlation_id="a request"):
                await db.aio.update("User", number, {"age": number % 90})

        return run

    return _single(bench, call)


def bulk_create(bench: AuditBench) -> Contest:
    given = records(bench.sizes.bulk)

    def call(db: DataFlow) -> Callable[[], Any]:
        async def run() -> None:
            await db.aio.bulk_create("User", given)

        return run

    return _bulk(bench, call)


def bulk_update(bench: AuditBench) -> Contest:
    given = [{"id": row["id"], "age": row["age"]} for row in keyed(bench.sizes.bulk)]
    for db in (bench.plain, bench.audited):
        missing = bench.sizes.bulk - bench.runner.run(db.aio.count("User"))
        if missing > 0:
            bench.runner.run(db.aio.bulk_create("User", records(missing)))

    def call(db: DataFlow) -> Callable[[], Any]:
        return partial(db.aio.bulk_update, "User", given)

    return _bulk(bench, call)


def verify(bench: AuditBench) -> Contest:
    async def run() -> None:
        await bench.audited.aio.audit.verify()

    entries = bench.runner.run(bench.audited.aio.audit.verify()).entries
    return Contest((Contestant(BASELINE, run, 1), Contestant(OURS, run)), rounds=3, items=entries)


MEASURES = (
    Measure("create", "create one record, audited (not audited = 1)", 2.2, create),
    Measure("update", "update by key, audited", 2.2, update),
    Measure("acting", "the same with actor and correlation id", 2.2, acting),
    Measure("verify", "verify the log, per entry", None, verify, "us"),
    Measure("bulk_create", "bulk create, audited", 1.5, bulk_create),
    Measure("bulk_update", "bulk update by key, audited", 1.5, bulk_update),
)
