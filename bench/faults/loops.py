"""L5: many event loops, one after the other, side by side, and after a fork."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown, three_steps
from bench.faults.world import Leaks, World, descriptors
from dataflow import DataFlow, LocalRuntime, Workflow

CHILD_RUNS = 5


async def _some(workflow: Workflow, count: int) -> int:
    runtime = LocalRuntime()
    runs = [runtime.execute_async(workflow) for _ in range(count)]
    return len(await asyncio.gather(*runs))


def _in_child(workflow: Workflow) -> int:
    """Fork, run in the child by both faces, and return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            LocalRuntime().execute(workflow)
            code = 0 if asyncio.run(_some(workflow, CHILD_RUNS)) == CHILD_RUNS else 2
        finally:
            os._exit(code)
    LocalRuntime().execute(workflow)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _loops(verdict: Verdict, workflow: Workflow, times: int) -> int:
    done = 0
    for _ in range(times):
        try:
            done += asyncio.run(_some(workflow, 3))
        except Exception as error:  # noqa: BLE001 - told in the verdict
            verdict.problems += [f"asyncio.run: {shown([error])}", *foreign([error])]
    return done


def _threads(verdict: Verdict, workflow: Workflow) -> int:
    def client(_: int) -> int:
        part = Verdict()
        done = _loops(part, workflow, 5)
        verdict.problems += part.problems
        return done

    with ThreadPoolExecutor(20) as pool:
        return sum(pool.map(client, range(20)))


def many_loops(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db: DataFlow = open_shop(url, pool_size=3, max_overflow=0)
    workflow, times = three_steps(db), world.size(100)
    LocalRuntime().execute(workflow)
    begun = time.perf_counter()
    done = _loops(verdict, workflow, times)
    open_before = descriptors()
    done += _loops(verdict, workflow, times)
    grown = descriptors() - open_before
    verdict.require(grown <= 3, f"{grown} descriptors more after {times} more loops")
    done += _threads(verdict, workflow)
    codes = [_in_child(workflow) for _ in range(world.size(20))]
    verdict.require(not any(codes), f"children ended with {codes}")
    done += len(codes) * (CHILD_RUNS + 2) + 1
    verdict.require(db.count("User") == done, f"{db.count('User')} records instead of {done}")
    verdict.figures = {
        "loops": 2 * times + 100, "forks": len(codes), "s": round(time.perf_counter() - begun, 1),
    }  # fmt: skip
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("L5", "100 x asyncio.run, 20 threads with own loops, forks after first use", many_loops),
)
