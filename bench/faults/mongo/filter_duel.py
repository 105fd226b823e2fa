"""Filters: whether both find the same records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from bench.faults.mongo.documents import Document
from bench.faults.mongo.duel import Batch, Found, Refusal, answer_of, kind_of
from bench.faults.mongo.rewriting import SkippedError
from bench.faults.mongo.shrinking import shrink


def compare_filter(batch: Batch, filter: Document, found: Found) -> bool:
    """Compare the answers, and return whether there was something to compare."""
    try:
        theirs = batch.their_ids(filter, found.rewritten)
    except SkippedError as reason:
        found.skipped[str(reason)] += 1
        return False
    found.compared += 1
    found.partial += 0 < len(theirs) < len(batch.documents)
    ours = answer_of(lambda: batch.our_ids(filter))
    if ours != theirs:
        small = shrink(filter, wrong_filter(batch, ours)) if found.may_shrink else filter
        found.differs(small, ours, lambda: told(batch, small))
    return True


def wrong_filter(batch: Batch, first: Any) -> Callable[[Document], bool]:
    """Return a test for going wrong in the same manner: an error, or other records."""

    def still_wrong(filter: Document) -> bool:
        try:
            theirs = batch.their_ids(filter, Counter())
        except Exception:  # noqa: BLE001 - what the oracle refuses is no case
            return False
        ours = answer_of(lambda: batch.our_ids(filter))
        return ours != theirs and kind_of(ours) == kind_of(first)

    return still_wrong


def told(batch: Batch, filter: Document) -> str:
    """Return a filter, an error or how many are found wrongly, and one of those records."""
    ours = answer_of(lambda: batch.our_ids(filter))
    theirs = batch.their_ids(filter, Counter())
    if isinstance(ours, Refusal):
        return f"{filter}: ours {ours}, oracle {len(theirs)} records"
    apart = sorted(set(ours) ^ set(theirs))
    if not apart:
        return f"{filter}: ours {ours}, oracle {theirs}"
    wanted = {name.partition(".")[0] for name in named_in(filter)}
    side = "ours" if apart[0] in ours else "oracle"
    counts = f"ours {len(ours)} records, oracle {len(theirs)}"
    return f"{filter}: {counts}; {side} alone has {batch.record(apart[0], wanted | {'id'})}"


def named_in(filter: Any) -> set[str]:
    if isinstance(filter, dict):
        inner = set().union(*(named_in(item) for item in filter.values()))
        return inner | {key for key in filter if not key.startswith("$")}
    return set().union(*map(named_in, filter)) if isinstance(filter, list) else set()
