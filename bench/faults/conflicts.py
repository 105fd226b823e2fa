"""F10: transactions that lock each other out, or cannot be ordered."""

from __future__ import annotations

import asyncio
from collections import Counter

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow

PAIRS, COUNTS, AT_ONCE, MOST_RETRIES = 200, 400, 10, 5


class _Tries:
    """How often each piece of work was begun."""

    def __init__(self) -> None:
        self.of: Counter[int] = Counter()

    @property
    def retries(self) -> int:
        return max(self.of.values()) - 1


async def _deadlocks(db: DataFlow, pairs: int, tries: _Tries) -> list[BaseException]:
    async def cross(number: int, first: int, second: int, met: asyncio.Barrier) -> None:
        tries.of[number] += 1
        await db.aio.update("User", first, {"score": number})
        if tries.of[number] == 1:
            await met.wait()
        await db.aio.update("User", second, {"score": number})

    errors: list[BaseException] = []
    for number in range(0, pairs * 2, 2):
        met = asyncio.Barrier(2)
        found = await asyncio.gather(
            db.aio.run_transaction(cross, number, 1, 2, met),
            db.aio.run_transaction(cross, number + 1, 2, 1, met),
            return_exceptions=True,
        )
        errors += [error for error in found if error is not None]
    return errors


async def _additions(db: DataFlow, count: int, tries: _Tries) -> list[BaseException]:
    async def add(number: int) -> None:
        tries.of[number] += 1
        record = await db.aio.read("User", 3)
        await db.aio.update("User", 3, {"score": record["score"] + 1})

    errors: list[BaseException] = []
    for start in range(0, count, AT_ONCE):
        group = [
            db.aio.run_transaction(add, number, isolation="serializable")
            for number in range(start, start + AT_ONCE)
        ]
        found = await asyncio.gather(*group, return_exceptions=True)
        errors += [error for error in found if error is not None]
    return errors


async def _main(db: DataFlow, world: World, verdict: Verdict) -> None:
    for name in "abc":
        await db.aio.create("User", name=name)
    # One second is how long PostgreSQL waits before it looks for a deadlock.
    crossed, added = _Tries(), _Tries()
    pairs, count = world.size(PAIRS), world.size(COUNTS)
    errors = await _deadlocks(db, pairs, crossed) + await _additions(db, count, added)
    record = await db.aio.read("User", 3)
    verdict.require(not errors, f"{len(errors)} errors: {shown(errors)}")
    verdict.problems += foreign(errors)
    total = record["score"] if record else None
    verdict.require(total == count, f"the sum is {total}, not {count}")
    for name, tries in (("deadlock", crossed), ("serialization", added)):
        most = tries.retries
        verdict.require(most <= MOST_RETRIES, f"{name}: {most} retries > {MOST_RETRIES}")
        verdict.require(most > 0, f"{name}: nothing collided")
    verdict.figures = {
        "pairs": pairs, "additions": count, "errors": len(errors),
        "retries": f"≤ {crossed.retries} and ≤ {added.retries}",
    }  # fmt: skip


def conflicting_transactions(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    name = url.rpartition("/")[2]
    world.admin(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '20ms'")

    async def main() -> None:
        async with open_shop(url, pool_size=AT_ONCE, max_overflow=0) as db:
            await _main(db, world, verdict)

    run(main())
    with open_shop(url) as db:
        verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("F10", "200 deadlocked pairs, 400 serializable additions, 10 at once",
         conflicting_transactions, kinds=("postgres",)),
)  # fmt: skip
