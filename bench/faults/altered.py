"""F9: tables are altered while prepared statements use them."""

from __future__ import annotations

import asyncio

import asyncpg

from bench.faults.case import Case, Verdict
from bench.faults.ledger import Clients, Ledger, open_ledgered, stored_names
from bench.faults.models import shown
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow

CHANGES, EVERY_S, POOL = 10, 0.3, 10
KINDS = ("read", "change", "keyed", "unkeyed", "transaction")


class _Clients(Clients):
    async def several(self) -> None:
        """Read tables one after the other, of which the later ones may have been altered."""

        async def both() -> None:
            await self.db.aio.list("Entry", limit=1)
            await self.db.aio.read("Keyed", "steady")

        await self.db.aio.run_transaction(both)

    async def savepoint(self) -> None:
        async with self.db.transaction(), self.db.transaction(savepoint=True):
            await self.db.aio.read("Keyed", "steady")


async def _alter(url: str, changes: int) -> None:
    connection = await asyncpg.connect(url)
    for number in range(changes):
        kind = "smallint" if number % 2 else "bigint"
        await connection.execute(f"ALTER TABLE keyeds ALTER COLUMN value TYPE {kind}")
        await connection.execute(f"ALTER TABLE entries ADD COLUMN extra_{number} integer")
        await asyncio.sleep(EVERY_S)
    await connection.close()


async def _work(db: DataFlow, url: str, changes: int, verdict: Verdict) -> None:
    ledger = Ledger()
    await db.aio.create("Keyed", id="steady")
    await db.aio.create("Entry", name="steady")
    clients = _Clients(db, ledger)
    clients.ledger.acknowledge("steady")
    tasks = clients.start(2, *KINDS, "several", "savepoint")
    await _alter(url, changes)
    await clients.stop(tasks)
    ledger.judge(verdict, await stored_names(db))
    errors = [error for found in clients.errors.values() for error in found]
    verdict.require(not errors, f"{len(errors)} errors: {shown(errors)}")
    clients.judge(verdict)
    verdict.figures |= {"alters": 2 * changes, "calls": clients.done.total(), "errors": len(errors)}


def altered_tables(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()

    async def main() -> None:
        async with open_ledgered(url, pool_size=POOL, max_overflow=0) as db:
            await _work(db, url, max(4, world.size(CHANGES)), verdict)

    run(main())
    with open_ledgered(url) as db:
        verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("F9", "10 x ALTER TABLE of two tables under load", altered_tables, kinds=("postgres",)),
)
