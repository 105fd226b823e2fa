"""I5: wildcards are plain characters in text filters, and no pattern takes long."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import shown
from bench.faults.world import Leaks, World
from dataflow import DataFlow
from dataflow.errors import DataFlowError

LENGTH, ROWS, LONGEST_S = 30_000, 5, 1.0
MARKS = ("%", "_", "\\", "*", ".", "'", "[", "$", "^", "?")
REGEXES = (
    "(a+)+$", "(a|aa)+$", "(.*a){20}", "([a-zA-Z]+)*$", "(a|a)*b", "(a*)*b",
    "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)(.*)(.*)(.*)(.*)(.*)b", "(x{250}){250}",
    "((a{1,250}){1,250}){1,250}b", "(a?){200}a{200}b",
)  # fmt: skip
LIKES = ("%a" * 300 + "%b", "%" + "a" * 500 + "b%", "%_" * 300 + "b", "a%" * 300 + "b")


def _open(url: str) -> DataFlow:
    db = DataFlow(url, statement_timeout_s=20.0)

    @db.model(timestamps=False)
    class Page:
        id: int
        body: str
        extra: dict[str, Any]

    return db


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    try:
        found = call()
    except DataFlowError as error:
        found = error
    return time.perf_counter() - begun, found


def slow_patterns(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db, text = _open(url), "a" * LENGTH
    db.bulk_create("Page", [{"body": text, "extra": {"body": text}} for _ in range(ROWS)])
    slowest, refused = 0.0, 0
    errors: list[BaseException] = []
    patterns = [("$regex", item) for item in REGEXES] + [("$like", item) for item in LIKES]
    for (operator, pattern), field in itertools.product(patterns, ("body", "extra.body")):
        seconds, found = _timed(
            lambda field=field, operator=operator, pattern=pattern: (
                db.query("Page").where({field: {operator: pattern}}).count()
            )
        )
        refused += isinstance(found, DataFlowError)
        if isinstance(found, DataFlowError):
            errors.append(found)
        elif operator == "$regex":
            wanted = ROWS if pattern in REGEXES[:4] else 0
            verdict.require(found == wanted, f"{field} {pattern}: {found} records, not {wanted}")
        slowest = max(slowest, seconds)
        shown_pattern = pattern if len(pattern) < 40 else f"{pattern[:20]}…"
        verdict.require_time(
            seconds <= LONGEST_S, f"{field} {operator} {shown_pattern}: {seconds:.1f} s"
        )
    verdict.figures = {"slowest_s": round(slowest, 2), "refused": f"{refused} {shown(errors)[:60]}"}
    verdict.problems += leaks.after(world, db, url)
    return verdict


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "$contains": lambda text, part: part in text,
    "$icontains": lambda text, part: part in text,
    "$startswith": str.startswith,
    "$endswith": str.endswith,
    "$eq": lambda text, part: text == part,
}


def plain_marks(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = _open(url)
    parts = ("", "a", *MARKS)
    texts = ["".join(found) for found in itertools.product(parts, repeat=3)]
    db.bulk_create("Page", [{"body": text, "extra": {"body": text}} for text in texts])
    needles = [mark + other for mark in MARKS for other in ("", *MARKS)]
    asked = 0
    for operator, test in OPERATORS.items():
        for needle, field in itertools.product(needles, ("body", "extra.body")):
            query = db.query("Page").where({field: {operator: needle}})
            found = sorted(record["body"] for record in query.all())
            wanted = sorted(text for text in texts if test(text, needle))
            asked += 1
            if found != wanted:
                verdict.problems.append(f"{field} {operator} {needle!r}: {len(found)} records")
    for needle, field in itertools.product(needles, ("body", "extra.body")):
        number = db.query("Page").where({field: {"$regex": re.escape(needle)}}).count()
        wanted_number = sum(needle in text for text in texts)
        asked += 1
        if number != wanted_number:
            verdict.problems.append(f"{field} $regex {needle!r}: {number}, not {wanted_number}")
    verdict.figures = {"filters": asked, "texts": len(texts)}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("I5-slow", "catastrophic patterns on rows of 30,000 letters", slow_patterns),
    Case("I5", "% _ \\ * are plain characters in text filters", plain_marks),
)
