"""Sessions that only read: they wait for no writer, and refuse to write."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dataflow import DataFlow


@pytest.fixture
def house(db: DataFlow) -> DataFlow:
    @db.model
    class Item:
        name: str

    db.create("Item", name="first")
    db.item = Item  # type: ignore[attr-defined]  # for the tests of this file
    return db


def test_a_reader_sees_what_is_committed_while_someone_writes(house: DataFlow) -> None:
    async def run() -> None:
        item = house.item
        async with house.aio.session() as writer, house.aio.session(read_only=True) as reader:
            writer.add(item(name="second"))
            await writer.flush()

            assert (await reader.scalars(sa.select(item.name))).all() == ["first"]

            await writer.rollback()

    asyncio.run(run())


def test_a_reader_refuses_to_write(house: DataFlow) -> None:
    async def run() -> None:
        item = house.item
        async with house.aio.session(read_only=True) as reader:
            with pytest.raises(DBAPIError, match=r"read-?only"):
                await reader.execute(sa.update(item).values(name="changed"))

        assert [record.name for record in await house.aio.query("Item").all()] == ["first"]

    asyncio.run(run())


def test_the_connection_of_a_reader_writes_again_afterwards(house: DataFlow) -> None:
    async def run() -> None:
        for _ in range(3):
            async with house.aio.session(read_only=True) as reader:
                await reader.scalars(sa.select(house.item.name))
        async with house.aio.session() as writer:
            writer.add(house.item(name="second"))
            await writer.commit()

        assert await house.aio.query("Item").count() == 2

    asyncio.run(run())


def test_a_thread_may_read_only_too(house: DataFlow) -> None:
    with house.session(read_only=True) as reader:
        assert reader.scalars(sa.select(house.item.name)).all() == ["first"]
        with pytest.raises(DBAPIError, match=r"read-?only"):
            reader.execute(sa.delete(house.item))
