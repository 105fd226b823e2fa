"""F1: the server ends sessions at random while clients read and write."""

from __future__ import annotations

import asyncio
import time

import asyncpg

from bench.faults.case import Case, Verdict
from bench.faults.ledger import Clients, Ledger, open_ledgered, stored_names
from bench.faults.models import shown
from bench.faults.world import Leaks, World, run
from dataflow.errors import ConnectionLostError

SECONDS, EVERY_S, POOL = 30, 0.05, 10
SAFE = ("read", "change", "keyed")
OTHERS = ("unkeyed", "transaction")
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'dataflow' ORDER BY random() LIMIT 1"
)


async def _kill(url: str, seconds: float) -> int:
    connection = await asyncpg.connect(url)
    killed, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        killed += len(await connection.fetch(KILL))
        await asyncio.sleep(EVERY_S)
    await connection.close()
    return killed


async def _main(url: str, seconds: float, verdict: Verdict) -> None:
    ledger = Ledger()
    async with open_ledgered(url, pool_size=POOL, max_overflow=0) as db:
        await db.aio.create("Keyed", id="steady")
        clients = Clients(db, ledger)
        tasks = clients.start(3, *SAFE, *OTHERS)
        killed = await _kill(url, seconds)
        await clients.stop(tasks)
        ledger.judge(verdict, await stored_names(db))
        status = db.database.pool_status()
        verdict.require(status["in_use"] == status["waiting"] == 0, f"pool: {status}")
    clients.judge(verdict)
    for kind in SAFE:
        errors = clients.errors.get(kind, [])
        verdict.require(not errors, f"{len(errors)} errors of {kind}: {shown(errors)}")
    others = [error for kind in OTHERS for error in clients.errors.get(kind, [])]
    strange = [error for error in others if not isinstance(error, ConnectionLostError)]
    verdict.require(not strange, f"{len(strange)} other errors: {shown(strange)}")
    verdict.require(killed > 0, "no session was ended")
    verdict.figures |= {"killed": killed, "calls": clients.done.total(), "told": len(others)}


def ended_sessions(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    run(_main(url, SECONDS * world.share, verdict))
    with open_ledgered(url) as db:
        verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("F1", "a random session ended every 50 ms for 30 s", ended_sessions, kinds=("postgres",)),
)
