"""SQLite, one record at a time: a thread hop and the statement is 1.0."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.alchemy import CORE, ORM
from bench.data import ALL, COLUMNS, Record, cycle_keys, record
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.sqlite import SEEDED, SqliteBench, text_now

READ = f"SELECT {', '.join(ALL)} FROM users WHERE id = ?"
CREATE = (
    f"INSERT INTO users ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?) RETURNING {', '.join(ALL)}"
)
UPDATE = f"UPDATE users SET age = ?, updated_at = ? WHERE id = ? RETURNING {', '.join(ALL)}"
LIST = f"SELECT {', '.join(ALL)} FROM users ORDER BY id LIMIT ?"


def as_record(row: tuple[Any, ...]) -> Record:
    """Return what DataFlow returns: a bool and instants, not SQLite's numbers and text."""
    key, name, email, active, age, created, updated = row
    return {
        "id": key,
        "name": name,
        "email": email,
        "active": bool(active),
        "age": age,
        "created_at": dt.datetime.fromisoformat(created),
        "updated_at": dt.datetime.fromisoformat(updated),
    }


def _hop(bench: SqliteBench, arguments: Callable[[], tuple[str, tuple[Any, ...]]]) -> Contestant:
    execute, hop = bench.raw.execute, bench.hop.run

    async def run() -> None:
        sql, values = arguments()
        as_record((await hop(lambda: execute(sql, values).fetchall()))[0])

    return Contestant(BASELINE, run)


def _single(bench: SqliteBench, *contestants: Contestant) -> Contest:
    bench.seed()
    return Contest(contestants, calls=bench.sizes.calls, rounds=bench.sizes.single)


def read(bench: SqliteBench) -> Contest:
    key, aio = cycle_keys(SEEDED), bench.db.aio

    async def ours() -> None:
        await aio.read("User", key())

    async def core() -> None:
        await bench.core.read(key())

    async def orm() -> None:
        await bench.orm.read(key())

    return _single(
        bench, _hop(bench, lambda: (READ, (key(),))), Contestant(OURS, ours),
        Contestant(CORE, core), Contestant(ORM, orm),
    )  # fmt: skip


def create(bench: SqliteBench) -> Contest:
    key, aio = cycle_keys(SEEDED), bench.db.aio

    def arguments() -> tuple[str, tuple[Any, ...]]:
        now = text_now()
        return CREATE, (*record(key()).values(), now, now)

    async def ours() -> None:
        await aio.create("User", record(key()))

    async def core() -> None:
        await bench.core.create(record(key()))

    async def orm() -> None:
        await bench.orm.create(record(key()))

    return _single(
        bench, _hop(bench, arguments), Contestant(OURS, ours),
        Contestant(CORE, core), Contestant(ORM, orm),
    )  # fmt: skip


def update(bench: SqliteBench) -> Contest:
    key, aio = cycle_keys(SEEDED), bench.db.aio

    def arguments() -> tuple[str, tuple[Any, ...]]:
        number = key()
        return UPDATE, (number % 90, text_now(), number)

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
        bench, _hop(bench, arguments), Contestant(OURS, ours),
        Contestant(CORE, core), Contestant(ORM, orm),
    )  # fmt: skip


def list_100(bench: SqliteBench) -> Contest:
    execute, aio = bench.raw.execute, bench.db.aio

    async def raw() -> None:
        [as_record(row) for row in execute(LIST, (100,)).fetchall()]

    async def ours() -> None:
        await aio.list("User", limit=100)

    return _single(
        bench, Contestant(BASELINE, raw), Contestant(OURS, ours),
        Contestant(CORE, partial(bench.core.list, 100)),
        Contestant(ORM, partial(bench.orm.list, 100)),
    )  # fmt: skip


MEASURES = (
    Measure("read", "read by key (a thread hop + the statement = 1)", 2.5, read),
    Measure("create", "create one record (hop + statement = 1)", 2.5, create),
    Measure("update", "update by key (hop + statement = 1)", 2.5, update),
    Measure("list_100", "list 100 records as dicts (same thread = 1)", 1.6, list_100),
)
