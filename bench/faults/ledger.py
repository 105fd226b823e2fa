"""What clients were told, kept outside of the database, and compared with it."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.faults.case import Verdict
from bench.faults.models import foreign
from dataflow import DataFlow, Field
from dataflow.errors import DataFlowError, ExecutionError

Work = Callable[[], Awaitable[Any]]


class Ledger:
    """A file to which clients append the name of each record that was acknowledged."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile("a+", prefix="dataflow-ledger-")  # noqa: SIM115 - closed by `judge`
        self.refused: set[str] = set()
        """Names of which a client was told that they were not written."""

    def acknowledge(self, name: str) -> None:
        self._file.write(name + "\n")
        self._file.flush()

    def judge(self, verdict: Verdict, stored: list[str]) -> None:
        """Compare with the names that are stored."""
        told = Path(self._file.name).read_text().split()
        self._file.close()
        found = Counter(stored)
        lost = [name for name in told if name not in found]
        doubled = [name for name, count in found.items() if count > 1]
        undead = self.refused & set(found)
        verdict.require(not lost, f"{len(lost)} acknowledged records lost: {lost[:3]}")
        verdict.require(not doubled, f"{len(doubled)} records doubled: {doubled[:3]}")
        verdict.require(not undead, f"{len(undead)} are there, said not to be: {list(undead)[:3]}")
        verdict.figures |= {"acknowledged": len(told), "lost": len(lost), "doubled": len(doubled)}


def open_ledgered(url: str, **settings: Any) -> DataFlow:
    """Return a DataFlow with a keyed and an unkeyed model, and a counter."""
    db = DataFlow(url, **settings)

    @db.model
    class Keyed:
        id: str = Field(primary_key=True)
        value: int = 0

    @db.model
    class Entry:
        id: int
        name: str = Field(index=True)

    return db


class Clients:
    """Tasks that read and write until they are told to stop; each counts its errors."""

    def __init__(self, db: DataFlow, ledger: Ledger) -> None:
        self.db, self.ledger = db, ledger
        self.done: Counter[str] = Counter()
        self.errors: dict[str, list[BaseException]] = {}
        self.successes: list[float] = []
        self.longest_s = 0.0
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()

    async def read(self) -> None:
        await self.db.aio.read("Keyed", "steady")
        await self.db.aio.list("Entry", {"name": "nobody"}, limit=5)

    async def change(self) -> None:
        number = next(self._numbers)
        record = await self.db.aio.update("Keyed", "steady", {"value": number})
        assert record is not None

    async def keyed(self) -> None:
        """Create a record with a key of ours, change it, and delete every other one."""
        name = f"k{next(self._numbers)}"
        created = await self.db.aio.create("Keyed", id=name)
        assert created["id"] == name
        await self.db.aio.update("Keyed", name, {"value": 1})
        if name.endswith(("1", "3", "5", "7", "9")):
            assert await self.db.aio.delete("Keyed", name)
            return
        self.ledger.acknowledge(name)

    async def unkeyed(self) -> None:
        await self._noted(lambda name: self.db.aio.create("Entry", name=name))

    async def transaction(self) -> None:
        async def pair(name: str) -> None:
            async with self.db.transaction():
                await self.db.aio.read("Keyed", "steady")
                await self.db.aio.create("Entry", name=name)

        await self._noted(pair)

    async def _noted(self, write: Callable[[str], Awaitable[Any]]) -> None:
        name = f"e{next(self._numbers)}"
        try:
            await write(name)
        except DataFlowError as error:
            if error.outcome == "not_applied":
                self.ledger.refused.add(name)
            raise
        self.ledger.acknowledge(name)

    async def repeat(self, kind: str, work: Work) -> None:
        """Do it again and again; short pauses after errors keep a dead server from spinning."""
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                await work()
            except ExecutionError as error:
                self.errors.setdefault(kind, []).append(error)
                await asyncio.sleep(0.02)
            else:
                self.done[kind] += 1
                self.successes.append(time.monotonic())
            self.longest_s = max(self.longest_s, time.monotonic() - begun)

    def start(self, each: int, *kinds: str) -> list[asyncio.Task[None]]:
        """Return tasks, `each` for every kind: read, change, keyed, unkeyed, transaction."""
        return [
            asyncio.create_task(self.repeat(kind, getattr(self, kind)))
            for kind in kinds
            for _ in range(each)
        ]

    async def stop(self, tasks: list[asyncio.Task[None]]) -> None:
        self._stop.set()
        await asyncio.gather(*tasks)

    def judge(self, verdict: Verdict) -> None:
        for found in self.errors.values():
            verdict.problems += foreign(found)


async def stored_names(db: DataFlow) -> list[str]:
    """Return the names of all records that clients wrote."""
    keyed = (await db.aio.list("Keyed", limit=None, fields=["id"]))["records"]
    entries = (await db.aio.list("Entry", limit=None, fields=["name"]))["records"]
    return [r["id"] for r in keyed if r["id"] != "steady"] + [r["name"] for r in entries]
