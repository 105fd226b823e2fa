"""L4: a pool of one, and workflows that need their transaction in many places."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow, LocalRuntime, Workflow, WorkflowBuilder

WORKFLOWS = 50


def _workflow(db: DataFlow, runtime: LocalRuntime, *, sync: bool) -> Workflow:
    """A user, a nested run that writes its post, and an audit by an own node."""
    inner = WorkflowBuilder("inner", db=db)
    author = inner.add_input("author", int)
    inner.add_node("PostCreateNode", "post", {"title": "first", "author_id": author})
    built = inner.build()

    @db.node(name=f"publish_{sync}")
    async def publish(author: int) -> int:
        results, _ = await runtime.execute_async(built, inputs={"author": author}, transaction=True)
        await db.aio.create("Audit", text=f"published by {author}")
        return results["post"]["id"]

    @db.node(name=f"publish_in_thread_{sync}")
    def publish_in_thread(author: int) -> int:
        results, _ = runtime.execute(built, inputs={"author": author}, transaction=True)
        db.create("Audit", text=f"published by {author}")
        return results["post"]["id"]

    builder = WorkflowBuilder("outer", db=db)
    user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
    work: Any = publish_in_thread if sync else publish
    builder.add_node(work, "publish", {"author": user["id"]})
    builder.add_node("AuditListNode", "audits", {"limit": 1})
    return builder.build()


def _check(verdict: Verdict, db: DataFlow, errors: list[BaseException], wanted: int) -> None:
    verdict.require(not errors, f"{len(errors)} failed: {shown(errors)}")
    verdict.problems += foreign(errors)
    counts = {model: db.count(model) for model in ("User", "Post", "Audit")}
    expected = dict.fromkeys(counts, wanted)
    verdict.require(counts == expected, f"{counts} instead of {expected}")


def nested_async(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_shop(url, pool_size=1, max_overflow=0)
    runtime = LocalRuntime()
    workflow = _workflow(db, runtime, sync=False)

    async def main() -> list[Any]:
        runs = [runtime.execute_async(workflow, transaction=True) for _ in range(WORKFLOWS)]
        return await asyncio.gather(*runs, return_exceptions=True)

    begun = time.perf_counter()
    found = run(main())
    verdict.figures = {"ok": WORKFLOWS, "s": round(time.perf_counter() - begun, 2)}
    _check(verdict, db, [e for e in found if isinstance(e, BaseException)], WORKFLOWS)
    verdict.problems += leaks.after(world, db, url)
    return verdict


def nested_sync(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_shop(url, pool_size=1, max_overflow=0)
    runtime = LocalRuntime()
    workflow = _workflow(db, runtime, sync=True)

    def client(_: int) -> BaseException | None:
        try:
            runtime.execute(workflow, transaction=True)
        except Exception as error:  # noqa: BLE001 - told in the verdict
            return error
        return None

    begun = time.perf_counter()
    with ThreadPoolExecutor(WORKFLOWS) as pool:
        errors = [error for error in pool.map(client, range(WORKFLOWS)) if error is not None]
    verdict.figures = {"ok": WORKFLOWS, "s": round(time.perf_counter() - begun, 2)}
    _check(verdict, db, errors, WORKFLOWS)
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("L4", "pool of 1: 50 transactions with a nested run and an audit", nested_async,
         limit_s=60),
    Case("L4-sync", "the same from 50 threads, own node in a thread", nested_sync, limit_s=60),
)  # fmt: skip
