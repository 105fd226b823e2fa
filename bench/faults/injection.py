"""I1: texts that are dangerous, in every place of a query where text may stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.payloads import PAYLOADS
from bench.faults.positions import POSITIONS, Position, open_words, word_record
from bench.faults.world import Leaks, World
from dataflow import DataFlow
from dataflow.errors import DataFlowError, SchemaDriftError, StatementError
from dataflow.portal import portal

CANARIES = [{"id": 1, "word": "canary"}, {"id": 2, "word": "'; --"}]
SYNTAX = ("syntax error", "unrecognized token", 'near "', "no such column")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _fault(error: BaseException) -> str | None:
    """Say why an error is more than a refusal, or None."""
    if not isinstance(error, DataFlowError):
        return f"{type(error).__name__}: {error}"
    for cause in _causes(error):
        state, text = getattr(cause, "sqlstate", None), str(cause)
        if state == "42601" or (cause is not error and any(word in text for word in SYNTAX)):
            return f"syntax error of the database: {text}"
    if isinstance(error, StatementError | SchemaDriftError):
        return f"it reached the database: {error}"
    return None


def _store(db: DataFlow, payloads: list[str]) -> list[str]:
    """Write a record and a note of each payload; return those that the database can hold."""
    stored = []
    for number, payload in enumerate(payloads):
        try:
            db.create("Word", word_record(number, payload))
            db.create("Note", name=payload)
        except DataFlowError:
            continue
        stored.append(payload)
    return stored


def _probe(db: DataFlow, position: Position, payload: str, *, stored: bool) -> str:
    """Return `"refused"`, `"right"` or what is wrong."""
    try:
        found = position.ask(db, payload)
    except BaseException as error:  # noqa: BLE001 - told in the verdict
        if (fault := _fault(error)) is not None:
            return fault
        return "refused"
    if stored and position.right is not None and not position.right(found, payload):
        return f"a wrong answer: {str(found)[:150]}"
    return "right"


def _needed(position: Position, payload: str) -> bool:
    """Whether a payload is plain enough that this position must accept it."""
    return position.name.startswith("value") and position.right is not None and bool(payload)


def _tables(db: DataFlow, world: World) -> list[Any]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if world.kind == "postgres":
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    return sorted(str(row[0]) for row in _fetch(db, sql))


def _fetch(db: DataFlow, sql: str) -> Any:
    return portal.call(db.database.fetch(sql, ()))


def injected_texts(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_words(url)
    db.bulk_create("Secret", CANARIES)
    payloads = list(PAYLOADS[:: round(1 / world.share)])
    stored = set(_store(db, payloads))
    before = db.list("Word", limit=None)["records"], _tables(db, world)
    kinds: Counter[str] = Counter()
    for position in POSITIONS:
        wrong = {}
        for payload in payloads:
            found = _probe(db, position, payload, stored=payload in stored)
            if found == "refused" and payload in stored and _needed(position, payload):
                found = "refused, though it is a plain value"
            kinds[found if found in ("refused", "right") else "wrong"] += 1
            if found not in ("refused", "right"):
                wrong[payload[:40]] = found[:300]
        shown = "; ".join(f"{payload!r}: {text}" for payload, text in list(wrong.items())[:3])
        verdict.require(not wrong, f"{position.name}, {len(wrong)} payloads: {shown}")
    after = db.list("Word", limit=None)["records"], _tables(db, world)
    verdict.require(after == before, "records or tables have changed")
    verdict.require(db.list("Secret")["records"] == CANARIES, "the canaries have changed")
    verdict.figures = {"positions": len(POSITIONS), "payloads": len(payloads), **kinds}
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("I1", f"{len(PAYLOADS)} payloads in {len(POSITIONS)} positions of a query",
         injected_texts, limit_s=900),
)  # fmt: skip
