"""T2, T3, T4: no tenant, tenants that interleave, and keys and values across tenants."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, shown
from bench.faults.tenants import TENANTS, open_boxes
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.context import tenant as current
from dataflow.errors import DataFlowError, TenantRequiredError, WorkflowFailedError

TASKS = 2_000
MISSING = 987_654

Calls = dict[str, Callable[[], Any]]


def _box(owner: int, code: int, mark: str) -> dict[str, Any]:
    return {"code": code, "n": code, "mark": mark, "meta": {"mark": mark}, "owner_id": owner}


def _fill(db: DataFlow, boxes: int) -> dict[str, int]:
    """Give each tenant one owner and boxes; return the owners' keys."""
    owners = {}
    for tenant in TENANTS:
        with db.tenant(tenant):
            owners[tenant] = db.create("Owner", name=tenant)["id"]
            db.bulk_create("Box", [_box(owners[tenant], code, tenant) for code in range(boxes)])
    return owners


def _state(db: DataFlow) -> Any:
    with db.all_tenants():
        return [db.list(model, sort="id", limit=None)["records"] for model in ("Owner", "Box")]


# ------------------------------------------------------------------------- T2


class _Count(logging.Handler):
    """Counts the statements that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _nodes(db: DataFlow, owner: int) -> Calls:
    inputs: dict[str, Any] = {
        "Create": _box(owner, 900, "x"), "Read": {"id": 1}, "Delete": {"id": 1}, "List": {},
        "Update": {"id": 1, "fields": {"n": 1}}, "BulkCreate": {"data": [_box(owner, 901, "x")]},
        "BulkUpdate": {"all": True, "fields": {"n": 1}}, "BulkDelete": {"all": True},
        "BulkUpsert": {"data": [_box(owner, 902, "x")], "conflict_on": ["code"]},
    }  # fmt: skip

    def run_node(verb: str) -> Any:
        workflow = WorkflowBuilder(db=db)
        workflow.add_node(f"Box{verb}Node", "only", inputs[verb])
        try:
            return LocalRuntime().execute(workflow)
        except WorkflowFailedError as error:
            raise error.failures["only"] from None

    return {f"{verb} node": lambda verb=verb: run_node(verb) for verb in inputs}


def _queries(db: DataFlow) -> Calls:
    query = db.query("Box")
    return {
        "all": query.all, "first": query.first, "count": query.count, "sql": query.sql,
        "page": lambda: query.page(2), "explain": query.explain,
        "json path": lambda: query.where({"meta.mark": "x"}).all(),
        "aggregate": lambda: query.aggregate([{"$group": {"_id": "$n"}}]),
        "include": lambda: db.list("Owner", include=["boxes"]),
            }  # fmt: skip


def _sessions(db: DataFlow, sent: list[str]) -> Calls:
    box: Any = db._catalogue.store_of("Box").spec.model

    def in_session(work: Callable[[Any], Any]) -> Any:
        with db.session() as session:
            engine = session.get_bind()
            if not sa.event.contains(engine, "after_cursor_execute", note):
                sa.event.listen(engine, "after_cursor_execute", note)
            return work(session)

    def note(*arguments: Any) -> None:
        if not arguments[2].startswith("BEGIN"):
            sent.append(arguments[2])

    works: dict[str, Callable[[Any], Any]] = {
        "select": lambda s: s.scalars(sa.select(box)).all(),
        "get": lambda s: s.get(box, 1),
        "update": lambda s: s.execute(sa.update(box).values(n=1)),
        "delete": lambda s: s.execute(sa.delete(box)),
        "insert": lambda s: s.execute(sa.insert(box).values(_box(1, 903, "x"))),
        "add": lambda s: (s.add(box(**_box(1, 904, "x"))), s.flush()),
    }
    return {f"session {name}": lambda work=work: in_session(work) for name, work in works.items()}


def no_tenant(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_boxes(url)
    owners = _fill(db, 3)
    db.config = db.database.config = db.config.model_copy(update={"echo": True})
    log, counter = logging.getLogger("dataflow.sql"), _Count()
    log.addHandler(counter)
    log.setLevel(logging.INFO)
    log.propagate = False
    before = _state(db)
    verdict.require(bool(counter.texts), "statements are not counted")
    counter.texts.clear()
    calls = {**_nodes(db, owners[TENANTS[0]]), **_queries(db), **_sessions(db, counter.texts)}
    for name, call in calls.items():
        try:
            call()
        except TenantRequiredError:
            continue
        except BaseException as error:  # noqa: BLE001 - told in the verdict
            verdict.problems.append(f"{name}: {error!r}")
        else:
            verdict.problems.append(f"{name}: was not refused")
    sent = len(counter.texts)
    verdict.require(not sent, f"{sent} statements were sent: {counter.texts[:3]}")
    verdict.require(_state(db) == before, "records were changed")
    verdict.figures = {"calls": len(calls), "statements": sent}
    verdict.problems += leaks.after(world, db, url)
    return verdict


# ------------------------------------------------------------------------- T3


class _Mixer:
    """Tasks of several kinds; each counts as mixed up if it sees another tenant's record."""

    def __init__(self, db: DataFlow, pool: ThreadPoolExecutor) -> None:
        self.db, self.pool = db, pool
        self.done: Counter[str] = Counter()
        self.mixed = 0
        self.box: Any = db._catalogue.store_of("Box").spec.model

    def see(self, tenant: str, records: Any) -> None:
        self.mixed += any(record["tenant_id"] != tenant for record in records)

    async def read(self, tenant: str, n: int) -> None:
        async with self.db.tenant(tenant):
            self.see(tenant, (await self.db.aio.list("Box", {"code": n % 10}))["records"])

    async def transaction(self, tenant: str, n: int) -> None:
        async with self.db.tenant(tenant), self.db.transaction():
            await self.db.aio.bulk_update("Box", {"code": n % 10}, {"n": n})
            await asyncio.sleep(0)
            self.see(tenant, (await self.db.aio.list("Box", {"n": n}))["records"])

    async def session(self, tenant: str, n: int) -> None:
        async with self.db.aio.session(tenant) as session:
            found = await session.scalars(sa.select(self.box).where(self.box.code == n % 10))
            self.see(tenant, [vars(box) for box in found])

    async def thread(self, tenant: str, n: int) -> None:
        async with self.db.tenant(tenant):
            page = await asyncio.to_thread(self.db.list, "Box", {"code": n % 10})
        self.see(tenant, page["records"])

    async def executor(self, tenant: str, n: int) -> None:
        """A thread that inherits no context: it has no tenant, whoever had it before."""
        async with self.db.tenant(tenant):
            found = await asyncio.get_running_loop().run_in_executor(self.pool, self._bare, n)
        self.mixed += not found

    def _bare(self, n: int) -> bool:
        try:
            self.db.list("Box", {"code": n % 10})
        except TenantRequiredError:
            with self.db.tenant(TENANTS[n % len(TENANTS)]):
                self.see(TENANTS[n % len(TENANTS)], self.db.list("Box", limit=3)["records"])
            return current.get() is None
        return False

    async def error(self, tenant: str, n: int) -> None:
        with suppress(ZeroDivisionError):
            async with self.db.tenant(tenant), self.db.transaction():
                await self.db.aio.create("Owner", name="lost")
                self.done["errors"] += n // 0
        self.mixed += current.get() is not None

    async def cancel(self, tenant: str, n: int) -> None:
        task = asyncio.create_task(self.transaction(tenant, n))
        for _ in range(n % 7):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def one(self, n: int, kind: str, tenant: str) -> None:
        work: Callable[[str, int], Awaitable[None]] = getattr(self, kind)
        await work(tenant, n)
        self.done[kind] += 1


KINDS = ("read", "transaction", "session", "thread", "executor", "error", "cancel")


async def _mix(world: World, db: DataFlow, verdict: Verdict) -> None:
    dice, tasks = random.Random(3), world.size(TASKS)
    with ThreadPoolExecutor(4) as pool:
        mixer = _Mixer(db, pool)
        work = [mixer.one(n, dice.choice(KINDS), dice.choice(TENANTS)) for n in range(tasks)]
        found = await asyncio.gather(*work, return_exceptions=True)
    errors = [item for item in found if isinstance(item, BaseException)]
    verdict.require(not errors, f"{len(errors)} failed: {shown(errors)}")
    verdict.problems += foreign(errors)
    verdict.require(not mixer.mixed, f"{mixer.mixed} saw another tenant's records")
    verdict.require(current.get() is None, "a tenant is left in the caller's context")
    verdict.figures = {"tasks": sum(mixer.done.values()), "mixed": mixer.mixed}


def interleaved(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_boxes(url)
    _fill(db, 10)
    run(_mix(world, db, verdict))
    owners, boxes = _state(db)
    verdict.require(len(owners) == len(TENANTS), "an owner of a failed block was kept")
    moved = [box for box in boxes if box["mark"] != box["tenant_id"]]
    verdict.require(not moved, f"{len(moved)} boxes belong to another tenant: {moved[:1]}")
    verdict.problems += leaks.after(world, db, url)
    return verdict


# ------------------------------------------------------------------------- T4


def _across(db: DataFlow, key: int, owner: int) -> Calls:
    new = _box(owner, 700, "x")
    return {
        "read": lambda: db.read("Box", key, raise_on_not_found=True),
        "update": lambda: db.update("Box", key, {"n": 1}),
        "delete": lambda: db.delete("Box", key),
        "bulk update": lambda: db.bulk_update("Box", [{"id": key, "n": 1}]),
        "bulk delete": lambda: db.bulk_delete("Box", ids=[key]),
        "list": lambda: db.list("Box", {"id": {"$in": [key]}}, include=["owner"]),
        "pipeline": lambda: db.query("Box").aggregate([{"$match": {"owner_id": owner}}]),
        "create with owner": lambda: db.create("Box", new),
        "bulk create with owner": lambda: db.bulk_create("Box", [new]),
        "bulk create collected": lambda: db.bulk_create("Box", [new], on_error="collect"),
        "update of owner": lambda: db.update("Box", {"code": 1}, {"owner_id": owner}),
        "bulk update of owner": lambda: db.bulk_update("Box", {"n": 1}, {"owner_id": owner}),
        "upsert of owner": lambda: db.bulk_upsert("Box", [new], conflict_on=["code"]),
        "create with key": lambda: db.create("Owner", id=owner, name="x"),
        "upsert on key": lambda: db.bulk_upsert("Owner", [{"id": owner, "name": "x"}]),
        "upsert on key, ignored": lambda: db.bulk_upsert(
            "Owner", [{"id": owner, "name": "x"}], on_conflict="ignore"
        ),
        "tenant in the body": lambda: db.create("Owner", name="x", tenant_id=TENANTS[1]),
        "tenant in fields": lambda: db.update("Box", key, {"tenant_id": TENANTS[1]}),
        "tenant in rows": lambda: db.bulk_update("Box", [{"id": key, "tenant_id": TENANTS[1]}]),
    }  # fmt: skip


def _answer(call: Callable[[], Any], *keys: int) -> str:
    try:
        found = repr(call())
    except DataFlowError as error:
        found = f"{error.code} {error}"
    return re.sub(rf"\b({'|'.join(map(str, keys))})\b", "#", found)


def across_tenants(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_boxes(url)
    owners = _fill(db, 10)
    before, compared = _state(db), 0
    theirs = [box["id"] for box in before[1] if box["tenant_id"] != TENANTS[0]]
    with db.tenant(TENANTS[0]):
        for key in theirs[: world.size(len(theirs))]:
            owner = owners[TENANTS[1 + key % 4]]
            here, gone = _across(db, key, owner), _across(db, MISSING, MISSING)
            for name, call in here.items():
                answer = _answer(call, key, owner)
                missing = _answer(gone[name], MISSING)
                verdict.require(answer == missing, f"{name}: {answer} differs from {missing}")
                compared += 1
    verdict.require(_state(db) == before, "records were changed")
    verdict.figures = {"compared": compared, "ways": len(_across(db, 0, 0))}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("T2", "no tenant: everything refuses, and no statement is sent", no_tenant),
    Case("T3", "2,000 interleaved tasks, threads, executors, errors, cancels", interleaved),
    Case("T4", "keys, owners and bodies of another tenant, as if missing", across_tenants),
)
