"""I4, I6 and memory: lists and streams of any length."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.heartbeat import GAP_MS, Heartbeat
from bench.faults.models import open_shop
from bench.faults.world import Leaks, World, peak_mb, reset_peak, run
from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError

TERMS = 100_000
OR_TERMS = 1_000
LIST_S = 2.0
GROWTH_MB = 60
EACH_KIND = 200
KINDS = ("null", "type", "check", "duplicate", "foreign key")


def long_list(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_shop(url)
    db.bulk_create("User", ({"name": f"n{number}"} for number in range(10_000)))
    filters = {
        "ids": {"id": {"$in": list(range(1, TERMS + 1))}},
        "names": {"name": {"$in": [f"n{number}" for number in range(TERMS)]}},
        "not": {"id": {"$nin": list(range(5_001, TERMS + 5_001))}},
    }
    for name, condition in filters.items():
        begun = time.perf_counter()
        found = db.list("User", condition, limit=None)["count"]
        seconds = time.perf_counter() - begun
        wanted = 5_000 if name == "not" else 10_000
        verdict.require(found == wanted, f"{name}: {found} records instead of {wanted}")
        verdict.require_time(seconds <= LIST_S, f"{name}: {seconds:.1f} s > {LIST_S}")
        verdict.figures[name] = f"{seconds:.2f} s"
    verdict.problems += leaks.after(world, db, url)
    return verdict


JSON_TERMS = 240
"""Each is an equality and a bound on a path, and every condition on JSON counts twice."""


def wide_filter(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_shop(url)

    @db.model
    class Paper:
        id: int
        meta: dict[str, Any]

    either = [{"name": f"n{n}", "score": {"$gt": -n}} for n in range(OR_TERMS // 2)]
    json_either = [{"meta.n": n, "meta.low": {"$gt": -n}} for n in range(1, JSON_TERMS + 1)]
    gaps = run(_gaps(db, {"$or": either}, {"$or": json_either}, verdict))
    for name, gap in gaps.items():
        verdict.require_time(gap <= GAP_MS, f"{name}: longest gap {gap:.0f} ms > {GAP_MS}")
    verdict.figures = {f"{name}_gap_ms": round(gap) for name, gap in gaps.items()}
    verdict.problems += leaks.after(world, db, url)
    return verdict


async def _gaps(
    db: DataFlow, plain: dict[str, Any], json: dict[str, Any], verdict: Verdict
) -> dict[str, float]:
    """Return the longest gap of each way to run a wide filter."""
    await db.aio.bulk_create("User", ({"name": f"n{n}", "score": 1} for n in range(10_000)))
    await db.aio.bulk_create("Paper", ({"meta": {"n": n, "low": 0}} for n in range(2_000)))
    papers = db.aio.query("Paper")
    asked: dict[str, tuple[Callable[[], Awaitable[list[Any]]], int]] = {
        "columns": (lambda: db.aio.query("User").where(plain).all(), OR_TERMS // 2),
        "json": (lambda: papers.where(json).all(), JSON_TERMS),
        "pipeline": (lambda: papers.aggregate([{"$match": json}]), JSON_TERMS),
    }
    gaps = {}
    for name, (ask, wanted) in asked.items():
        async with Heartbeat() as heart:
            found = len(await ask())
        gaps[name] = heart.longest_ms
        verdict.require(found == wanted, f"{name}: {found} records instead of {wanted}")
    return gaps


def _open_items(url: str) -> DataFlow:
    db = DataFlow(url)

    @db.model
    class Owner:
        id: int
        name: str

    @db.model
    class Item:
        id: int
        code: int = Field(unique=True)
        name: str
        quantity: int = Field(ge=0)
        owner_id: int = Field(foreign_key=Owner)

    db.create("Owner", name="only")
    return db


def _bad_ones(total: int, each: int) -> dict[int, str]:
    """Return `{index: kind}`; the first record is good, so that it can be doubled."""
    dice = random.Random(11)
    places = dice.sample(range(1, total), each * len(KINDS))
    return {place: KINDS[number % len(KINDS)] for number, place in enumerate(places)}


def _items(total: int, bad: dict[int, str]) -> Iterator[dict[str, Any]]:
    for index in range(total):
        item: dict[str, Any] = {"code": index, "name": "item", "quantity": 1, "owner_id": 1}
        match bad.get(index):
            case "null":
                item["name"] = None
            case "type":
                item["quantity"] = "many"
            case "check":
                item["quantity"] = -1
            case "duplicate":
                item["code"] = 0
            case "foreign key":
                item["owner_id"] = 999_999
        yield item


WORDS = {
    "null": ("name", ""), "type": ("quantity", ""), "check": ("quantity", ""),
    "duplicate": ("code", "exists already"), "foreign key": ("owner_id", "refers to no record"),
}  # fmt: skip


def _check_rejected(verdict: Verdict, rejected: list[dict[str, Any]], bad: dict[int, str]) -> None:
    named = [item["index"] for item in rejected]
    verdict.require(sorted(named) == sorted(bad), f"{len(named)} named, {len(bad)} are bad; "
                    f"missing {sorted(set(bad) - set(named))[:3]}, "
                    f"wrong {sorted(set(named) - set(bad))[:3]}")  # fmt: skip
    vague = {
        kind: item
        for item in rejected
        for kind, (field, word) in [(bad.get(item["index"], ""), WORDS.get(
            bad.get(item["index"], ""), ("", "")))]
        if item["field"] != field or word not in item["reason"] or not item["reason"]
    }  # fmt: skip
    verdict.require(not vague, f"field or reason is wrong: {vague}")


def bad_records(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    total, each = world.size(1_000_000), world.size(EACH_KIND)
    bad = _bad_ones(total, each)
    db = _open_items(url)
    begun = time.perf_counter()
    result = db.bulk_create("Item", _items(total, bad), on_error="collect")
    seconds = time.perf_counter() - begun
    good = total - len(bad)
    verdict.require(result["inserted"] == good, f"inserted {result['inserted']}, not {good}")
    kept = db.count("Item")
    verdict.require(kept == good, f"{kept} records kept, not {good}")
    _check_rejected(verdict, result["rejected"], bad)
    db.bulk_delete("Item", all=True)
    for kind in KINDS:
        late = {total * 9 // 10: kind}
        try:
            size = total if kind == "null" else 20_000
            db.bulk_create("Item", _items(size, late | {15_000: kind}))
        except DataFlowError as error:
            verdict.require(error.outcome == "not_applied", f"{kind}: outcome {error.outcome}")
        else:
            verdict.problems.append(f"abort: a bad one ({kind}) was accepted")
        verdict.require(db.count("Item") == 0, f"abort ({kind}) kept {db.count('Item')} records")
    verdict.figures = {"kept": kept, "named": len(result["rejected"]), "s": round(seconds, 1)}
    verdict.problems += leaks.after(world, db, url)
    return verdict


def bulk_memory(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    total, db = world.size(1_000_000), open_shop(url)
    db.bulk_create("User", ({"name": "warm"} for _ in range(10_000)))
    gc.collect()
    reset_peak()
    start = peak_mb()
    begun = time.perf_counter()
    db.bulk_create("User", ({"name": f"n{number}", "score": number} for number in range(total)))
    seconds, grown = time.perf_counter() - begun, peak_mb() - start
    verdict.require(grown <= GROWTH_MB, f"memory grew by {grown:.0f} MB > {GROWTH_MB}")
    verdict.require(db.count("User") == total + 10_000, f"{db.count('User')} records")
    verdict.figures = {"MB": round(grown), "rate": f"{total / seconds:,.0f}/s"}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("L6-or", "heartbeat during a filter of 1,000 terms", wide_filter),
    Case("I4", "an IN list of 100,000", long_list),
    Case("I6", "1,000,000 records with 1,000 bad ones, collected and aborted", bad_records,
         limit_s=900),
    Case("memory", "bulk create of 1,000,000 records from a generator", bulk_memory),
)  # fmt: skip
