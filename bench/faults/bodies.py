"""I7, I8: bodies with fields that are not the caller's, and concurrent upserts."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, shown
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError, StaleRecordError

TASKS = 50
KEYS = 200
ROUNDS = 4


def open_stock(url: str) -> DataFlow:
    db = DataFlow(url, pool_timeout_s=120.0)

    @db.model(multi_tenant=True, versioned=True, soft_delete=True, timestamps=True)
    class Item:
        id: int
        sku: str = Field(unique=True)
        n: int = 0

    return db


THEN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
REFUSED: dict[str, Any] = {
    "id": 5, "tenant_id": "globex", "__class__": "User", "__dict__": {}, "__init__": 1,
    "admin": True, "n ": 1, "N": 1, "items.n": 1, "n; DROP TABLE items": 1, "_sa_instance_state": 1,
}  # fmt: skip
OWN: dict[str, Any] = {"tenant_id": "acme", "created_at": THEN, "updated_at": THEN}


def _ways(db: DataFlow, extra: dict[str, Any]) -> dict[str, Any]:
    row = {"sku": "new", "n": 1, **extra}
    change = {"n": 2, **extra}
    ways = {
        "create": lambda: db.create("Item", row),
        "bulk create": lambda: db.bulk_create("Item", [row]),
        "bulk upsert": lambda: db.bulk_upsert("Item", [row], conflict_on=["sku"]),
        "bulk update": lambda: db.bulk_update("Item", {"sku": "old"}, change),
        "update": lambda: db.update("Item", {"sku": "old"}, change),
    }
    if "id" not in extra:
        key = db.read("Item", filter={"sku": "old"})
        ways["rows"] = lambda: db.bulk_update("Item", [{"id": (key or {})["id"], **change}])
    return ways


def odd_bodies(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db, tried, codes = open_stock(url), 0, set()
    with db.tenant("acme"):
        old = db.create("Item", sku="old")
        for name, value in REFUSED.items():
            for way, call in _ways(db, {name: value}).items():
                tried += 1
                try:
                    call()
                except DataFlowError as error:
                    codes.add(error.code)
                    verdict.require(name in str(error), f"{way} {name!r}: does not name it")
                except BaseException as error:  # noqa: BLE001 - told in the verdict
                    verdict.problems.append(f"{way} {name!r}: {error!r}")
                else:
                    verdict.problems.append(f"{way} {name!r}: accepted")
        verdict.require(db.list("Item")["records"] == [old], "a refused body left something")
        record = db.create("Item", {"sku": "own", **OWN})
        verdict.require(record["created_at"] == THEN, "a given time was not kept")
        verdict.require(record["tenant_id"] == "acme", "the own tenant was not kept")
        changed = db.update("Item", {"sku": "old"}, {"version": 70})
        verdict.require(changed is not None and changed["version"] == 2, "a version was set")
    verdict.figures = {"bodies": tried, "codes": "+".join(sorted(codes))}
    verdict.problems += leaks.after(world, db, url)
    return verdict


async def _upserts(db: DataFlow, verdict: Verdict, tasks: int) -> None:
    async def one(number: int) -> None:
        async with db.tenant("acme"):
            for key in range(KEYS):
                row = {"sku": f"s{(key + number) % KEYS}", "n": number}
                await db.aio.bulk_upsert("Item", [row], conflict_on=["sku"])

    found = await asyncio.gather(*map(one, range(tasks)), return_exceptions=True)
    errors = [item for item in found if isinstance(item, BaseException)]
    verdict.require(not errors, f"{len(errors)} tasks failed: {shown(errors)}")
    verdict.problems += foreign(errors)
    async with db.tenant("acme"):
        items = (await db.aio.list("Item", limit=None))["records"]
    lost = sum(tasks - item["version"] for item in items)
    verdict.require(len(items) == KEYS, f"{len(items)} records instead of {KEYS}")
    verdict.require(not lost, f"{lost} upserts were lost")
    verdict.figures |= {"upserts": tasks * KEYS, "lost": lost}


async def _checked_updates(db: DataFlow, verdict: Verdict, tasks: int) -> None:
    """Each task adds one to each of ten records, if nobody has changed them in between."""
    stale = 0

    async def one() -> None:
        nonlocal stale
        async with db.tenant("acme"):
            for key in range(10):
                while True:
                    item = await db.aio.read("Item", filter={"sku": f"s{key}"})
                    assert item is not None
                    try:
                        await db.aio.update(
                            "Item", item["id"], {"n": item["n"] + 1}, expect_version=item["version"]
                        )
                        break
                    except StaleRecordError:
                        stale += 1

    async with db.tenant("acme"):
        await db.aio.bulk_update("Item", {"sku": {"$in": [f"s{n}" for n in range(10)]}}, {"n": 0})
    for _ in range(ROUNDS):
        await asyncio.gather(*(one() for _ in range(tasks)))
    async with db.tenant("acme"):
        wanted = {"sku": {"$in": [f"s{n}" for n in range(10)]}}
        items = (await db.aio.list("Item", wanted))["records"]
    lost = sum(ROUNDS * tasks - item["n"] for item in items)
    verdict.require(not lost, f"{lost} version-checked updates were lost")
    verdict.figures |= {"checked": 10 * ROUNDS * tasks, "refused": stale, "lost updates": lost}


async def _both(db: DataFlow, verdict: Verdict, tasks: int) -> None:
    await _upserts(db, verdict, tasks)
    await _checked_updates(db, verdict, tasks)


def concurrent_upserts(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_stock(url)
    run(_both(db, verdict, world.size(TASKS)))
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("I7", "bodies with keys, tenants, versions, unknown fields", odd_bodies),
    Case("I8", "50 tasks upsert the same 200 keys; version-checked updates", concurrent_upserts,
         limit_s=600),
)  # fmt: skip
