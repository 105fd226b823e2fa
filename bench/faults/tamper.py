"""T5, after the fact: whoever damages the audit log behind its triggers is found out."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import sqlite3
from collections.abc import Callable
from typing import Any

import asyncpg
import sqlalchemy as sa

from bench.faults.case import Case, Verdict
from bench.faults.world import World
from dataflow import DataFlow
from dataflow.models.auditlog import AUDIT_HEADS, AUDIT_LOG, entry_texts
from dataflow.models.hashchain import link_hash
from dataflow.portal import portal

DAMAGES = 2_000
HISTORY = 40
LOG, HEADS = AUDIT_LOG.name, AUDIT_HEADS.name
COLUMNS = [column.name for column in AUDIT_LOG.columns]
PLACE = ("chain", "partition", "sequence")
Row = dict[str, Any]


class Owner:
    """Someone who owns the database, and writes into the log past its triggers."""

    def __init__(self, kind: str, url: str) -> None:
        self._sqlite: sqlite3.Connection | None = None
        self._postgres: Any = None
        if kind == "sqlite":
            self._sqlite = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'dat%'"
            for (name,) in self._sqlite.execute(query).fetchall():
                self._sqlite.execute(f"DROP TRIGGER {name}")
        else:
            self._postgres = portal.call(self._connect(url))
        for table in (LOG, HEADS):
            self.run(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}")

    @staticmethod
    async def _connect(url: str) -> Any:
        connection = await asyncpg.connect(url)
        await connection.execute("SET session_replication_role = replica")
        return connection

    def run(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """Run a statement with `?` for parameters."""
        if self._sqlite is not None:
            return self._sqlite.execute(sql, args).fetchall()
        for number in range(1, len(args) + 1):
            sql = sql.replace("?", f"${number}", 1)
        return [tuple(row) for row in portal.call(self._postgres.fetch(sql, *args))]

    def rows(self) -> list[Row]:
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        found = self.run(f"SELECT {names} FROM {LOG} ORDER BY chain, partition, sequence")
        return [dict(zip(COLUMNS, row, strict=True)) for row in found]

    def set(self, row: Row, column: str, value: Any) -> None:
        self.run(
            f'UPDATE {LOG} SET "{column}" = ? WHERE chain = ? AND partition = ? AND sequence = ?',
            value, *(row[name] for name in PLACE),
        )  # fmt: skip

    def delete(self, row: Row) -> None:
        place = [row[name] for name in PLACE]
        self.run(f"DELETE FROM {LOG} WHERE chain = ? AND partition = ? AND sequence = ?", *place)

    def insert(self, row: Row) -> None:
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        marks = ", ".join("?" * len(COLUMNS))
        self.run(f"INSERT INTO {LOG} ({names}) VALUES ({marks})", *(row[n] for n in COLUMNS))

    def restore(self) -> None:
        for table in (LOG, HEADS):
            self.run(f"DELETE FROM {table}")
            self.run(f"INSERT INTO {table} SELECT * FROM saved_{table}")

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
        else:
            portal.call(self._postgres.close())


def flipped(value: Any, dice: random.Random) -> Any:
    """Return another value of the same type, or any where there is none."""
    if isinstance(value, bool | int):
        return value + dice.choice((-1, 1, 1000))
    if isinstance(value, bytes):
        place = dice.randrange(len(value))
        return value[:place] + bytes([value[place] ^ 1 << dice.randrange(8)]) + value[place + 1 :]
    if isinstance(value, dt.datetime):
        return value + dt.timedelta(microseconds=dice.choice((-1, 1, 10**9)))
    if not value:
        return "x"
    place = dice.randrange(len(value))
    other = dice.choice([c for c in 'aB1" ü' if c != value[place]])
    return dice.choice((value[:place] + other + value[place + 1 :], value[:place], value + "0"))


def flip(owner: Owner, dice: random.Random) -> bool:
    """Change one column of one entry."""
    row = dice.choice(owner.rows())
    column = dice.choice(AUDIT_LOG.columns)
    other = flipped(row[column.name], dice)
    if row[column.name] is None and isinstance(column.type, sa.Integer):
        other = dice.randrange(200)
    owner.set(row, column.name, other)
    return False


def erase(owner: Owner, dice: random.Random) -> bool:
    """Make a value that may be missing missing."""
    row = dice.choice(owner.rows())
    given = [c.name for c in AUDIT_LOG.columns if c.nullable and row[c.name] is not None]
    owner.set(row, dice.choice(given), None)
    return False


def remove(owner: Owner, dice: random.Random) -> bool:
    owner.delete(dice.choice(owner.rows()))
    return False


def swap(owner: Owner, dice: random.Random) -> bool:
    """Exchange two entries, with or without their hashes."""
    one, other = dice.sample(owner.rows(), 2)
    owner.delete(one)
    owner.delete(other)
    kept = (*PLACE, "previous", "hash") if dice.random() < 0.5 else PLACE
    owner.insert({**other, **{name: one[name] for name in kept}})
    owner.insert({**one, **{name: other[name] for name in kept}})
    return False


def truncate(owner: Owner, dice: random.Random) -> bool:
    """Cut a chain's end off."""
    row = dice.choice(owner.rows())
    place = [row[name] for name in PLACE]
    owner.run(f"DELETE FROM {LOG} WHERE chain = ? AND partition = ? AND sequence >= ?", *place)
    return False


def insert(owner: Owner, dice: random.Random) -> bool:
    """Add a well-made entry at the end, at the beginning or to a chain of its own."""
    row = dict(dice.choice(owner.rows()))
    last = owner.run(
        f"SELECT max(sequence) FROM {LOG} WHERE chain = ? AND partition = ?",
        row["chain"], row["partition"],
    )[0][0]  # fmt: skip
    row["sequence"] = dice.choice((last + 1, last + 7, 0, -1))
    if dice.random() < 0.3:
        row["chain"], row["sequence"] = "forged", 1
    row["previous"] = dice.choice(owner.rows())["hash"]
    row["hash"] = link_hash(row["previous"], entry_texts(row))
    owner.insert(row)
    return False


def head(owner: Owner, dice: random.Random) -> bool:
    """Change or remove a head."""
    columns = ("chain", "partition", "sequence", "hash")
    found = owner.run(f"SELECT {', '.join(columns)} FROM {HEADS} WHERE sequence > 0")
    row = dict(zip(columns, dice.choice(found), strict=True))
    column = dice.choice((*columns, None))
    where = "WHERE chain = ? AND partition = ?"
    place = (row["chain"], row["partition"])
    if column is None:
        owner.run(f"DELETE FROM {HEADS} {where}", *place)
    else:
        owner.run(f"UPDATE {HEADS} SET {column} = ? {where}", flipped(row[column], dice), *place)
    return False


def rewrite(owner: Owner, dice: random.Random) -> bool:
    """Change or remove an entry, and work all hashes out anew, the head's too."""
    rows = owner.rows()
    victim = dice.choice(rows)
    later = [
        row for row in rows
        if (row["chain"], row["partition"]) == (victim["chain"], victim["partition"])
        and row["sequence"] >= victim["sequence"]
    ]  # fmt: skip
    for row in later:
        owner.delete(row)
    previous, sequence = victim["previous"], victim["sequence"]
    if dice.random() < 0.5:
        later = later[1:]
    else:
        later[0] = {**victim, "actor": "someone else"}
    for row in later:
        digest = link_hash(previous, entry_texts(row))
        owner.insert({**row, "sequence": sequence, "previous": previous, "hash": digest})
        previous, sequence = digest, sequence + 1
    owner.run(
        f"UPDATE {HEADS} SET sequence = ?, hash = ? WHERE chain = ? AND partition = ?",
        sequence - 1, previous, victim["chain"], victim["partition"],
    )  # fmt: skip
    return True


Damage = Callable[[Owner, random.Random], bool]
KINDS: tuple[Damage, ...] = (flip, flip, flip, erase, remove, swap, truncate, insert, head, rewrite)
_TAKEN = (sqlite3.IntegrityError, asyncpg.UniqueViolationError)


def history(db: DataFlow, dice: random.Random) -> None:
    """Make changes of every kind in three tenants' names, some of them at the same time."""

    @db.model(audit=True, soft_delete=True)
    class Job:
        tenant_id: str
        text: str

    async def change(number: int) -> None:
        tenant = dice.choice(("a", "b", "ü"))
        async with db.acting(f"user {number % 3}", correlation_id=number), db.transaction():
            made = await db.aio.create("Job", tenant_id=tenant, text=str(number))
            await db.aio.update("Job", made["id"], {"text": "changed"})
            if number % 3 == 0:
                await db.aio.delete("Job", made["id"], hard=number % 2 == 0)
            await db.aio.audit.record(action="seen", entity_type="job", entity_id=made["id"])

    async def all_at_once() -> None:
        await asyncio.gather(*(change(number) for number in range(HISTORY)))

    portal.call(all_at_once())
    for tenant in ("a", "b"):  # entries of many records
        keys = db.bulk_create(
            "Job", [{"tenant_id": tenant, "text": str(n)} for n in range(120)], returning="ids"
        )["ids"]
        db.bulk_update("Job", [{"id": key, "text": "all"} for key in keys])


def tampering(world: World) -> Verdict:
    verdict, dice = Verdict(), random.Random(5)
    url = world.url()
    found, wanted, kinds = 0, world.size(DAMAGES), dict.fromkeys([k.__name__ for k in KINDS], 0)
    with DataFlow(url) as db:
        history(db, dice)
        anchor = db.audit.anchor()
        verdict.require(db.audit.verify(anchor).ok, "the log is not sound to begin with")
        owner = Owner(world.kind, url)
        while sum(kinds.values()) < wanted:
            damage = dice.choice(KINDS)
            try:
                needs_anchor = damage(owner, dice)
            except _TAKEN:  # the place is taken: no damage done
                owner.restore()
                continue
            kinds[damage.__name__] += 1
            if db.audit.verify(anchor if needs_anchor else ()).ok:
                verdict.problems.append(f"{damage.__name__}, number {sum(kinds.values())}, unseen")
            else:
                found += 1
            owner.restore()
        verdict.require(db.audit.verify(anchor).ok, "the log is not sound in the end")
        owner.close()
    verdict.figures = {"detected": f"{found} of {wanted}", **kinds}
    return verdict


CASES = (Case("T5", "audit log: flip, delete, swap, truncate, insert", tampering, limit_s=600),)
