"""Random bulk calls of two tenants: records are an oracle's, and the log tells each step."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest

from dataflow import DataFlow

KEYS = [f"k{n}" for n in range(260)]
CALLS = 14
Records = dict[str, dict[str, Any]]


class Shelf:
    """One tenant's records, and the calls that change them here and in the database."""

    def __init__(self, db: DataFlow, tenant: str, dice: random.Random) -> None:
        self.db, self.tenant, self.dice = db, tenant, dice
        self.records: Records = {}

    def call(self) -> None:
        """Make one call, in the oracle and in the database."""
        self.dice.choice([self.create, self.rows, self.upsert, self.matches, self.delete])()

    def _some(self, keys: Any) -> list[str]:
        known = sorted(keys)
        return self.dice.sample(known, min(len(known), self.dice.choice([3, 99, 130, 260])))

    def create(self) -> None:
        rows = [self._row(key) for key in self._some(set(KEYS) - set(self.records))]
        self.db.bulk_create("Book", rows)
        self.records |= {row["id"]: row for row in rows}

    def rows(self) -> None:
        rows = [{"id": key, "note": self._note()} for key in self._some(KEYS)]
        found = self.db.bulk_update("Book", rows)["updated"]
        assert found == len({row["id"] for row in rows} & set(self.records))
        for row in rows:
            if row["id"] in self.records:
                self.records[row["id"]] |= row

    def upsert(self) -> None:
        rows = [self._row(key) for key in self._some(KEYS)]
        new = len({row["id"] for row in rows} - set(self.records))
        assert self.db.bulk_upsert("Book", rows)["inserted"] == new
        self.records |= {row["id"]: row for row in rows}

    def matches(self) -> None:
        least, note = self.dice.randrange(10), self._note()
        found = [r for r in self.records.values() if r["pages"] >= least]
        result = self.db.bulk_update("Book", {"pages": {"$gte": least}}, {"note": note})
        assert result["updated"] == len(found)
        for record in found:
            record["note"] = note

    def delete(self) -> None:
        least = self.dice.randrange(3, 10)
        gone = [key for key, record in self.records.items() if record["pages"] >= least]
        assert self.db.bulk_delete("Book", {"pages": {"$gte": least}})["deleted"] == len(gone)
        for key in gone:
            del self.records[key]

    def _row(self, key: str) -> dict[str, Any]:
        return {"id": key, "pages": self.dice.randrange(10), "note": self._note()}

    def _note(self) -> str | None:
        return self.dice.choice([None, "", "null", 'q"\\', "ä😀", "[1]", f"{self.dice.random()}"])

    def check(self) -> None:
        """Compare the database and its log with the oracle."""
        found = self.db.list("Book", limit=None)["records"]
        known = {key: {**row, "tenant_id": self.tenant} for key, row in self.records.items()}
        assert {record["id"]: record for record in found} == known
        assert self.db.audit.verify_records("Book").ok
        for key in self.dice.sample(KEYS, 25):
            story = self.db.audit.get_by_entity("Book", key)[::-1]
            assert all(one.after == other.before for one, other in pairwise(story))
            assert (story[-1].after if story else None) == known.get(key)


@pytest.mark.parametrize("seed", range(4))
def test_bulk_calls_and_their_log_agree_with_an_oracle(db: DataFlow, seed: int):
    @db.model(audit=True, multi_tenant=True, timestamps=False)
    class Book:
        id: str
        pages: int
        note: str | None = None

    dice = random.Random(seed)
    shelves = {tenant: Shelf(db, tenant, dice) for tenant in ("acme", "bolt")}
    for _ in range(CALLS):
        tenant = dice.choice(list(shelves))
        with db.tenant(tenant):
            shelves[tenant].call()

    for tenant, shelf in shelves.items():
        with db.tenant(tenant):
            shelf.check()
            assert db.audit.verify().ok
