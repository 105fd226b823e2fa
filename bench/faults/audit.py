"""T5, while it is written: no change without its entry and no entry without its change."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow
from dataflow.errors import DataFlowError

CHANGES, AT_ONCE, RECORDS = 3_000, 50, 30


def declare(db: DataFlow) -> None:
    @db.model(audit=True, soft_delete=True)
    class Account:
        name: str
        amount: int = 0


async def _in_transaction(db: DataFlow, dice: random.Random) -> None:
    async with db.transaction():
        key = dice.randrange(1, RECORDS)
        await db.aio.update("Account", key, {"amount": dice.randrange(100)})
        await db.aio.bulk_create("Account", [{"name": "t"}, {"name": "u"}])
        if dice.random() < 0.4:
            raise ZeroDivisionError


async def _change(db: DataFlow, dice: random.Random) -> None:
    """Make one change of a random kind; keys ascend, so that nothing deadlocks."""
    key, kind = dice.randrange(1, RECORDS), dice.randrange(8)
    if kind == 0:
        await db.aio.create("Account", name="new", amount=key)
    elif kind == 1:
        await db.aio.update("Account", key, {"amount": dice.randrange(100)})
    elif kind == 2:
        await db.aio.delete("Account", key, hard=dice.random() < 0.3)
    elif kind == 3:
        await db.aio.bulk_upsert("Account", [{"id": key + n, "name": "up"} for n in range(3)])
    elif kind == 4:
        await db.aio.bulk_update("Account", {"id": key}, {"name": "many"})
    elif kind == 5:
        await db.aio.bulk_create("Account", ({"name": "bulk"} for _ in range(20)))
    elif kind == 6 and dice.random() < 0.1:
        await db.aio.bulk_create("Account", ({"name": "many"} for _ in range(150)))
    else:
        await _in_transaction(db, dice)


async def _one(db: DataFlow, dice: random.Random, *, cancel: bool) -> BaseException | None:
    task = asyncio.ensure_future(_change(db, dice))
    if cancel and dice.random() < 0.3:
        for _ in range(dice.randrange(40)):
            await asyncio.sleep(0)
        task.cancel()
    try:
        async with db.acting("writer"):
            await task
    except (asyncio.CancelledError, ZeroDivisionError, DataFlowError) as error:
        return error
    return None


async def _all(world: World, db: DataFlow, count: int) -> list[BaseException]:
    dice = random.Random(7)
    await db.aio.bulk_create("Account", [{"name": str(n)} for n in range(RECORDS)])
    places = asyncio.Semaphore(AT_ONCE)
    found: list[BaseException] = []

    async def limited(number: int, *, cancel: bool) -> None:
        async with places:
            if world.kind == "postgres" and not cancel and number % 20 == 0:
                await _kill_one(db)
            error = await _one(db, dice, cancel=cancel)
            if error is not None:
                found.append(error)

    for cancel in (False, True):
        await asyncio.gather(*(limited(number, cancel=cancel) for number in range(count // 2)))
    return found


async def _kill_one(db: DataFlow) -> None:
    sql = (
        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND application_name = 'dataflow' ORDER BY random() LIMIT 1) AS victims"
    )
    try:
        await db.database.fetch(sql, ())
    except DataFlowError:  # the killer itself was killed
        return


def _replayed(db: DataFlow, verdict: Verdict) -> dict[int, Any]:
    """Return what the entries say that the table holds, record by record."""
    entries = db.audit.get_recent_activity(hours=24, limit=10**7)
    sqlite = db.database.driver.name == "sqlite"
    order = [(e.sequence,) if sqlite else (e.at, e.partition, e.sequence) for e in entries]
    state: dict[int, Any] = {}
    for _, number in sorted(zip(order, range(len(entries)), strict=True)):
        entry = entries[number]
        key = int(entry.key or 0)
        if state.get(key) != entry.before:
            verdict.problems.append(f"record {key}: {entry.before} follows {state.get(key)}")
        state[key] = entry.after
    return {key: record for key, record in state.items() if record is not None}


def writing(world: World) -> Verdict:
    verdict, count, url = Verdict(), world.size(CHANGES), world.url()
    with DataFlow(url) as before:
        declare(before)
        before.create_tables()
    leaks = Leaks()
    db = DataFlow(url, pool_timeout_s=120.0)
    declare(db)
    db.create_tables()

    complaints: list[str] = []

    async def main() -> list[BaseException]:
        # asyncpg leaves futures behind when a backend is killed during COPY.
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, facts: complaints.append(str(facts["message"])))
        async with DataFlow(url, pool_timeout_s=120.0) as mine:
            declare(mine)
            return await _all(world, mine, count)

    errors = run(main())
    expected = (asyncio.CancelledError, ZeroDivisionError)
    strange = foreign([error for error in errors if not isinstance(error, expected)])
    report = db.audit.verify()
    records = db.list("Account", limit=None, include_deleted=True)["records"]
    replayed = _replayed(db, verdict)
    table = {record["id"]: record for record in records}
    verdict.require(not strange, f"foreign errors: {strange[:2]}")
    verdict.require(report.ok, f"the chain is broken: {report.problems[:3]}")
    verdict.require(replayed == table, "the log and the table tell different stories")
    others = {text for text in complaints if "never retrieved" not in text}
    verdict.require(not others, f"the loop complains: {others}")
    verdict.problems += leaks.after(world, db, url)
    verdict.figures = {
        "changes": count,
        "failed or cancelled": len(errors),
        "entries": report.entries,
        "records": len(table),
        "chains": report.chains,
        "asyncpg's complaints": len(complaints),
    }
    return verdict


CASES = (Case("T5w", "audit under cancels, rollbacks, killed connections", writing, limit_s=300),)
