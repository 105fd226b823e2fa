"""PostgreSQL, 100,000 records at a time, and the memory of a streamed million."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.alchemy import CORE, ORM
from bench.data import ALL, COLUMNS, FIELDS, keyed, records, rows, utc_now
from bench.fresh import run_fresh
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.postgres import PostgresBench

SLOW = 2
"""Rounds of contestants that take many times as long as the others."""

KEYED = ("id", *FIELDS)
EXECUTEMANY = "executemany"


def _bulk(bench: PostgresBench, before: Callable[[], Any], *contestants: Contestant) -> Contest:
    return Contest(contestants, rounds=bench.sizes.rounds, items=bench.sizes.bulk, before=before)


def create(bench: PostgresBench) -> Contest:
    given = records(bench.sizes.bulk)
    ready = rows(given, utc_now())
    marks = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
    insert = f"INSERT INTO users ({', '.join(COLUMNS)}) VALUES ({marks})"

    async def ours() -> None:
        await bench.db.aio.bulk_create("User", given)

    return _bulk(
        bench, bench.empty,
        Contestant(BASELINE, partial(bench.copy, ready)),
        Contestant(OURS, ours),
        Contestant(CORE, bench.core.bulk_create(given), SLOW),
        Contestant(ORM, bench.orm.bulk_create(given), 1),
        Contestant(EXECUTEMANY, partial(bench.raw.executemany, insert, ready), SLOW),
    )  # fmt: skip


def create_ids(bench: PostgresBench) -> Contest:
    given = records(bench.sizes.bulk)
    ready = rows(given, utc_now())

    async def ours() -> None:
        await bench.db.aio.bulk_create("User", given, returning="ids")

    return _bulk(
        bench, bench.empty,
        Contestant(BASELINE, partial(bench.copy, ready)),
        Contestant(OURS, ours),
        Contestant(CORE, bench.core.bulk_create(given, ids=True), SLOW),
    )  # fmt: skip


async def _stage(bench: PostgresBench, names: tuple[str, ...], ready: Any) -> None:
    columns = ", ".join(names)
    await bench.raw.execute(
        f"CREATE TEMPORARY TABLE stage ON COMMIT DROP AS SELECT {columns} FROM users WITH NO DATA"
    )
    await bench.raw.copy_records_to_table("stage", columns=names, records=ready)


def _refill(bench: PostgresBench, size: int) -> Callable[[], Any]:
    return partial(bench.seed, size)


def upsert(bench: PostgresBench) -> Contest:
    """Half of the records exist already."""
    given = keyed(bench.sizes.bulk, shift=1)
    ready = rows(given, utc_now(), KEYED)
    columns = ", ".join(ALL)
    # The time of creation stays, as it does in DataFlow.
    sets = ", ".join(f"{name} = excluded.{name}" for name in (*FIELDS, "updated_at"))

    async def raw() -> None:
        async with bench.raw.transaction():
            await _stage(bench, ALL, ready)
            await bench.raw.execute(
                f"INSERT INTO users ({columns}) SELECT {columns} FROM stage "
                f"ON CONFLICT (id) DO UPDATE SET {sets}"
            )

    async def ours() -> None:
        await bench.db.aio.bulk_upsert("User", given)

    marks = ", ".join(f"${number}" for number in range(1, len(ALL) + 1))
    many = f"INSERT INTO users ({columns}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {sets}"
    return _bulk(
        bench, _refill(bench, bench.sizes.bulk // 2),
        Contestant(BASELINE, raw),
        Contestant(OURS, ours),
        Contestant(EXECUTEMANY, partial(bench.raw.executemany, many, ready), SLOW),
    )  # fmt: skip


def update(bench: PostgresBench) -> Contest:
    given = [{"id": item["id"], "age": item["age"]} for item in keyed(bench.sizes.bulk, shift=1)]
    now = utc_now()
    ready = [(item["age"], now, item["id"]) for item in given]

    async def raw() -> None:
        async with bench.raw.transaction():
            await _stage(bench, ("age", "updated_at", "id"), ready)
            await bench.raw.execute("ANALYZE stage")
            await bench.raw.execute(
                "UPDATE users AS t SET age = s.age, updated_at = s.updated_at "
                "FROM stage AS s WHERE t.id = s.id"
            )

    async def ours() -> None:
        await bench.db.aio.bulk_update("User", given)

    many = "UPDATE users SET age = $1, updated_at = $2 WHERE id = $3"
    return _bulk(
        bench, _refill(bench, bench.sizes.bulk),
        Contestant(BASELINE, raw),
        Contestant(OURS, ours),
        Contestant(EXECUTEMANY, partial(bench.raw.executemany, many, ready), SLOW),
    )  # fmt: skip


def delete(bench: PostgresBench) -> Contest:
    ids = list(range(1, bench.sizes.bulk + 1))

    async def raw() -> None:
        await bench.raw.execute("DELETE FROM users WHERE id = ANY($1)", ids)

    async def ours() -> None:
        await bench.db.aio.bulk_delete("User", ids=ids)

    return _bulk(
        bench, _refill(bench, bench.sizes.bulk),
        Contestant(BASELINE, raw), Contestant(OURS, ours),
    )  # fmt: skip


def memory(bench: PostgresBench) -> Contest:
    def used_by(who: str) -> Callable[[], float]:
        return lambda: run_fresh("-m", "bench.memory", who, bench.url, str(bench.sizes.stream))

    contestants = (Contestant(BASELINE, used_by("raw")), Contestant(OURS, used_by("ours")))
    return Contest(contestants, rounds=1, before=bench.empty, reports=True)


MEASURES = (
    Measure("bulk_create", "bulk create 100k, validated (COPY = 1)", 1.6, create),
    Measure("bulk_create_ids", "bulk create 100k, ids returned (COPY = 1)", 1.9, create_ids),
    Measure("bulk_upsert", "bulk upsert 100k, half exist (COPY, ON CONFLICT = 1)", 1.3, upsert),
    Measure("bulk_update", "bulk update 100k values (COPY, UPDATE FROM = 1)", 1.3, update),
    Measure("bulk_delete", "bulk delete 100k by key (= ANY = 1)", 1.3, delete),
    Measure("memory", "client memory of 1M from a generator", 60.0, memory, "MB"),
)
