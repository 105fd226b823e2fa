"""SQLite, 100,000 records at a time; `executemany` in the same thread is 1.0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.alchemy import CORE, ORM
from bench.data import ALL, FIELDS, keyed, records, rows
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.sqlite import SqliteBench, text_now, write_many

SLOW = 2
"""Rounds of contestants that take many times as long as the others."""

KEYED = ("id", *FIELDS)


def _bulk(bench: SqliteBench, before: Callable[[], Any], *contestants: Contestant) -> Contest:
    return Contest(contestants, rounds=bench.sizes.rounds, items=bench.sizes.bulk, before=before)


def create(bench: SqliteBench, *, ids: bool = False) -> Contest:
    given = records(bench.sizes.bulk)
    ready = rows(given, text_now())

    async def ours() -> None:
        await bench.db.aio.bulk_create("User", given, returning="ids" if ids else None)

    others = () if ids else (Contestant(ORM, bench.orm.bulk_create(given), 1),)
    return _bulk(
        bench, bench.empty,
        Contestant(BASELINE, partial(bench.insert, bench.raw, ready)),
        Contestant(OURS, ours),
        Contestant(CORE, bench.core.bulk_create(given, ids=ids), 1 if ids else SLOW),
        *others,
    )  # fmt: skip


def upsert(bench: SqliteBench) -> Contest:
    """Half of the records exist already."""
    given = keyed(bench.sizes.bulk, shift=1)
    ready = rows(given, text_now(), KEYED)
    sets = ", ".join(f"{name} = excluded.{name}" for name in (*FIELDS, "updated_at"))
    sql = (
        f"INSERT INTO users ({', '.join(ALL)}) VALUES (?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (id) DO UPDATE SET {sets}"
    )

    async def ours() -> None:
        await bench.db.aio.bulk_upsert("User", given)

    return _bulk(
        bench, partial(bench.seed, bench.sizes.bulk // 2),
        Contestant(BASELINE, partial(write_many, bench.raw, sql, ready)),
        Contestant(OURS, ours),
    )  # fmt: skip


def update(bench: SqliteBench) -> Contest:
    given = [{"id": item["id"], "age": item["age"]} for item in keyed(bench.sizes.bulk, shift=1)]
    now = text_now()
    ready = [(item["age"], now, item["id"]) for item in given]
    sql = "UPDATE users SET age = ?, updated_at = ? WHERE id = ?"

    async def ours() -> None:
        await bench.db.aio.bulk_update("User", given)

    return _bulk(
        bench, partial(bench.seed, bench.sizes.bulk),
        Contestant(BASELINE, partial(write_many, bench.raw, sql, ready)),
        Contestant(OURS, ours),
    )  # fmt: skip


def delete(bench: SqliteBench) -> Contest:
    ids = list(range(1, bench.sizes.bulk + 1))
    ready = [(key,) for key in ids]
    sql = "DELETE FROM users WHERE id = ?"

    async def ours() -> None:
        await bench.db.aio.bulk_delete("User", ids=ids)

    return _bulk(
        bench, partial(bench.seed, bench.sizes.bulk),
        Contestant(BASELINE, partial(write_many, bench.raw, sql, ready)),
        Contestant(OURS, ours),
    )  # fmt: skip


MEASURES = (
    Measure("bulk_create", "bulk create 100k, validated (executemany = 1)", 1.3, create),
    Measure("bulk_create_ids", "bulk create 100k, ids returned", 1.5, partial(create, ids=True)),
    Measure("bulk_upsert", "bulk upsert 100k, half exist", 1.4, upsert),
    Measure("bulk_update", "bulk update 100k values", None, update),
    Measure("bulk_delete", "bulk delete 100k by key", None, delete),
)
