"""A session whose task is cancelled, wherever it is at that moment, leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import sqlalchemy as sa

from dataflow import DataFlow
from dataflow.errors import TransactionAbortedError

Work = Callable[[DataFlow, type], Awaitable[None]]
TURNS = range(0, 60, 3)
"""After so many turns of the event loop tasks are cancelled; work takes up to 50."""


def declare_note(db: DataFlow) -> type:
    @db.model
    class Note:
        text: str = ""

    return Note


async def write(db: DataFlow, note: type) -> None:
    async with db.aio.session() as session:
        session.add(note(text="cancelled"))
        await session.flush()
        await asyncio.sleep(0)
        await session.rollback()


async def read(db: DataFlow, note: type) -> None:
    async with db.aio.session(read_only=True) as session:
        (await session.scalars(sa.select(note))).all()


async def write_in_parts(db: DataFlow, note: type) -> None:
    async with db.transaction(), db.aio.session() as session:
        session.add(note(text="cancelled"))
        await session.flush()
        async with session.begin_nested():
            session.add(note(text="cancelled"))
            await session.flush()
        raise ZeroDivisionError


async def stream(db: DataFlow, note: type) -> None:
    async with db.aio.session() as session:
        async for _ in await session.stream_scalars(sa.select(note)):
            await asyncio.sleep(0)


async def cancelled(work: Awaitable[None], turns: int) -> BaseException | None:
    """Return what comes of work that is cancelled after some turns of the loop."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except BaseException as error:  # noqa: BLE001 - also the cancellation
        return error
    return None


@pytest.mark.parametrize("work", [write, read, write_in_parts, stream])
def test_others_go_on_as_if_nothing_had_been(db: DataFlow, work: Work):
    note = declare_note(db)

    async def case() -> None:
        await db.aio.bulk_create("Note", [{}] * 100)
        stored = 100
        for turns in TURNS:
            error = await cancelled(work(db, note), turns)
            assert error is None or isinstance(error, asyncio.CancelledError | ZeroDivisionError)
            await db.aio.create("Note", {})
            async with db.transaction(), db.aio.session() as session:
                async with session.begin_nested():
                    session.add(note())
                await session.commit()
            stored += 2
            assert await db.aio.count("Note") == stored
        await db.aclose()

    asyncio.run(case())


def test_a_part_that_was_left_is_not_committed_with_the_rest(db: DataFlow):
    declare_note(db)

    async def part() -> None:
        async with db.transaction(savepoint=True):
            await db.aio.create("Note", {"text": "left"})
            await db.aio.bulk_create("Note", [{"text": "left"}] * 5_000)

    async def whole(turns: int) -> None:
        async with db.transaction():
            error = await cancelled(part(), turns)
            await db.aio.create("Note", {"text": "kept"})
        left = await db.aio.count("Note", {"text": "left"})
        assert bool(left) == (error is None)

    async def case() -> None:
        await db.aio.create("Note", {})
        for turns in range(20):
            with suppress(TransactionAbortedError):
                await whole(turns)
            await db.aio.bulk_delete("Note", all=True)
        await db.aclose()

    asyncio.run(case())


def test_a_loop_that_ends_while_a_connection_opens_keeps_no_place_in_the_pool(db: DataFlow):
    declare_note(db)
    db.count("Note")

    async def leave_early() -> None:
        count = asyncio.create_task(db.aio.count("Note"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 3  # this one, the count, and what opens for it
        count.cancel()
        await asyncio.wait([count])

    with asyncio.Runner() as runner:
        runner.run(leave_early())
        [opening] = asyncio.all_tasks(runner.get_loop())
        runner.get_loop().run_until_complete(opening)
    gc.collect()
    assert db.database.pool_status()["in_use"] == 0
