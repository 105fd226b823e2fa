"""L1, L2 and L6: very many workflows at once, from one loop and from many threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import asyncpg

from bench.faults.case import Case, Verdict
from bench.faults.heartbeat import GAP_MS, Heartbeat
from bench.faults.models import foreign, open_shop, shown, three_steps
from bench.faults.world import Leaks, World, resident_mb, run
from dataflow import DataFlow, LocalRuntime

POOL = 20
GROWTH_MB = 400
SLOWER = 2.0
ROUNDS = 3
"""Times and gaps are the best of these: other programs disturb some, our own faults all."""


class Sampler:
    """Counts backends and memory in a thread of its own while others work."""

    def __init__(self, world: World, url: str) -> None:
        self._world, self._url = world, url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.backends, self.samples, self.resident_mb = 0, 0, 0.0

    def _sample(self) -> None:
        while not self._stop.wait(0.05):
            self.samples += 1
            self.resident_mb = max(self.resident_mb, resident_mb())
            if self._world.kind == "postgres":
                self.backends = max(self.backends, self._world.backends(self._url))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


async def _workflows(db: DataFlow, count: int) -> tuple[float, float, list[BaseException], int]:
    """Return seconds, longest gap, errors, and how many results were right."""
    runtime, workflow = LocalRuntime(), three_steps(db)
    await runtime.execute_async(workflow)
    async with Heartbeat() as heart:
        begun = time.perf_counter()
        runs = [
            runtime.execute_async(workflow, parameters={"create": {"name": f"n{number}"}})
            for number in range(count)
        ]
        found = await asyncio.gather(*runs, return_exceptions=True)
        seconds = time.perf_counter() - begun
    errors = [item for item in found if isinstance(item, BaseException)]
    right = sum(
        item[0]["update"]["name"] == f"n{number}" and item[0]["update"]["score"] == 1
        for number, item in enumerate(found)
        if not isinstance(item, BaseException)
    )
    return seconds, heart.longest_ms, errors, right


async def _bare(url: str, count: int) -> float:
    """The same statements through asyncpg's own pool, without its reset after each use."""

    async def keep(_: Any) -> None:
        return

    pool: Any = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL, reset=keep)

    async def one(number: int) -> None:
        key = await pool.fetchval(
            "INSERT INTO users (name, score, created_at, updated_at) "
            "VALUES ($1, 0, now(), now()) RETURNING id", f"n{number}",
        )  # fmt: skip
        await pool.fetchrow("SELECT * FROM users WHERE id = $1", key)
        await pool.fetchrow(
            "UPDATE users SET score = $1, updated_at = now() WHERE id = $2 RETURNING *", 1, key
        )

    begun = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(count)))
    seconds = time.perf_counter() - begun
    await pool.close()
    return seconds


def many_workflows(world: World) -> Verdict:
    verdict, leaks, count = Verdict(), Leaks(), world.size(10_000)
    url = world.url()
    db = open_shop(url, pool_size=POOL, max_overflow=0)
    run(_workflows(db, 50))
    gc.collect()
    start_mb = resident_mb()
    best, bare, gap = float("inf"), float("inf"), float("inf")
    with Sampler(world, url) as sampler:
        for _ in range(ROUNDS):
            if world.kind == "postgres":
                bare = min(bare, run(_bare(url, count)))
            seconds, longest, errors, right = run(_workflows(db, count))
            best, gap = min(best, seconds), min(gap, longest)
            verdict.require(not errors, f"{len(errors)} errors: {shown(errors)}")
            verdict.require(right == count, f"{right} of {count} results are right")
            verdict.problems += foreign(errors)
    grown = sampler.resident_mb - start_mb
    if world.kind == "postgres":
        verdict.require(sampler.backends <= POOL, f"{sampler.backends} backends > {POOL}")
        slower = f"{best / bare:.2f} times the bare time > {SLOWER}"
        verdict.require_time(best <= SLOWER * bare, slower)
        verdict.figures |= {"backends": sampler.backends, "bare": f"{best / bare:.2f}x"}
    verdict.require(grown <= GROWTH_MB, f"memory grew by {grown:.0f} MB > {GROWTH_MB}")
    verdict.require_time(gap <= GAP_MS, f"L6: longest gap {gap:.0f} ms > {GAP_MS}")
    rate = f"{count / best:,.0f}/s"
    verdict.figures |= {"ok": count, "rate": rate, "MB": round(grown), "gap_ms": round(gap)}
    verdict.problems += leaks.after(world, db, url)
    return verdict


def many_threads(world: World) -> Verdict:
    verdict, leaks = Verdict(), Leaks()
    threads, each = world.size(200), 50
    url = world.url()
    db = open_shop(url, pool_size=POOL, max_overflow=0)
    runtime, workflow = LocalRuntime(), three_steps(db)
    start = threading.Barrier(threads, timeout=60)

    def client(number: int) -> tuple[int, list[BaseException]]:
        right, errors = 0, []
        start.wait()
        for turn in range(each):
            name = f"{number}-{turn}"
            try:
                results, _ = runtime.execute(workflow, parameters={"create": {"name": name}})
            except Exception as error:  # noqa: BLE001 - told in the verdict
                errors.append(error)
            else:
                right += results["update"]["name"] == name
        return right, errors

    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(client, range(threads)))
    seconds = time.perf_counter() - begun
    right, errors = sum(ok for ok, _ in found), [e for _, part in found for e in part]
    wanted = threads * each
    verdict.require(right == wanted, f"{right} of {wanted} are right: {shown(errors)}")
    verdict.require(db.count("User") == wanted, "records are missing or doubled")
    verdict.problems += foreign(errors)
    verdict.figures = {"ok": right, "rate": f"{wanted / seconds:,.0f}/s"}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("L1+L6", "10,000 concurrent 3-node workflows, pool 20", many_workflows, limit_s=600),
    Case("L2", "200 threads x 50 sync runs on one runtime", many_threads, limit_s=600),
)
