"""Pipelines: whether both give the same documents, in the same order where there is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.faults.mongo.comparing import same
from bench.faults.mongo.duel import Batch, Found, Refusal, answer_of, kind_of
from bench.faults.mongo.pipelines import Pipelines, Stage
from bench.faults.mongo.rewriting import SkippedError
from bench.faults.mongo.shrinking import shrink, shrink_list
from bench.faults.mongo.steadiness import is_ordered, sorts_in

LONGEST = 500


def compare_pipeline(batch: Batch, pipelines: Pipelines, found: Found) -> list[Stage] | None:
    """Make a pipeline and compare the answers; return None where nothing was compared."""
    try:
        pipeline, state = pipelines.pipeline(batch.documents)
    except SkippedError as reason:
        found.skipped[str(reason)] += 1
        return None
    found.compared += 1
    theirs: Any = state.documents
    found.partial += bool(theirs)
    sorts = sorts_in(pipeline)
    ours = answer_of(lambda: batch.our_answer(pipeline))
    if not agree(ours, theirs, pipeline, sorts):
        found_wrong(batch, pipeline, ours, found)
    return pipeline


def agree(ours: Any, theirs: Any, pipeline: list[Stage], sorts: list[Stage]) -> bool:
    if isinstance(ours, Refusal) or not same(ours, theirs, ordered=is_ordered(pipeline, sorts)):
        return False
    if "$sortByCount" in pipeline[-1]:
        counts = [item["count"] for item in ours]
        return counts == sorted(counts, reverse=True)
    return True


def found_wrong(batch: Batch, pipeline: list[Stage], ours: Any, found: Found) -> None:
    keys = [item["id"] for item in batch.documents]
    if found.may_shrink:
        still_wrong = wrong_pipeline(batch, ours, sorts_in(pipeline))
        if still_wrong(of_records(keys, pipeline)):
            keys = shrink_list(keys, lambda kept: still_wrong(of_records(kept, pipeline)))
        pipeline = shrink(pipeline, lambda less: still_wrong(of_records(keys, less)))
    found.differs(pipeline, ours, lambda: told(batch, keys, pipeline))


def of_records(keys: list[int], pipeline: list[Stage]) -> list[Stage]:
    return [{"$match": {"id": {"$in": keys}}}, *pipeline]


def wrong_pipeline(batch: Batch, first: Any, sorts: list[Stage]) -> Callable[[list[Stage]], bool]:
    """Return a test for going wrong in the same manner."""

    def still_wrong(pipeline: list[Stage]) -> bool:
        try:
            theirs = batch.their_answer(pipeline, Counter())
            is_ordered(pipeline, sorts)
        except Exception:  # noqa: BLE001 - what the oracle refuses is no case
            return False
        ours = answer_of(lambda: batch.our_answer(pipeline))
        return kind_of(ours) == kind_of(first) and not agree(ours, theirs, pipeline, sorts)

    return still_wrong


def told(batch: Batch, keys: list[int], pipeline: list[Stage]) -> str:
    """Return a pipeline, both answers, and the records that it takes."""
    whole = of_records(keys, pipeline)
    ours = answer_of(lambda: batch.our_answer(whole))
    theirs = batch.their_answer(whole, Counter())
    text = repr(pipeline)
    names = {name for name in batch.documents[0] if f"{name}" in text} | {"id"}
    names = set(batch.documents[0]) if "$$ROOT" in text else names
    records = [batch.record(key, names) for key in keys[:3]]
    shown = f"{text}\n{apart(ours, theirs)}"
    return f"{shown}\n  of {len(keys)} records {str(records)[:LONGEST]}"


def apart(ours: Any, theirs: Any) -> str:
    """Return both answers, of lists what only one of them has."""
    if isinstance(ours, list) and isinstance(theirs, list):
        alone = [item for item in ours if not any(same(item, other) for other in theirs)]
        lacking = [item for item in theirs if not any(same(item, other) for other in ours)]
        if alone or lacking:
            ours, theirs = alone[:2], lacking[:2]
        else:
            ours, theirs = ([item.get("id", item) for item in found] for found in (ours, theirs))
    return f"  ours   {str(ours)[:LONGEST]}\n  oracle {str(theirs)[:LONGEST]}"
