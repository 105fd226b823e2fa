"""T6: row-level security: nothing gets through, nothing is left on a connection."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg

from bench.faults.case import Case, Verdict
from bench.faults.tenants import TENANTS, open_boxes, play
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow
from dataflow.errors import ConfigurationError, DataFlowError

OPERATIONS, DISTURBED, AT_ONCE = 10_000, 3_000, 40
SEEN = "SELECT count(*), count(DISTINCT tenant_id), min(tenant_id) FROM boxes"
LEFT = (
    "SELECT coalesce(current_setting('dataflow.tenant', true), '') || "
    "coalesce(current_setting('dataflow.all_tenants', true), '')"
)


async def _one(db: DataFlow, dice: random.Random, tenant: str) -> bool:
    """Ask by SQL that no tenant's condition is in; return whether another's was seen."""
    with db.tenant(tenant):
        if dice.random() < 0.5:
            _, tenants, least = (await db.database.fetch(SEEN, ()))[0]
        else:
            async with db.transaction():
                await db.aio.bulk_update("Box", {"n": dice.randrange(100)}, {"n": 1})
                _, tenants, least = (await db.database.fetch(SEEN, ()))[0]
                if dice.random() < 0.3:
                    raise ZeroDivisionError
    return tenants > 1 or least not in (None, tenant)


async def _disturb(world: World, db: DataFlow, verdict: Verdict) -> int:
    """Let tenants at once be cancelled and fail; return how many calls did not end well."""
    dice, places, broken, foreign = random.Random(7), asyncio.Semaphore(AT_ONCE), 0, 0

    async def one(tenant: str, steps: int) -> None:
        nonlocal broken, foreign
        async with places:
            task = asyncio.ensure_future(_one(db, dice, tenant))
            for _ in range(steps):
                await asyncio.sleep(0)
            if steps:
                task.cancel()
            try:
                foreign += await task
            except (asyncio.CancelledError, ZeroDivisionError, DataFlowError):
                broken += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(world.size(DISTURBED)):
            steps = dice.randrange(30) if dice.random() < 0.3 else 0
            group.create_task(one(dice.choice(TENANTS), steps))
    verdict.require(not foreign, f"{foreign} queries of a tenant saw another's records")
    await _look_at_pool(db, verdict)
    return broken


async def _look_at_pool(db: DataFlow, verdict: Verdict) -> None:
    lane = await db.database.lane()
    fairies = [await lane.take(write=False) for _ in range(lane.driver.slots)]
    left = [await fairy.driver_connection.fetchval(LEFT) for fairy in fairies]
    for fairy in fairies:
        lane.give(fairy, write=False)
    verdict.require(not any(left), f"left on pooled connections: {left}")


async def _from_outside(url: str, verdict: Verdict) -> None:
    """Ask as the same role, without DataFlow."""
    connection: Any = await asyncpg.connect(url)
    verdict.require((await connection.fetchval(SEEN)) == 0, "records are seen without a tenant")
    for tenant in TENANTS:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL dataflow.tenant = '{tenant}'")
            _, tenants, least = await connection.fetchrow(SEEN)
        verdict.require((tenants, least) == (1, tenant), f"{tenant} sees {tenants}, {least}")
    await connection.execute("ALTER TABLE boxes NO FORCE ROW LEVEL SECURITY")
    await connection.close()


def _is_refused(url: str) -> bool:
    """Whether a DataFlow that writes no schema refuses to work there."""
    db = open_boxes(url, row_level_security=True, auto_migrate=False)
    try:
        with db.tenant(TENANTS[0]):
            db.count("Box")
    except ConfigurationError:
        return True
    finally:
        db.close()
    return False


async def _work(world: World, db: DataFlow, verdict: Verdict) -> None:
    await play(world, db, verdict, OPERATIONS)
    verdict.figures["disturbed"] = await _disturb(world, db, verdict)


def behind_the_wall(world: World) -> Verdict:
    verdict, leaks, superuser = Verdict(), Leaks(), world.url()
    url = world.plain_url()
    db = open_boxes(url, row_level_security=True, max_overflow=0)
    run(_work(world, db, verdict))
    run(_from_outside(url, verdict))
    verdict.problems += leaks.after(world, db, url)
    verdict.require(_is_refused(url), "an owner whom no policy binds was let in")
    verdict.require(_is_refused(superuser), "a superuser was let in")
    return verdict


CASES = (
    Case("T6", "row-level security: operations, cancelled calls, refusals", behind_the_wall,
         ("postgres",), limit_s=900),
)  # fmt: skip
