"""T1: five tenants in the same tables, against a dictionary per tenant."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa

from bench.faults.case import Case, Verdict
from bench.faults.world import Leaks, World, run
from dataflow import AsyncLocalRuntime, DataFlow, Field, Relationship, WorkflowBuilder
from dataflow.errors import DataFlowError, UniqueViolationError, WorkflowFailedError

TENANTS = tuple(f"tenant{number}" for number in range(5))
OPERATIONS = 20_000
CODES = 40
MOST = 150
FIELDS = ["id", "code", "n", "owner_id"]

Record = dict[str, Any]
Found = tuple[Any, Any]
"""What the database answered, and what the dictionaries say."""


class Books:
    """What one tenant's records must be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.canary = f"canary-{name}."
        self.boxes: dict[int, Record] = {}
        self.owners: list[int] = []

    def keep(self, record: Record) -> None:
        self.boxes[record["id"]] = {name: record[name] for name in FIELDS}

    def coded(self, code: int) -> Record | None:
        return next((box for box in self.boxes.values() if box["code"] == code), None)

    def where(self, least: int) -> list[Record]:
        return [box for box in self.boxes.values() if box["n"] >= least]


def _by_id(records: Any) -> list[Record]:
    return sorted(records, key=lambda record: record["id"])


def open_boxes(url: str, **settings: Any) -> DataFlow:
    db = DataFlow(url, pool_timeout_s=120.0, **settings)

    @db.model(multi_tenant=True)
    class Owner:
        id: int
        name: str
        boxes: list[Box] = Relationship(back_populates="owner")

    @db.model(multi_tenant=True)
    class Box:
        id: int
        code: int = Field(unique=True)
        n: int
        mark: str
        meta: dict[str, Any]
        owner_id: int = Field(foreign_key=Owner)
        owner: Owner = Relationship(back_populates="boxes")

    return db


class Operations:
    """Random operations of one tenant at a time; each returns what came and what should."""

    def __init__(self, db: DataFlow, dice: random.Random, books: list[Books]) -> None:
        self.db, self.dice, self.books = db, dice, books
        self.runtime = AsyncLocalRuntime()
        self.model: Any = db._catalogue.store_of("Box").spec.model

    def all(self) -> dict[str, Callable[[Books], Awaitable[Found]]]:
        names = [name for name in dir(self) if name.startswith("do_")]
        return {name[3:]: getattr(self, name) for name in names}

    async def node(self, node_type: str, book: Books, **inputs: Any) -> Any:
        workflow = WorkflowBuilder(db=self.db)
        workflow.add_node(node_type, "only", inputs)
        try:
            results, _ = await self.runtime.execute_async(workflow, tenant=book.name)
        except WorkflowFailedError as error:
            raise error.failures["only"] from None
        return results["only"]

    def row(self, book: Books) -> Record:
        n = self.dice.randrange(100)
        return {
            "code": self.dice.randrange(CODES), "n": n, "mark": book.canary,
            "meta": {"n": n, "mark": book.canary}, "owner_id": self.dice.choice(book.owners),
        }  # fmt: skip

    def any_id(self) -> int:
        """Return the key of anyone's record."""
        keys = list(self.dice.choice(self.books).boxes)
        return self.dice.choice(keys) if keys else 0

    def some_owner(self) -> int:
        return self.dice.choice(self.dice.choice(self.books).owners)

    async def do_create(self, book: Books) -> Found:
        row = self.row(book)
        taken = book.coded(row["code"]) is not None
        try:
            record = await self.node("BoxCreateNode", book, **row)
        except UniqueViolationError:
            return "taken", "taken" if taken else "free"
        book.keep(record)
        return record["mark"], "taken" if taken else book.canary

    async def do_create_with_an_owner_of_someone(self, book: Books) -> Found:
        row = {**self.row(book), "code": -1, "owner_id": self.some_owner()}
        if row["owner_id"] in book.owners:
            return None, None
        try:
            return await self.db.aio.create("Box", row), "refused"
        except DataFlowError as error:
            return error.code, "DF203"

    async def do_read(self, book: Books) -> Found:
        key = self.any_id()
        found = await self.node("BoxReadNode", book, id=key, fields=FIELDS)
        return found.pop("found") and found, book.boxes.get(key, False)

    async def do_read_by_unique(self, book: Books) -> Found:
        code = self.dice.randrange(CODES)
        found = await self.db.aio.read("Box", filter={"code": code}, fields=FIELDS)
        return found, book.coded(code)

    async def do_update(self, book: Books) -> Found:
        key, n = self.any_id(), self.dice.randrange(100)
        found = await self.node("BoxUpdateNode", book, id=key, fields={"n": n})
        if key in book.boxes:
            book.boxes[key]["n"] = n
        return found["updated"], key in book.boxes

    async def do_delete(self, book: Books) -> Found:
        key = self.any_id()
        found = await self.node("BoxDeleteNode", book, id=key)
        return found["deleted"], book.boxes.pop(key, None) is not None

    async def do_list(self, book: Books) -> Found:
        least = self.dice.randrange(100)
        found = await self.node(
            "BoxListNode", book, filter={"n": {"$gte": least}}, sort="id", fields=FIELDS, limit=None
        )
        return found["records"], _by_id(book.where(least))

    async def do_list_of_or(self, book: Books) -> Found:
        either = {"$or": [{"n": {"$lt": 50}}, {"code": {"$ne": -5}}]}
        found = await self.db.aio.list("Box", either, sort="-n", fields=FIELDS, limit=None)
        return _by_id(found["records"]), _by_id(book.boxes.values())

    async def do_pages(self, book: Books) -> Found:
        query, seen, after = self.db.aio.query("Box").sort(["-n", "id"]), [], None
        while True:
            page = await query.page(20, after)
            seen += [record["id"] for record in page["records"]]
            after = page["next"]
            if after is None:
                break
        return seen, [
            b["id"] for b in sorted(book.boxes.values(), key=lambda b: (-b["n"], b["id"]))
        ]

    async def do_count(self, book: Books) -> Found:
        least = self.dice.randrange(100)
        return await self.db.aio.count("Box", {"n": {"$gte": least}}), len(book.where(least))

    async def do_json_path(self, book: Books) -> Found:
        marks = [other.canary for other in self.books]
        found = await self.db.aio.list("Box", {"meta.mark": {"$in": marks}}, limit=None)
        return _by_id({name: r[name] for name in FIELDS} for r in found["records"]), _by_id(
            book.boxes.values()
        )

    async def do_include(self, book: Books) -> Found:
        found = await self.db.aio.list("Owner", sort="id", include=["boxes.owner"], limit=None)
        grouped = defaultdict(set)
        for box in book.boxes.values():
            grouped[box["owner_id"]].add(box["id"])
        return (
            [(owner["id"], {box["id"] for box in owner["boxes"]}) for owner in found["records"]],
            [(owner, grouped[owner]) for owner in sorted(book.owners)],
        )

    async def do_group(self, book: Books) -> Found:
        pipeline = [{"$group": {"_id": "$owner_id", "sum": {"$sum": "$n"}}}]
        found = await self.db.aio.query("Box").aggregate(pipeline)
        sums: Counter[int] = Counter()
        for box in book.boxes.values():
            sums[box["owner_id"]] += box["n"]
        owners = {box["owner_id"] for box in book.boxes.values()}
        return {r["_id"]: r["sum"] for r in found}, {owner: sums[owner] for owner in owners}

    async def do_lookup(self, book: Books) -> Found:
        join = {"from": "Box", "localField": "code", "foreignField": "code", "as": "same"}
        found = await self.db.aio.query("Box").aggregate([{"$lookup": join}, {"$unwind": "$same"}])
        return len(found), len(book.boxes)

    async def do_facet(self, book: Books) -> Found:
        facets = {"all": [{"$count": "n"}], "low": [{"$match": {"n": {"$lt": 50}}}]}
        (found,) = await self.db.aio.query("Box").aggregate([{"$facet": facets}])
        low = [box for box in book.boxes.values() if box["n"] < 50]
        total = found["all"][0]["n"] if found["all"] else 0
        return (total, len(found["low"])), (len(book.boxes), len(low))

    async def do_upsert(self, book: Books) -> Found:
        rows = list({row["code"]: row for row in (self.row(book) for _ in range(5))}.values())
        known = {row["code"]: book.coded(row["code"]) for row in rows}
        found = await self.node("BoxBulkUpsertNode", book, data=rows, conflict_on=["code"])
        await self._learn(book)
        changed = [book.coded(row["code"]) for row in rows]
        same = all(
            box is not None
            and box["n"] == row["n"]
            and (known[row["code"]] or box)["id"] == box["id"]
            for box, row in zip(changed, rows, strict=True)
        )
        return (found["inserted"], same), (sum(box is None for box in known.values()), True)

    async def _learn(self, book: Books) -> None:
        """Take over the records with the codes of an upsert; the next operations check them."""
        found = await self.db.aio.list("Box", limit=None)
        for record in found["records"]:
            book.keep(record)

    async def do_bulk_create(self, book: Books) -> Found:
        free = [code for code in range(CODES, MOST) if book.coded(code) is None][:5]
        rows = [{**self.row(book), "code": code} for code in free]
        found = await self.node("BoxBulkCreateNode", book, data=rows, returning="records")
        for record in found["records"]:
            book.keep(record)
        return [r["mark"] for r in found["records"]], [book.canary] * len(free)

    async def do_bulk_update(self, book: Books) -> Found:
        least, n = self.dice.randrange(90, 100), self.dice.randrange(100)
        found = await self.node(
            "BoxBulkUpdateNode", book, filter={"n": {"$gte": least}}, fields={"n": n}
        )
        changed = book.where(least)
        for box in changed:
            box["n"] = n
        return found["updated"], len(changed)

    async def do_bulk_update_of_rows(self, book: Books) -> Found:
        keys, n = {self.any_id() for _ in range(4)}, self.dice.randrange(100)
        found = await self.db.aio.bulk_update("Box", [{"id": key, "n": n} for key in keys])
        mine = keys & book.boxes.keys()
        for key in mine:
            book.boxes[key]["n"] = n
        return found["updated"], len(mine)

    async def do_bulk_delete(self, book: Books) -> Found:
        keys = {self.any_id() for _ in range(6)}
        found = await self.node("BoxBulkDeleteNode", book, ids=list(keys))
        mine = keys & book.boxes.keys()
        for key in mine:
            del book.boxes[key]
        return found["deleted"], len(mine)

    async def do_session_select(self, book: Books) -> Found:
        async with self.db.aio.session() as session:
            found = await session.scalars(sa.select(self.model).order_by(self.model.id))
            records = [{name: getattr(box, name) for name in FIELDS} for box in found]
        return records, _by_id(book.boxes.values())

    async def do_session_update(self, book: Books) -> Found:
        key, n, box = self.any_id(), self.dice.randrange(100), self.model
        async with self.db.aio.session() as session:
            found = await session.execute(sa.update(box).where(box.id == key).values(n=n))
            await session.commit()
        if key in book.boxes:
            book.boxes[key]["n"] = n
        return found.rowcount, int(key in book.boxes)

    async def do_session_get(self, book: Books) -> Found:
        key = self.any_id()
        async with self.db.aio.session() as session:
            found = await session.get(self.model, key)
        return found and found.mark, book.canary if key in book.boxes else None


async def play(world: World, db: DataFlow, verdict: Verdict, full: int = OPERATIONS) -> None:
    dice, books = random.Random(7), [Books(name) for name in TENANTS]
    for book in books:
        with db.tenant(book.name):
            rows = [{"name": book.canary} for _ in range(3)]
            book.owners = (await db.aio.bulk_create("Owner", rows, returning="ids"))["ids"]
    operations = Operations(db, dice, books)
    known, done = operations.all(), Counter[str]()
    foreign_rows, wrong = 0, []
    begun = time.perf_counter()
    for _ in range(world.size(full)):
        book, name = dice.choice(books), dice.choice(list(known))
        with db.tenant(book.name):
            found, expected = await known[name](book)
        text = str(found)
        foreign_rows += any(other.canary in text for other in books if other is not book)
        if found != expected:
            wrong.append(f"{name}: {text[:120]}, expected {str(expected)[:120]}")
        done[name] += 1
    for book in books:
        with db.tenant(book.name):
            found, expected = await operations.do_session_select(book)
        foreign_rows += found != expected
    verdict.require(not foreign_rows, f"{foreign_rows} answers with rows of another tenant")
    verdict.require(not wrong, f"{len(wrong)} differ from the oracle: {wrong[:3]}")
    rate = sum(done.values()) / (time.perf_counter() - begun)
    verdict.figures = {
        "operations": sum(done.values()), "kinds": len(done), "foreign": foreign_rows,
        "wrong": len(wrong), "rate": f"{rate:,.0f}/s",
    }  # fmt: skip


def random_operations(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    db = open_boxes(url)
    run(play(world, db, verdict))
    verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("T1", "20,000 random operations of five tenants against an oracle", random_operations,
         limit_s=900),
)  # fmt: skip
