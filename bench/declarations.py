"""Prints the seconds that many model classes and the first query take.

Run in a process of its own: `python -m bench.declarations ours|raw MODELS`. Importing
the library is not counted.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, mapped_column

from dataflow import DataFlow

FIELDS = {"name": str, "email": str, "active": bool, "age": int}


def declare_ours(count: int) -> None:
    with DataFlow("sqlite:///:memory:") as db:
        for number in range(count):
            hints = {"__annotations__": dict(FIELDS), "__module__": __name__}
            db.model(type(f"User{number}", (), hints))
        db.count("User0")


class Base(DeclarativeBase):
    """The base of the classes that SQLAlchemy maps."""


async def declare_raw(count: int) -> None:
    for number in range(count):
        columns: dict[str, Any] = {
            "name": mapped_column(sa.Text()),
            "email": mapped_column(sa.Text()),
            "active": mapped_column(sa.Boolean()),
            "age": mapped_column(sa.BigInteger()),
            "created_at": mapped_column(sa.DateTime()),
            "updated_at": mapped_column(sa.DateTime()),
            "id": mapped_column(sa.Integer(), primary_key=True),
        }
        type(f"User{number}", (Base,), {"__tablename__": f"user{number}", **columns})
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.execute(sa.text("SELECT count(*) FROM user0"))
    await engine.dispose()


if __name__ == "__main__":
    who, size = sys.argv[1], int(sys.argv[2])
    begun = time.perf_counter()
    if who == "ours":
        declare_ours(size)
    else:
        asyncio.run(declare_raw(size))
    print(time.perf_counter() - begun)
