"""Q1 and Q2: random filters and pipelines that DataFlow and mongomock must answer alike."""

from __future__ import annotations

import random
import time
from collections import Counter

from bench.faults.case import Case, Verdict
from bench.faults.mongo.counting import (
    ACCUMULATORS,
    EXPRESSIONS,
    FILTERS,
    STAGES,
    count_filter,
    count_pipeline,
    missing,
    table,
)
from bench.faults.mongo.documents import open_catalog
from bench.faults.mongo.duel import Batch, Found
from bench.faults.mongo.filter_duel import compare_filter
from bench.faults.mongo.filters import Filters
from bench.faults.mongo.oracle import Oracle
from bench.faults.mongo.pipeline_duel import compare_pipeline
from bench.faults.mongo.pipelines import Pipelines
from bench.faults.world import Leaks, World

BATCHES = 10
PARTIAL, SKIPPED = 0.3, 0.2


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _judge(verdict: Verdict, found: Found, count: int) -> None:
    verdict.problems += found.problems
    verdict.require(not found.wrong, f"{found.wrong} of {count} differ: {_listed(found.kinds)}")
    skipped = sum(found.skipped.values())
    verdict.require(skipped <= SKIPPED * count, f"{skipped} of {count} were skipped")
    share = found.partial / found.compared
    verdict.require(share >= PARTIAL, f"only {share:.0%} find something to compare")
    verdict.figures |= {
        "compared": found.compared,
        "partial": f"{share:.0%}",
        "skipped": f"{skipped} ({_listed(found.skipped)})",
        "rewritten": f"({_listed(found.rewritten)})",
    }


def _seen(verdict: Verdict, found: Found, share: float, **kinds: tuple[str, ...]) -> None:
    """Print how often each name was compared; in full, each must have been."""
    for kind, names in kinds.items():
        verdict.figures[f"{kind}s"] = table(found.seen, kind, names)
        never = missing(found.seen, kind, names) if share == 1 else []
        verdict.require(not never, f"never compared: {kind} {', '.join(never)}")


def same_filters(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db, dice, found = open_catalog(url), random.Random(2024), Found()
    count = world.size(20_000)
    begun = time.perf_counter()
    for number in range(BATCHES):
        batch = Batch(db, dice, odd=number % 2 == 1, folds=world.kind == "sqlite")
        verdict.require(batch.is_stored, "records come back changed")
        filters = Filters(dice, batch.documents)
        for _ in range(count // BATCHES):
            made = filters.filter()
            if compare_filter(batch, made, found):
                count_filter(made, found.seen)
    _judge(verdict, found, count)
    verdict.figures["s"] = round(time.perf_counter() - begun)
    _seen(verdict, found, world.share, filter=FILTERS)
    verdict.problems += leaks.after(world, db, url)
    return verdict


def same_pipelines(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db, dice, found = open_catalog(url), random.Random(2025), Found()
    count = world.size(5_000)
    begun = time.perf_counter()
    for number in range(BATCHES):
        batch = Batch(db, dice, odd=number % 2 == 1, folds=world.kind == "sqlite")
        verdict.require(batch.is_stored, "records come back changed")
        oracle = Oracle(batch.mongo, found.rewritten, folds=batch.folds)
        pipelines = Pipelines(dice, oracle.run)
        for _ in range(count // BATCHES):
            made = compare_pipeline(batch, pipelines, found)
            if made is not None:
                count_pipeline(made, found.seen)
    _judge(verdict, found, count)
    verdict.figures["s"] = round(time.perf_counter() - begun)
    _seen(verdict, found, world.share, stage=STAGES, accumulator=ACCUMULATORS,
          expression=EXPRESSIONS)  # fmt: skip
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("Q1", "20,000 random filters, compared with mongomock", same_filters, limit_s=900),
)
