"""Deadlines: every call in the block ends in time, and leaves nothing behind."""

import asyncio
import time
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import DeadlineExceededError, ParameterError

SLOW = {
    "postgresql": "SELECT pg_sleep(100)",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000000000) "
    "SELECT count(*) FROM n",
}
LONG_S = 60


@pytest.fixture
def notes(db: DataFlow) -> DataFlow:
    @db.model
    class Note:
        id: int
        text: str

    db.create("Note", text="a")
    return db


async def slow(db: DataFlow, *, write: bool = False) -> Any:
    return await db.database.fetch(SLOW[db.database.driver.name], (), write=write)


async def stop(
    db: DataFlow, seconds: float = 0.05, *, write: bool = False
) -> DeadlineExceededError:
    with pytest.raises(DeadlineExceededError) as found:
        async with db.deadline(seconds):
            await slow(db, write=write)
    return found.value


async def settled(db: DataFlow) -> dict[str, int]:
    for _ in range(500):
        status = db.database.pool_status()
        if status["in_use"] == 0:
            break
        await asyncio.sleep(0.01)
    return status


def test_a_statement_ends_and_the_pool_is_whole_again(notes: DataFlow):
    async def main() -> None:
        begun = time.monotonic()
        errors = await asyncio.gather(*(stop(notes) for _ in range(30)))
        assert time.monotonic() - begun < LONG_S
        assert {error.outcome for error in errors} <= {None, "not_applied"}
        assert (await settled(notes))["in_use"] == 0
        assert await notes.aio.count("Note") == 1

    asyncio.run(main())


def test_the_outcome_of_a_write_on_its_way_is_unknown(notes: DataFlow):
    async def main() -> DeadlineExceededError:
        assert await notes.aio.count("Note") == 1  # the connection is open when time begins
        return await stop(notes, 0.3, write=True)

    error = asyncio.run(main())

    assert (error.outcome, error.retryable) == ("unknown", True)
    assert str(error).splitlines()[0] == "the call did not end before its deadline of 0.3 s."


def test_the_server_goes_on_with_nothing(postgres_databases: Any):
    url = postgres_databases.create()

    async def main() -> int:
        async with DataFlow(url) as db:
            await stop(db)
            await settled(db)
            sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(100)%' AND "
            for _ in range(500):
                rows = await db.database.fetch(
                    sql + "state = 'active' AND pid <> pg_backend_pid() "
                    "AND datname = current_database()", (),
                )  # fmt: skip
                if rows[0][0] == 0:
                    return 0
                await asyncio.sleep(0.01)
            return int(rows[0][0])

    assert asyncio.run(main()) == 0


def test_waiting_for_a_connection_counts(url: str):
    async def main() -> None:
        async with DataFlow(url, pool_size=1, max_overflow=0) as db, db.transaction():
            task = asyncio.create_task(outside(db))
            await task

    async def outside(db: DataFlow) -> None:
        from dataflow.database.current import open_transactions

        open_transactions.set({})
        with pytest.raises(DeadlineExceededError) as found:
            async with db.deadline(0.05):
                await db.database.fetch("SELECT 1", (), write=True)
        assert found.value.outcome == "not_applied"

    asyncio.run(main())


def test_after_the_deadline_nothing_is_sent(notes: DataFlow):
    async def main() -> None:
        async with notes.deadline(0.01):
            await asyncio.sleep(0.02)
            for write in (notes.aio.create("Note", text="b"), notes.aio.delete("Note", 1)):
                with pytest.raises(DeadlineExceededError) as found:
                    await write
                assert found.value.outcome == "not_applied"
        assert await notes.aio.count("Note") == 1

    asyncio.run(main())


def test_a_transaction_is_rolled_back_in_the_background(notes: DataFlow):
    async def main() -> None:
        begun = time.monotonic()
        with pytest.raises(DeadlineExceededError) as found:
            async with notes.deadline(0.1), notes.transaction():
                await notes.aio.create("Note", text="b")
                await slow(notes)
        assert found.value.outcome == "not_applied"
        assert time.monotonic() - begun < LONG_S
        assert (await settled(notes))["in_use"] == 0
        assert await notes.aio.count("Note") == 1

    asyncio.run(main())


def test_a_commit_after_the_deadline_does_not_happen(notes: DataFlow):
    async def main() -> None:
        with pytest.raises(DeadlineExceededError) as found:
            async with notes.deadline(0.2), notes.transaction():
                await notes.aio.create("Note", text="b")
                await asyncio.sleep(0.25)
        assert found.value.outcome == "not_applied"
        await settled(notes)
        assert await notes.aio.count("Note") == 1

    asyncio.run(main())


def test_sync_callers_too(notes: DataFlow):
    with notes.deadline(LONG_S):
        assert notes.count("Note") == 1
        with pytest.raises(DeadlineExceededError), notes.deadline(1e-9):
            notes.count("Note")
        assert notes.count("Note") == 1
    assert notes.count("Note") == 1


def test_the_earliest_of_nested_deadlines_holds(notes: DataFlow):
    with pytest.raises(DeadlineExceededError), notes.deadline(1e-9), notes.deadline(LONG_S):
        notes.count("Note")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "2", None])
def test_a_deadline_needs_time(memory: DataFlow, seconds: Any):
    with pytest.raises(ParameterError, match="seconds > 0"):
        memory.deadline(seconds)
