"""Sessions inside a transaction: on its connection, committed with it or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from dataflow import DataFlow, Field, LocalRuntime, WorkflowBuilder
from dataflow.errors import ParameterError, TransactionAbortedError, WorkflowFailedError
from dataflow.repositories import AsyncRepository

Case = Callable[[DataFlow, Any], Awaitable[None]]


@pytest.fixture
def play(db: DataFlow) -> Callable[[Case], list[str]]:
    """Run a coroutine on a database with one model, and return the names stored after it."""

    @db.model(multi_tenant=True)
    class Item:
        name: str = Field(unique=True)

    def run(case: Case) -> list[str]:
        with db.tenant("acme"):
            asyncio.run(case(db, Item))
            found = sorted(record.name for record in db.query("Item").all())
        assert db.database.pool_status()["in_use"] == 0
        return found

    return run


def test_a_session_sees_and_adds_to_what_the_transaction_wrote(play):
    async def case(db, item):
        async with db.transaction():
            await db.aio.create("Item", name="a verb")
            async with db.aio.session() as session:
                seen = (await session.scalars(sa.select(item.name))).all()
                session.add(item(name="the session, having seen " + ", ".join(seen)))
                await session.commit()
            await db.aio.create("Item", name="b verb")

    assert play(case) == ["a verb", "b verb", "the session, having seen a verb"]


def test_what_a_session_did_not_commit_is_forgotten(play):
    async def case(db, item):
        async with db.transaction(), db.aio.session() as session:
            session.add(item(name="kept"))
            await session.commit()
            session.add(item(name="not kept"))
            await session.flush()

    assert play(case) == ["kept"]


def test_a_failing_transaction_takes_the_commits_of_its_sessions_back(play):
    async def case(db, item):
        with pytest.raises(RuntimeError):
            async with db.transaction():
                async with db.aio.session() as session:
                    await AsyncRepository(session, item).create(name="gone")
                    await session.commit()
                raise RuntimeError

    assert play(case) == []


def test_a_session_that_rolls_back_lets_the_transaction_go_on(play):
    async def case(db, item):
        async with db.transaction():
            await db.aio.create("Item", name="first")
            async with db.aio.session() as session:
                session.add(item(name="first"))
                with pytest.raises(IntegrityError):
                    await session.commit()
                await session.rollback()
                session.add(item(name="second"))
                await session.commit()
            await db.aio.create("Item", name="third")

    assert play(case) == ["first", "second", "third"]


def test_an_error_that_leaves_the_session_undoes_the_session_alone(play):
    async def case(db, item):
        async with db.transaction():
            await db.aio.create("Item", name="before")
            with pytest.raises(RuntimeError):
                async with db.aio.session() as session:
                    session.add(item(name="inside"))
                    await session.commit()
                    raise RuntimeError
            await db.aio.create("Item", name="after")

    assert play(case) == ["after", "before"]


def test_verbs_inside_the_session_share_its_fate(play):
    async def case(db, item):
        async with db.transaction():
            with pytest.raises(RuntimeError):
                async with db.aio.session():
                    await db.aio.create("Item", name="inside")
                    raise RuntimeError

    assert play(case) == []


def test_repositories_take_part_in_a_workflow_of_one_transaction(play):
    async def case(db, item):
        @db.node
        async def add(name: str) -> int:
            async with db.aio.session() as session:
                items = AsyncRepository(session, item)
                await items.create(name=name)
                await session.commit()
                return await items.count()

        workflow = WorkflowBuilder(db=db)
        workflow.add_node("ItemCreateNode", "first", {"name": "one"})
        workflow.add_node("add", "second", {"name": "two"})
        runtime = LocalRuntime()
        results, _ = await runtime.execute_async(workflow, transaction=True)
        assert results["second"] == {"result": 2}

        workflow = WorkflowBuilder(db=db)
        workflow.add_node("add", "first", {"name": "three"})
        workflow.add_node("ItemCreateNode", "second", {"name": "one"})
        with pytest.raises(WorkflowFailedError):
            await runtime.execute_async(workflow, transaction=True)

    assert play(case) == ["one", "two"]


def test_a_thread_is_told_that_its_session_cannot_join(db: DataFlow):
    with db.transaction(), pytest.raises(ParameterError, match="thread's session"):
        db.session()


def test_the_audit_log_names_who_acted_in_the_session_and_after_it(db: DataFlow):
    @db.model(audit=True)
    class Item:
        name: str

    async def case() -> None:
        with db.acting("ada"):
            async with db.transaction():
                await db.aio.create("Item", name="by ada")
                with db.acting("bob"):
                    async with db.aio.session() as session:
                        session.add(Item(name="by bob"))
                        await session.commit()
                await db.aio.create("Item", name="by ada again")

    asyncio.run(case())

    entries = db.audit.get_recent_activity()
    assert {entry.after["name"]: entry.actor for entry in entries} == {
        "by ada": "ada",
        "by bob": "bob",
        "by ada again": "ada",
    }
    assert db.audit.verify().ok


def test_a_session_that_gives_up_its_connection_loses_the_transaction(db: DataFlow):
    @db.model
    class Item:
        name: str = ""

    async def case() -> None:
        with pytest.raises(TransactionAbortedError):
            async with db.transaction():
                await db.aio.create("Item", {})
                with suppress(TransactionAbortedError):
                    async with db.aio.session() as session:
                        session.add(Item(name="lost"))
                        await session.flush()
                        await session.invalidate()
        assert await db.aio.count("Item") == 0
        await db.aclose()

    asyncio.run(case())
