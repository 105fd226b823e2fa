"""Transactions and cancellation: all or nothing, on every database."""

import asyncio
import contextlib
import gc
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder
from dataflow.errors import DataFlowError, ParameterError, WorkflowFailedError

LIMIT_S = 20


@pytest.fixture
def shop(db: DataFlow) -> DataFlow:
    @db.model
    class User:
        id: int
        name: str

    @db.node
    async def fail() -> None:
        raise ValueError("no")

    return db


def names(db: DataFlow) -> list[str]:
    return [user["name"] for user in db.list("User", sort="id", limit=None)["records"]]


async def names_async(db: DataFlow) -> list[str]:
    page = await db.aio.list("User", sort="id", limit=None)
    return [user["name"] for user in page["records"]]


def in_use(db: DataFlow) -> tuple[int, int]:
    status = db.database.pool_status()
    return status["in_use"], status["waiting"]


class TestTransaction:
    def test_all_nodes_commit_together(self, shop: DataFlow, runtime: LocalRuntime):
        builder = WorkflowBuilder(db=shop)
        for name in ("Ada", "Eve", "Joe"):
            builder.add_node("UserCreateNode", name, {"name": name})
        builder.add_node("UserListNode", "users")
        results, _ = runtime.execute(builder, transaction=True)

        assert results["users"]["count"] == 3
        assert names(shop) == ["Ada", "Eve", "Joe"]
        assert in_use(shop) == (0, 0)

    def test_a_failure_rolls_everything_back(self, shop: DataFlow, runtime: LocalRuntime):
        builder = WorkflowBuilder(db=shop)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node("UserBulkCreateNode", "many", {"data": [{"name": "x"}] * 3})
        builder.add_node("fail", "failed")

        with pytest.raises(WorkflowFailedError):
            runtime.execute(builder, transaction=True)

        assert names(shop) == []
        assert in_use(shop) == (0, 0)

    def test_without_a_transaction_each_node_commits_alone(
        self, shop: DataFlow, runtime: LocalRuntime
    ):
        builder = WorkflowBuilder(db=shop)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node("fail", "failed")

        with pytest.raises(WorkflowFailedError):
            runtime.execute(builder)

        assert names(shop) == ["Ada"]

    def test_branches_take_turns_on_the_one_connection(self, shop: DataFlow, runtime: LocalRuntime):
        builder = WorkflowBuilder(db=shop)
        for number in range(30):
            builder.add_node("UserListNode", f"list{number}")
        results, _ = runtime.execute(builder, transaction=True)

        assert [page["count"] for page in results.values()] == [0] * 30

    def test_verbs_inside_own_nodes_join(self, shop: DataFlow, runtime: LocalRuntime):
        @shop.node
        async def audit() -> int:
            await shop.aio.create("User", name="from a coroutine")
            return len((await shop.aio.list("User"))["records"])

        @shop.node
        def audit_in_thread() -> None:
            shop.create("User", name="from a thread")

        builder = WorkflowBuilder(db=shop)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node(audit, "audit")
        builder.add_node(audit_in_thread, "audit_in_thread")
        builder.add_node("fail", "failed")

        with pytest.raises(WorkflowFailedError) as caught:
            runtime.execute(builder, transaction=True)

        assert caught.value.results["audit"] == {"result": 2}
        assert list(caught.value.failures) == ["failed"]
        assert names(shop) == []

    def test_a_nested_run_joins(self, shop: DataFlow, runtime: LocalRuntime):
        inner = WorkflowBuilder(db=shop)
        inner.add_node("UserCreateNode", "inner", {"name": "inner"})

        @shop.node
        async def nested() -> None:
            await runtime.execute_async(inner, transaction=True)

        builder = WorkflowBuilder(db=shop)
        builder.add_node(nested, "nested")
        builder.add_node("UserCreateNode", "outer", {"name": "outer"})
        workflow = builder.build()
        runtime.execute(workflow, transaction=True)
        kept = names(shop)
        builder.add_node("fail", "failed")
        with pytest.raises(WorkflowFailedError):
            runtime.execute(builder, transaction=True)

        assert kept == names(shop) == ["inner", "outer"]

    def test_a_run_inside_a_block_joins_it(self, shop: DataFlow, runtime: LocalRuntime):
        builder = WorkflowBuilder(db=shop)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        with contextlib.suppress(KeyError), shop.transaction():
            runtime.execute(builder)
            raise KeyError
        with shop.transaction():
            runtime.execute(builder)

        assert names(shop) == ["Ada"]

    def test_nodes_of_two_databases_are_refused(self, shop: DataFlow, runtime: LocalRuntime):
        with DataFlow("sqlite:///:memory:") as other:

            @other.model
            class Note:
                id: int

            builder = WorkflowBuilder("two", db=shop)
            builder.add_node("UserListNode", "users")
            builder.add_node(other.nodes.NoteListNode, "notes")
            with pytest.raises(ParameterError) as caught:
                runtime.execute(builder, transaction=True)

        assert str(caught.value) == (
            "transaction=True needs nodes of exactly one database; workflow 'two' has "
            "nodes of 2.\n  code: DF103"
        )

    def test_own_nodes_of_a_dataflow_alone_may_run_in_its_transaction(
        self, shop: DataFlow, runtime: LocalRuntime
    ):
        @shop.node
        async def write() -> None:
            await shop.aio.create("User", name="Ada")

        builder = WorkflowBuilder(db=shop)
        builder.add_node(write, "one")
        builder.add_node("fail", "failed")
        with pytest.raises(WorkflowFailedError):
            runtime.execute(builder, transaction=True)

        assert names(shop) == []

    def test_work_that_outlives_its_transaction_never_uses_its_connection(self, shop: DataFlow):
        async def main() -> tuple[Any, list[str]]:
            go = asyncio.Event()

            async def late() -> None:
                await asyncio.wait_for(go.wait(), LIMIT_S)
                await shop.aio.create("User", name="late")

            async with shop.transaction():
                await shop.aio.create("User", name="in time")
                task = asyncio.ensure_future(late())
                await asyncio.sleep(0)
            block = shop.transaction()
            await block.__aenter__()
            await shop.aio.create("User", name="another's")
            go.set()
            (outcome,) = await asyncio.gather(task, return_exceptions=True)
            await block.__aexit__(KeyError, KeyError(), None)
            return outcome, await names_async(shop)

        outcome, kept = asyncio.run(main())

        assert isinstance(outcome, DataFlowError)
        assert kept == ["in time"]


class TestCancellation:
    def test_every_task_of_a_run_is_cancelled_and_none_is_left(self, shop: DataFlow):
        started, ended = asyncio.Semaphore(0), []

        @shop.node(pure=True)
        async def hang(number: int) -> None:
            started.release()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(number)

        @shop.node
        async def never() -> None:
            ended.append("never")

        builder = WorkflowBuilder(db=shop)
        for number in range(5):
            builder.add_node(hang, f"h{number}", {"number": number})
        builder.add_node(never, "never")
        for number in range(5):
            builder.add_connection(f"h{number}", "never")

        async def main() -> int:
            task = asyncio.ensure_future(LocalRuntime().execute_async(builder))
            for _ in range(5):
                await asyncio.wait_for(started.acquire(), LIMIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return len(asyncio.all_tasks())

        assert asyncio.run(main()) == 1
        assert sorted(ended) == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize("transaction", [False, True])
    def test_cancelling_ends_the_statement_and_rolls_back(self, shop: DataFlow, transaction: bool):
        entered = asyncio.Event()

        @shop.node
        async def hang() -> None:
            async with shop.transaction():
                await shop.aio.create("User", name="inside")
                entered.set()
                await asyncio.Event().wait()

        builder = WorkflowBuilder(db=shop)
        builder.add_node("UserListNode", "users")
        builder.add_node(hang, "hangs")

        async def main() -> tuple[list[str], tuple[int, int], int]:
            run = LocalRuntime().execute_async(builder, transaction=transaction)
            task = asyncio.ensure_future(run)
            await asyncio.wait_for(entered.wait(), LIMIT_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await names_async(shop), in_use(shop), len(asyncio.all_tasks())

        assert asyncio.run(main()) == ([], (0, 0), 1)

    def test_a_cancelled_statement_stops_on_the_server(self, shop: DataFlow):
        slow = {
            "postgresql": "SELECT pg_sleep(60)",
            "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
            "SELECT count(*) FROM c",
        }[shop.database.driver.name]

        async def main() -> tuple[list[str], tuple[int, int]]:
            await shop.aio.create("User", name="Ada")
            begun = asyncio.get_running_loop().time()
            task = asyncio.ensure_future(shop.database.fetch(slow, ()))
            for _ in range(200):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            found = await asyncio.wait_for(names_async(shop), LIMIT_S)
            assert asyncio.get_running_loop().time() - begun < LIMIT_S
            return found, in_use(shop)

        assert asyncio.run(main()) == (["Ada"], (0, 0))

    def test_a_failing_run_leaves_no_task_behind(self, shop: DataFlow):
        builder = WorkflowBuilder(db=shop)
        for number in range(5):
            builder.add_node("UserListNode", f"l{number}")
        builder.add_node("fail", "failed")

        async def main() -> int:
            with pytest.raises(WorkflowFailedError):
                await LocalRuntime().execute_async(builder)
            gc.collect()
            return len(asyncio.all_tasks())

        assert asyncio.run(main()) == 1
