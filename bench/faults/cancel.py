"""F4: cancellation at random moments, of four kinds of work."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown
from bench.faults.world import Leaks, World, descriptors, run
from dataflow import DataFlow, LocalRuntime, Workflow, WorkflowBuilder

POOL, AT_ONCE, BATCH = 10, 20, 500
KEPT = 0.9
ROUNDS = 10

Work = Callable[[], Awaitable[Any]]


def _pairs(db: DataFlow) -> Workflow:
    """A user and its post, both or neither."""
    builder = WorkflowBuilder("pairs", db=db)
    user = builder.add_node("UserCreateNode", "user", {"name": "pair"})
    builder.add_node("PostCreateNode", "post", {"title": "pair", "author_id": user["id"]})
    builder.add_node("UserListNode", "users", {"filter": {"name": "pair"}, "limit": 5})
    return builder.build()


def _kinds(db: DataFlow, key: int) -> dict[str, Work]:
    runtime, workflow, numbers = LocalRuntime(), _pairs(db), itertools.count()

    async def bulk() -> None:
        text = f"batch {next(numbers)}"
        await db.aio.bulk_create("Audit", ({"text": text} for _ in range(BATCH)), batch_size=100)

    return {
        "read": lambda: db.aio.read("User", key),
        "create": lambda: db.aio.create("User", name="single"),
        "transaction": lambda: runtime.execute_async(workflow, transaction=True),
        "bulk": bulk,
    }


async def _typical_s(work: Work) -> float:
    """How long one takes when as many run at once as will be cancelled."""
    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.perf_counter() - begun


async def _cancel_one(work: Work, longest_s: float, dice: random.Random) -> BaseException | None:
    task = asyncio.ensure_future(work())
    if dice.random() < 0.3:
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(dice.random() * longest_s)
    task.cancel()
    if dice.random() < 0.1:  # a second one, while the first is being dealt with
        await asyncio.sleep(0)
        task.cancel()
    (found,) = await asyncio.gather(task, return_exceptions=True)
    return found if isinstance(found, BaseException) else None


async def _storm(works: dict[str, Work], count: int) -> tuple[int, list[BaseException]]:
    """Return how many were cancelled in their work, and other errors."""
    dice, cancelled, errors = random.Random(7), 0, []
    for work in works.values():
        longest_s = 1.3 * await _typical_s(work)
        for start in range(0, count // len(works), AT_ONCE):
            size = min(AT_ONCE, count // len(works) - start)
            group = [_cancel_one(work, longest_s, dice) for _ in range(size)]
            found = [error for error in await asyncio.gather(*group) if error is not None]
            stopped = [error for error in found if isinstance(error, asyncio.CancelledError)]
            cancelled += len(stopped)
            errors += [error for error in found if error not in stopped]
    return cancelled, errors


async def _calm(works: dict[str, Work], count: int) -> None:
    """The same work without a cancellation, so that both databases hold as much."""
    for work in works.values():
        for _ in range(0, count // len(works), AT_ONCE):
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def _round_s(db: DataFlow, key: int, count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count // 20):
        reads = [db.aio.read("User", key) for _ in range(16)]
        writes = [db.aio.update("User", key, {"score": 1}) for _ in range(4)]
        await asyncio.gather(*reads, *writes)
    return time.perf_counter() - begun


async def _relative(db: DataFlow, untouched: DataFlow, count: int) -> float:
    """Throughput as a part of that of a database which nobody cancels, turn by turn."""
    best = {True: float("inf"), False: float("inf")}
    keys = {side: (await side.aio.create("User", name="probe"))["id"] for side in (db, untouched)}
    for _ in range(ROUNDS):
        for side in (db, untouched):
            seconds = await _round_s(side, keys[side], count // ROUNDS)
            best[side is db] = min(best[side is db], seconds)
    return best[False] / best[True]


async def _halves(db: DataFlow) -> list[str]:
    """Name everything that was applied in part."""
    users = await db.aio.count("User", {"name": "pair"})
    posts = await db.aio.count("Post", {"title": "pair"})
    found = [] if users == posts else [f"{users} users but {posts} posts: half a transaction"]
    records = (await db.aio.list("Audit", limit=None, fields=["text"]))["records"]
    counts: dict[str, int] = {}
    for record in records:
        counts[record["text"]] = counts.get(record["text"], 0) + 1
    parts = [count for count in counts.values() if count != BATCH]
    return [*found, f"half bulks: {parts[:5]}"] if parts else found


async def _main(world: World, db: DataFlow, untouched: DataFlow, verdict: Verdict) -> None:
    count, probe = world.size(3_000), world.size(20_000)
    before = await _relative(db, untouched, probe)
    open_before = descriptors()
    key = (await db.aio.create("User", name="read"))["id"]
    cancelled, errors = await _storm(_kinds(db, key), count)
    status = db.database.pool_status()
    verdict.require(status["in_use"] == status["waiting"] == 0, f"pool: {status}")
    verdict.problems += foreign(errors)
    verdict.require(not errors, f"{len(errors)} errors beside cancellation: {shown(errors)}")
    verdict.problems += await _halves(db)
    await _calm(_kinds(untouched, key), count)
    kept = await _relative(db, untouched, probe) / before
    if world.kind == "postgres":  # SQLite keeps a closed file's descriptor while others lock it
        grown = descriptors() - open_before
        verdict.require(grown <= 0, f"{grown} more descriptors than before")
    verdict.require(cancelled >= count / 4, f"only {cancelled} were cancelled while they worked")
    verdict.require_time(kept >= KEPT, f"throughput {kept:.0%} of before")
    verdict.figures = {"cancelled": f"{cancelled}/{count}", "after": f"{kept:.0%}"}


def many_cancellations(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_shop(url, pool_size=POOL, max_overflow=0)
    untouched = open_shop(world.url(), pool_size=POOL, max_overflow=0)
    run(_main(world, db, untouched, verdict))
    untouched.close()
    left = leaks.after(world, db, url)
    verdict.problems += left
    verdict.figures["leaks"] = len(left)
    return verdict


CASES = (
    Case("F4", "3,000 cancellations at random moments, 4 kinds of work", many_cancellations,
         limit_s=600),
)  # fmt: skip
