"""The same records in DataFlow and in mongomock, and what comparing them gave."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import mongomock

from bench.faults.mongo.comparing import plain, same
from bench.faults.mongo.counting import names_in
from bench.faults.mongo.documents import Document, Documents
from bench.faults.mongo.oracle import COLUMNS, Oracle
from bench.faults.mongo.pipelines import Stage
from bench.faults.mongo.rewriting import FilterRewriter
from dataflow import DataFlow
from dataflow.errors import DataFlowError

ITEMS, ORDERS = 40, 60
SHOWN, SHRUNK = 8, 40
COUNTED = 10


@dataclass
class Found:
    """What the comparison of many queries gave.

    Attributes:
        compared: How many were compared.
        partial: How many matched some records, but not all.
        skipped: How many met a known difference, by its name.
        rewritten: How often another one was put in other words.
        seen: Operators, stages, accumulators and expressions of compared queries.
        problems: What differs, made small.
        wrong: How many differ.
        kinds: How many differ, by the operators that remain.
    """

    compared: int = 0
    partial: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    wrong: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    def differs(self, query: Any, ours: Any, tell: Callable[[], str]) -> None:
        """Keep one that differs; tell about the first of its kind."""
        kind = " ".join([*sorted(set(names_in(query))), kind_of(ours)[:60]])
        self.wrong += 1
        self.kinds[kind] += 1
        if self.kinds[kind] == 1 and len(self.problems) < SHOWN:
            self.problems.append(tell())

    @property
    def may_shrink(self) -> bool:
        return self.wrong < SHRUNK


class Batch:
    """One set of records, in both."""

    def __init__(self, db: DataFlow, dice: random.Random, *, odd: bool, folds: bool) -> None:
        made = Documents(dice, odd=odd)
        self.db = db
        self.folds = folds
        self.asked = 0
        items, orders = made.items(ITEMS), made.orders(ORDERS, ITEMS + 5)
        for model, records in (("Item", items), ("Order", orders)):
            db.bulk_delete(model, all=True)
            db.bulk_create(model, records)
        self.documents: list[Document] = [plain(item) for item in items]
        self.orders: list[Document] = [plain(order) for order in orders]
        self.mongo = mongomock.MongoClient().catalog
        for name, records in (("items", self.documents), ("orders", self.orders)):
            self.mongo[name].insert_many([{"_id": item["id"], **item} for item in records])

    def their_ids(self, filter: Document, uses: Counter[str]) -> list[int]:
        rewritten = FilterRewriter(self.documents, COLUMNS, uses, folds=self.folds).filter(filter)
        return [item["_id"] for item in self.mongo.items.find(rewritten, {"_id": 1})]

    def our_ids(self, filter: Document) -> list[int]:
        query = self.db.query("items").where(filter)
        found = sorted(item["id"] for item in query.fields("id").all())
        self.asked += 1
        if self.asked % COUNTED == 0 and query.count() != len(found):
            raise AssertionError(f"count() gives {query.count()}, all() {len(found)} records")
        return found

    def their_answer(self, pipeline: list[Stage], uses: Counter[str]) -> Any:
        return Oracle(self.mongo, uses, folds=self.folds).answer(self.documents, pipeline)

    def our_answer(self, pipeline: list[Stage]) -> Any:
        """Ask with the first filter as a stage, or as the query's own."""
        query, first = self.db.query("items"), pipeline[0].get("$match")
        if first is not None and len(repr(first)) % 2:
            return plain(query.where(first).aggregate(pipeline[1:]))
        return plain(query.aggregate(pipeline))

    @property
    def is_stored(self) -> bool:
        """Whether the records come back as they were written."""
        found = plain(self.db.query("items").sort("id").all())
        return same(found, self.documents)

    def record(self, key: int, names: set[str]) -> Document:
        found = next(item for item in self.documents if item["id"] == key)
        return {name: value for name, value in found.items() if name in names}


class Refusal(str):
    """An error in the place of an answer."""

    __slots__ = ()


def kind_of(answer: Any) -> str:
    """Return an error's text without what it quotes; nothing for records."""
    return re.sub(r"'[^']*'", "…", answer) if isinstance(answer, Refusal) else ""


def answer_of(ask: Callable[[], Any]) -> Any:
    """Return an answer, or the error as a text."""
    try:
        return ask()
    except DataFlowError as error:
        return Refusal(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    except Exception as error:  # noqa: BLE001 - no error but ours may come
        return Refusal(f"foreign {type(error).__name__}: {error}")
