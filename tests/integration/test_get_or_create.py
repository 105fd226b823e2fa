"""Sessions that make the same record at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dataflow import DataFlow, Field
from dataflow.repositories import AsyncRepository


async def until_somebody_waits(db: DataFlow) -> None:
    async with asyncio.timeout(30):
        while not await db.database.fetch("SELECT 1 FROM pg_locks WHERE NOT granted", ()):
            await db.database.fetch("SELECT pg_sleep(0.005)", ())


@pytest.mark.parametrize("commits", [True, False])
def test_the_second_waits_for_the_first_and_takes_what_it_made(
    postgres_databases: Any, commits: bool
):
    with DataFlow(postgres_databases.create()) as db:

        @db.model
        class Country:
            code: str = Field(unique=True)
            name: str

        db.create_tables()

        async def scenario() -> tuple[str, bool, list[str]]:
            async with db.aio.session() as first, db.aio.session() as second:
                await AsyncRepository(first, Country).create(code="de", name="first")
                countries = AsyncRepository(second, Country)
                await countries.create(code="fr", name="before")
                waiting = asyncio.create_task(
                    countries.get_or_create({"code": "de"}, {"name": "second"})
                )
                await until_somebody_waits(db)
                await (first.commit() if commits else first.rollback())
                found, is_new = await waiting
                await second.commit()
                return found.name, is_new, [country.name for country in await countries.list()]

        wanted = ("first", False) if commits else ("second", True)
        found = asyncio.run(scenario())
        assert found[:2] == wanted
        assert sorted(found[2]) == sorted(["before", wanted[0]])
