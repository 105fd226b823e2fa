"""F2: the server is restarted, and killed, while clients read and write."""

from __future__ import annotations

import asyncio

from bench.faults.case import Case, Verdict
from bench.faults.ledger import Clients, Ledger, open_ledgered, stored_names
from bench.faults.models import shown
from bench.faults.server import OwnServer
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow
from dataflow.errors import (
    CannotConnectError,
    ConnectionLostError,
    DatabaseBusyError,
    PoolExhaustedError,
)

TIMES, CALM_S, HEALTHY_S, POOL = 5, 1.0, 2.0, 10
KINDS = ("read", "change", "keyed", "unkeyed", "transaction")
EXPECTED = (CannotConnectError, ConnectionLostError, DatabaseBusyError, PoolExhaustedError)


async def _until_success(clients: Clients, since: float) -> float:
    for _ in range(3_000):
        later = [at for at in clients.successes if at > since]
        if later:
            return min(later) - since
        await asyncio.sleep(0.01)
    return float("inf")


async def _work(server: OwnServer, db: DataFlow, times: int, verdict: Verdict) -> None:
    ledger, slowest = Ledger(), 0.0
    await db.aio.create("Keyed", id="steady")
    clients = Clients(db, ledger)
    tasks = clients.start(2, *KINDS)
    for fault in (server.restart, server.kill):
        for _ in range(times):
            await asyncio.sleep(CALM_S)
            ready = await asyncio.to_thread(fault)
            slowest = max(slowest, await _until_success(clients, ready))
    await asyncio.sleep(CALM_S)
    await clients.stop(tasks)
    ledger.judge(verdict, await stored_names(db))
    clients.judge(verdict)
    errors = [error for found in clients.errors.values() for error in found]
    strange = [error for error in errors if not isinstance(error, EXPECTED)]
    verdict.require(not strange, f"{len(strange)} other errors: {shown(strange)}")
    verdict.require(slowest < float("inf"), "no success after a fault")
    verdict.require_time(slowest <= HEALTHY_S, f"first success after {slowest:.1f} s")
    verdict.figures |= {
        "faults": 2 * times, "calls": clients.done.total(), "told": len(errors),
        "first success": f"≤ {slowest:.2f} s",
    }  # fmt: skip


def ended_server(world: World) -> Verdict:
    verdict, leaks, server = Verdict(), Leaks(), OwnServer()

    async def main() -> None:
        async with open_ledgered(server.url, pool_size=POOL, max_overflow=0) as db:
            await _work(server, db, world.size(TIMES), verdict)

    try:
        run(main())
        with World("postgres", server.url, world.share) as own, open_ledgered(server.url) as db:
            verdict.problems += leaks.after(own, db, server.url)
    finally:
        server.stop()
    return verdict


CASES = (
    Case("F2", "server restarted 5 x and killed 5 x under load", ended_server,
         kinds=("postgres",), limit_s=600),
)  # fmt: skip
