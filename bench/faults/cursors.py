"""C1 and C2: cursors that somebody altered, and pages while others write."""

from __future__ import annotations

import asyncio
import base64
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, shown
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow
from dataflow.errors import CursorError

ROWS, MUTATIONS, WRITERS, PAGE = 5_000, 1_000, 50, 50
SORT = ["-rank", "name", "-score", "id"]
BACK = ["rank", "-name", "score", "-id"]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def open_places(url: str) -> DataFlow:
    """Return a DataFlow with the models `Place` and `Twin`, of the same fields."""
    db = DataFlow(url, pool_size=20, max_overflow=0, pool_timeout_s=120.0, busy_timeout_s=120.0)

    @db.model(timestamps=False)
    class Place:
        id: int
        name: str
        rank: int | None
        score: float | None
        note: str = ""

    @db.model(timestamps=False)
    class Twin:
        id: int
        name: str
        rank: int | None
        score: float | None

    return db


def _place(dice: random.Random) -> dict[str, Any]:
    return {
        "name": dice.choice("abcde"),
        "rank": dice.choice([None, None, 1, 2, 3]),
        "score": dice.choice([None, -0.5, 0.1, 0.2, 1e300]),
    }


# ------------------------------------------------------------------------- C1


def _mutations(token: str, dice: random.Random) -> Iterator[str]:
    """Yield altered tokens without end; none is the token itself."""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    while True:
        place = dice.randrange(len(raw) * 8)
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        yield base64.urlsafe_b64encode(flipped).decode().rstrip("=")
        yield token[: dice.randrange(len(token))]
        yield token[dice.randrange(1, len(token)) :]
        first, second = sorted(dice.sample(range(len(token)), 2))
        swapped = list(token)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        if "".join(swapped) != token:
            yield "".join(swapped)
        at = dice.randrange(len(token) + 1)
        yield token[:at] + dice.choice(ALPHABET) + token[at:]
        yield token + dice.choice(["=", "==", "\n", " ", "\0", "é", ".", "A"])


def _others(db: DataFlow) -> list[str]:
    """Return tokens that are right, but for other queries."""
    query = db.query("Place").sort(SORT)
    queries = (
        query.where({"name": {"$ne": "b"}}), query.where({"name": {"$gte": "a"}}),
        db.query("Place").sort(BACK), db.query("Place").sort(["-rank", "name", "score", "id"]),
        db.query("Place"), db.query("Twin").where({"name": {"$ne": "a"}}).sort(SORT),
        db.query("Twin").sort(SORT),
    )  # fmt: skip
    return [other.page(PAGE)["next"] for other in queries]


def altered_tokens(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db, dice = open_places(url), random.Random(5)
    for model in ("Place", "Twin"):
        db.bulk_create(model, [_place(dice) for _ in range(200)])
    query = db.query("Place").where({"name": {"$ne": "a"}}).sort(SORT)
    token = query.page(PAGE)["next"]
    others = _others(db)
    count = world.size(MUTATIONS)
    made = itertools.islice(_mutations(token, dice), count)
    accepted, wrong = [], []
    for other in (*others, *made):
        try:
            query.page(PAGE, other)
        except CursorError:
            continue
        except BaseException as error:  # noqa: BLE001 - told in the verdict
            wrong.append(f"{other!r}: {error!r}")
        else:
            accepted.append(other)
    verdict.require(query.page(PAGE, token)["count"] > 0, "the token itself is refused")
    verdict.require(not accepted, f"{len(accepted)} were accepted: {accepted[:3]}")
    verdict.require(not wrong, f"{len(wrong)} other errors: {wrong[:3]}")
    verdict.figures = {"refused": count + len(others) - len(accepted) - len(wrong)}
    verdict.problems += leaks.after(world, db, url)
    return verdict


# ------------------------------------------------------------------------- C2


async def _write(
    db: DataFlow, dice: random.Random, standing: list[int], stop: asyncio.Event
) -> int:
    """Insert rows, delete them again, and change the notes of those that stand."""
    turns = 0
    while not stop.is_set():
        added = await db.aio.create("Place", {**_place(dice), "note": "passing"})
        await db.aio.update("Place", dice.choice(standing), {"note": f"turn {turns}"})
        await db.aio.delete("Place", added["id"])
        turns += 1
    return turns


def _key(record: dict[str, Any], sort: list[str]) -> list[Any]:
    """Return what orders a record: null is below every value."""
    found: list[Any] = []
    for name in sort:
        value = record[name.lstrip("-")]
        if isinstance(value, str):
            value = ord(value)
        value = float("-inf") if value is None else value
        found.append(-value if name.startswith("-") else value)
    return found


async def _walk(db: DataFlow, sort: list[str]) -> tuple[list[dict[str, Any]], int]:
    query = db.aio.query("Place").sort(sort)
    seen, pages, after = [], 0, None
    while True:
        page = await query.page(PAGE, after)
        seen += page["records"]
        pages, after = pages + 1, page["next"]
        if after is None:
            return seen, pages


def _check_walk(verdict: Verdict, sort: list[str], seen: list[Any], standing: list[int]) -> None:
    times = Counter(record["id"] for record in seen)
    missed = [key for key in standing if not times[key]]
    doubled = [key for key in standing if times[key] > 1]
    keys = [_key(record, sort) for record in seen]
    verdict.require(not missed, f"{sort}: {len(missed)} of {len(standing)} were missed")
    verdict.require(not doubled, f"{sort}: {len(doubled)} of {len(standing)} came twice")
    verdict.require(keys == sorted(keys), f"{sort}: the order is wrong")


async def _page_while_others_write(world: World, db: DataFlow, verdict: Verdict) -> None:
    dice = random.Random(6)
    await db.aio.bulk_create("Place", [_place(dice) for _ in range(world.size(ROWS))])
    standing = list(range(1, world.size(ROWS) + 1))
    stop, total = asyncio.Event(), 0
    writers = [
        asyncio.create_task(_write(db, random.Random(number), standing, stop))
        for number in range(WRITERS)
    ]
    try:
        for sort in (SORT, BACK):
            seen, pages = await _walk(db, sort)
            _check_walk(verdict, sort, seen, standing)
            total += pages
    finally:
        stop.set()
        found = await asyncio.gather(*writers, return_exceptions=True)
    errors = [item for item in found if isinstance(item, BaseException)]
    verdict.require(not errors, f"{len(errors)} writers failed: {shown(errors)}")
    verdict.problems += foreign(errors)
    turns = sum(item for item in found if isinstance(item, int))
    verdict.require(turns >= WRITERS, f"only {turns} turns of the writers")
    verdict.figures = {"pages": total, "writes": 3 * turns}


def pages_among_writers(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_places(url)
    run(_page_while_others_write(world, db, verdict))
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("C1", "1,000 altered cursors, and those of other queries and models", altered_tokens),
    Case("C2", "pages in a mixed order, both ways, under 50 writers", pages_among_writers),
)
