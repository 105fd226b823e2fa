"""Nodes that fail: what stops, what goes on, what is tried again, what is told."""

import asyncio
import pickle
import sys
import threading
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, Retry, WorkflowBuilder
from dataflow.errors import (
    DeadlockError,
    NodeTimeoutError,
    UniqueViolationError,
    UnresolvedReferenceError,
    WorkflowFailedError,
)
from dataflow.runtime.events import (
    NodeFailed,
    NodeFinished,
    NodeRetried,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
)

LIMIT_S = 10


@pytest.fixture
def builder(memory: DataFlow) -> WorkflowBuilder:
    @memory.node(pure=True)
    def keep(value: Any = None) -> Any:
        return {"value": value}

    @memory.node(pure=True)
    async def fail(message: str = "no") -> Any:
        raise ValueError(message)

    return WorkflowBuilder("failing", db=memory)


def run(builder: WorkflowBuilder, **options: Any) -> Any:
    return LocalRuntime().execute(builder, **options)[0]


def failure_of(builder: WorkflowBuilder, **options: Any) -> WorkflowFailedError:
    with pytest.raises(WorkflowFailedError) as caught:
        run(builder, **options)
    return caught.value


class TestFailing:
    def test_a_failing_leaf_raises_with_all_it_knows(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": "m"})
        line = sys._getframe().f_lineno + 1
        builder.add_node("fail", "two", {"message": one["value"]})

        error = failure_of(builder)

        assert error.results == {"one": {"value": "m"}}
        assert error.results.status == {"one": "completed", "two": "failed"}
        assert [(name, repr(e)) for name, e in error.failures.items()] == [
            ("two", "ValueError('m')")
        ]
        assert error.__cause__ is error.failures["two"]
        assert (error.workflow, error.code, len(error.run_id)) == ("failing", "DF303", 36)
        assert str(error) == (
            f"workflow 'failing', run {error.run_id}: 1 failed.\n"
            "  node 'two': ValueError: m\n"
            f"    at: {__file__}:{line}\n"
            "  code: DF303"
        )

    @pytest.mark.parametrize("blocking", [True, False])
    def test_a_function_that_finds_nothing_next_fails_like_any_other(
        self, memory: DataFlow, blocking: bool
    ):
        @memory.node(blocking=blocking)
        def first(records: list[int]) -> int:
            return next(record for record in records if record > 5)

        builder = WorkflowBuilder("nothing", db=memory)
        builder.add_node(first, "first", {"records": [1, 2]})
        error = failure_of(builder)
        assert "StopIteration" in str(error.failures["first"])

    def test_a_failure_of_our_own_is_told_with_its_place_and_its_advice(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.model
        class User:
            name: str

        builder.add_node("UserCreateNode", "one", {"id": 1, "name": "Ada"})
        line = sys._getframe().f_lineno + 1
        builder.add_node("UserCreateNode", "two", {"id": 1, "name": "Eve"})

        error = failure_of(builder)

        assert str(error) == (
            f"workflow 'failing', run {error.run_id}: 1 failed.\n"
            "  node 'two': UniqueViolationError: a record of 'users' with the same id exists "
            "already.\n"
            f"    at: {__file__}:{line}\n"
            "    code: DF202\n"
            "  code: DF303"
        )
        assert error.places == {"two": f"{__file__}:{line}"}

    def test_what_depends_on_a_failed_node_is_not_run(self, builder: WorkflowBuilder):
        one = builder.add_node("fail", "one")
        two = builder.add_node("keep", "two", {"value": one["x"]})
        builder.add_node("keep", "three", {"value": two["value"]})

        assert failure_of(builder).results.status == {
            "one": "failed", "two": "not_run", "three": "not_run",
        }  # fmt: skip

    def test_running_nodes_are_finished_first(self, builder: WorkflowBuilder, memory):
        failed = asyncio.Event()

        @memory.node(pure=True)
        async def slow() -> str:
            await asyncio.wait_for(failed.wait(), LIMIT_S)
            for _ in range(20):
                await asyncio.sleep(0)
            return "done"

        @memory.node(pure=True)
        async def fails() -> None:
            failed.set()
            raise ValueError("no")

        builder.add_node(slow, "slow")
        builder.add_node(fails, "fails")

        assert failure_of(builder).results == {"slow": {"result": "done"}}

    def test_several_failures_are_told_in_their_order(self, builder: WorkflowBuilder, memory):
        gate = asyncio.Barrier(2)

        @memory.node(pure=True)
        async def fails(name: str, pauses: int) -> None:
            await asyncio.wait_for(gate.wait(), LIMIT_S)
            for _ in range(pauses):
                await asyncio.sleep(0)
            raise ValueError(name)

        builder.add_node(fails, "a", {"name": "late", "pauses": 9})
        builder.add_node(fails, "b", {"name": "early", "pauses": 1})

        error = failure_of(builder)

        assert list(error.failures) == ["b", "a"]
        assert str(error).splitlines()[0] == (f"workflow 'failing', run {error.run_id}: 2 failed.")

    def test_the_error_survives_pickling(self, builder: WorkflowBuilder):
        builder.add_node("fail", "one")
        error = failure_of(builder)

        again = pickle.loads(pickle.dumps(error))

        assert (str(again), again.results, again.run_id) == (str(error), {}, error.run_id)

    def test_a_field_of_a_record_that_was_not_found_fails_there_and_says_so(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.model
        class User:
            id: int
            name: str

        user = builder.add_node("UserReadNode", "user", {"id": 7})
        builder.add_node("keep", "name", {"value": user["name"]})

        error = failure_of(builder).failures["name"]

        assert type(error) is UnresolvedReferenceError
        assert error.problem_text() == (
            "node 'name' needs user['name'], but 'user' found no record."
        )
        assert error.at.startswith(__file__)

    @pytest.mark.parametrize(
        ("output", "reason"),
        [({"a": 1, "b": 2}, "returned only 'a', 'b'"), ({}, "returned only nothing")],
        ids=str,
    )
    def test_an_output_that_does_not_exist_fails_where_it_is_used(
        self, builder: WorkflowBuilder, memory, output: dict, reason: str
    ):
        @memory.node(pure=True)
        def give() -> dict:
            return output

        given = builder.add_node(give, "given")
        builder.add_node("keep", "used", {"value": [given["c"]]})

        error = failure_of(builder).failures["used"]

        assert error.problem_text() == f"node 'used' needs given['c'], but 'given' {reason}."

    def test_a_node_that_is_cancelled_from_inside_does_not_count_as_done(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.node(pure=True)
        async def work() -> None:
            inner = asyncio.ensure_future(asyncio.sleep(0))
            inner.cancel()
            await inner

        builder.add_node("keep", "one", {"value": 1})
        builder.add_node(work, "worked")

        with pytest.raises((WorkflowFailedError, asyncio.CancelledError)):
            run(builder)

    def test_an_error_of_the_database_is_ours_with_the_drivers_as_cause(self, db: DataFlow):
        from dataflow import Field

        @db.model
        class User:
            id: int
            name: str = Field(unique=True)

        builder = WorkflowBuilder(db=db)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node("UserCreateNode", "two", {"name": "Ada"})

        error = failure_of(builder)

        found = error.failures["two"]
        assert (type(found), found.outcome, found.fields) == (
            UniqueViolationError, "not_applied", "name",
        )  # fmt: skip
        assert found.__cause__ is not None
        assert error.results.keys() == {"one"}


class TestContinue:
    def test_a_node_that_may_fail_gives_its_error_as_output(self, builder: WorkflowBuilder):
        one = builder.add_node("fail", "one", {"message": "m"}, on_error="continue")
        builder.add_node("keep", "two", {"value": one["error_type"]})

        results = run(builder)

        assert dict(results) == {
            "one": {"error": "m", "error_type": "ValueError", "failed": True},
            "two": {"value": "ValueError"},
        }

    def test_the_state_of_a_node_that_failed_is_failed(self, builder: WorkflowBuilder):
        builder.add_node("fail", "one", on_error="continue")

        assert run(builder).status == {"one": "failed"}

    def test_a_missing_reference_is_an_error_like_others(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": 1})
        builder.add_node("keep", "two", {"value": one["other"]}, on_error="continue")

        results = run(builder)

        assert (results["two"]["failed"], results["two"]["error_type"]) == (
            True, "UnresolvedReferenceError",
        )  # fmt: skip

    def test_a_field_of_a_failed_node_says_that_it_failed(self, builder: WorkflowBuilder):
        one = builder.add_node("fail", "one", {"message": "m"}, on_error="continue")
        builder.add_node("keep", "two", {"value": one["x"]})

        assert failure_of(builder).failures["two"].problem_text() == (
            "node 'two' needs one['x'], but 'one' failed: m."
        )

    def test_in_a_transaction_the_others_are_kept(self, db: DataFlow, runtime: LocalRuntime):
        from dataflow import Field

        @db.model
        class User:
            id: int
            name: str = Field(unique=True)

        builder = WorkflowBuilder(db=db)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node("UserCreateNode", "two", {"name": "Ada"}, on_error="continue")
        builder.add_node("UserCreateNode", "three", {"name": "Eve"})
        results, _ = runtime.execute(builder, transaction=True)

        assert results["two"]["error_type"] == "UniqueViolationError"
        assert [u["name"] for u in db.list("User", sort="name")["records"]] == ["Ada", "Eve"]


class TestRetry:
    @pytest.fixture
    def flaky(self, memory: DataFlow) -> list[int]:
        calls: list[int] = []

        @memory.node(pure=True)
        async def flaky(fails: int) -> int:
            calls.append(1)
            if len(calls) <= fails:
                raise ConnectionError("not yet")
            return len(calls)

        return calls

    def test_a_node_is_tried_until_it_works(self, builder: WorkflowBuilder, flaky: list[int]):
        builder.add_node("flaky", "f", {"fails": 2}, retry=Retry(attempts=5, delay_s=0))

        assert run(builder) == {"f": {"result": 3}}

    def test_after_the_last_try_the_last_error_is_told(
        self, builder: WorkflowBuilder, flaky: list[int]
    ):
        builder.add_node("flaky", "f", {"fails": 9}, retry=Retry(attempts=3, delay_s=0))

        assert type(failure_of(builder).failures["f"]) is ConnectionError
        assert len(flaky) == 3

    def test_other_exceptions_are_not_tried_again(self, builder: WorkflowBuilder, flaky: list[int]):
        builder.add_node(
            "flaky", "f", {"fails": 9}, retry=Retry(attempts=3, delay_s=0, on=(KeyError,))
        )
        failure_of(builder)

        assert len(flaky) == 1

    def test_wrong_data_is_not_tried_again(self, db: DataFlow):
        from dataflow import Field

        @db.model
        class User:
            id: int
            name: str = Field(unique=True)

        builder = WorkflowBuilder(db=db)
        builder.add_node("UserCreateNode", "one", {"name": "Ada"})
        builder.add_node("UserCreateNode", "two", {"name": "Ada"}, retry=Retry(delay_s=0))
        events: list[Any] = []
        failure_of(builder, on_event=events.append)

        assert [e for e in events if isinstance(e, NodeRetried)] == []

    def test_a_retryable_error_of_ours_is_tried_again(self, builder: WorkflowBuilder, memory):
        calls: list[int] = []

        @memory.node
        async def work() -> int:
            calls.append(1)
            if len(calls) == 1:
                raise DeadlockError(detail="d")
            return 1

        builder.add_node(work, "w", retry=Retry(delay_s=0))

        assert run(builder) == {"w": {"result": 1}}

    def test_with_on_error_continue_all_tries_come_first(
        self, builder: WorkflowBuilder, flaky: list[int]
    ):
        builder.add_node(
            "flaky", "f", {"fails": 9}, retry=Retry(attempts=2, delay_s=0), on_error="continue"
        )

        assert run(builder)["f"]["error_type"] == "ConnectionError"
        assert len(flaky) == 2


class TestTimeout:
    def test_a_node_that_takes_too_long_fails_with_its_limit(
        self, builder: WorkflowBuilder, memory
    ):
        cancelled: list[bool] = []

        @memory.node(pure=True)
        async def hang() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        builder.add_node(hang, "hangs", timeout_s=0.01)

        error = failure_of(builder).failures["hangs"]

        assert type(error) is NodeTimeoutError
        assert error.problem_text() == "node 'hangs' did not finish within 0.01 s."
        assert (error.timeout_s, error.at.startswith(__file__), cancelled) == (0.01, True, [True])

    def test_a_function_in_a_thread_is_left_behind(self, builder: WorkflowBuilder, memory):
        release = threading.Event()

        @memory.node(pure=True)
        def hang() -> None:
            release.wait(LIMIT_S)

        builder.add_node(hang, "hangs", timeout_s=0.01)

        error = failure_of(builder).failures["hangs"]
        release.set()
        assert type(error) is NodeTimeoutError

    def test_a_timeout_of_the_nodes_own_is_its_own(self, builder: WorkflowBuilder, memory):
        @memory.node(pure=True)
        async def own() -> None:
            raise TimeoutError("own")

        builder.add_node(own, "own", timeout_s=LIMIT_S)

        assert repr(failure_of(builder).failures["own"]) == "TimeoutError('own')"

    def test_a_node_without_writes_is_tried_again_after_a_timeout(
        self, builder: WorkflowBuilder, memory
    ):
        calls: list[int] = []

        @memory.node(pure=True)
        async def slow_once() -> int:
            calls.append(1)
            if len(calls) == 1:
                await asyncio.Event().wait()
            return 1

        builder.add_node(slow_once, "s", timeout_s=0.02, retry=Retry(delay_s=0))

        assert run(builder) == {"s": {"result": 1}}


class TestEvents:
    @staticmethod
    def told(builder: WorkflowBuilder) -> tuple[list[Any], list[Any], Exception | None]:
        events: list[Any] = []
        error = None
        try:
            run(builder, on_event=events.append)
        except WorkflowFailedError as found:
            error = found
        short = [(type(e).__name__, getattr(e, "node", None)) for e in events]
        return events, short, error

    def test_the_whole_sequence_of_a_run_is_told(self, builder: WorkflowBuilder, memory):
        calls: list[int] = []

        @memory.node(pure=True)
        async def flaky(value: Any) -> Any:
            calls.append(1)
            if len(calls) == 1:
                raise ConnectionError("not yet")
            return {"value": value}

        way = builder.add_node("SwitchNode", "way", {"value": True})
        tried = builder.add_node(
            flaky, "tried", {"value": way["true"]}, retry=Retry(delay_s=0, jitter=0)
        )
        builder.add_node("keep", "left", {"value": way["false"]})
        builder.add_connection("tried", "left")
        last = builder.add_node("keep", "last", {"value": tried["value"]})
        builder.add_connection("left", last)

        events, short, _ = self.told(builder)

        assert short == [
            ("RunStarted", None),
            ("NodeStarted", "way"),
            ("NodeFinished", "way"),
            ("NodeStarted", "tried"),
            ("NodeRetried", "tried"),
            ("NodeFinished", "tried"),
            ("NodeSkipped", "left"),
            ("NodeStarted", "last"),
            ("NodeFinished", "last"),
            ("RunFinished", None),
        ]
        run_id = events[0].run_id
        assert {(e.run_id, e.workflow) for e in events} == {(run_id, "failing")}
        assert events[0] == RunStarted(run_id, "failing", 4)
        assert events[1] == NodeStarted(run_id, "failing", "way", "SwitchNode")
        assert events[2] == NodeFinished(
            run_id, "failing", "way", events[2].seconds, {"true": True}
        )
        retried = events[4]
        assert (retried.attempt, retried.delay_s, repr(retried.error)) == (
            1, 0, "ConnectionError('not yet')",
        )  # fmt: skip
        assert events[6] == NodeSkipped(run_id, "failing", "left")
        assert events[-1] == RunFinished(run_id, "failing", "completed", events[-1].seconds)
        assert all(e.seconds >= 0 for e in events if hasattr(e, "seconds"))

    def test_a_failure_is_told(self, builder: WorkflowBuilder):
        builder.add_node("fail", "one", {"message": "m"})

        events, short, error = self.told(builder)

        assert short == [
            ("RunStarted", None), ("NodeStarted", "one"), ("NodeFailed", "one"),
            ("RunFinished", None),
        ]  # fmt: skip
        assert events[2] == NodeFailed(
            error.run_id, "failing", "one", events[2].seconds, error.failures["one"]
        )
        assert events[-1].status == "failed"

    def test_a_failure_that_may_be_is_told_and_the_run_is_completed(self, builder: WorkflowBuilder):
        builder.add_node("fail", "one", on_error="continue")

        events, short, _ = self.told(builder)

        assert short[2] == ("NodeFailed", "one")
        assert events[-1].status == "completed"

    def test_a_missing_reference_is_told_as_a_failure(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": 1})
        builder.add_node("keep", "two", {"value": one["other"]})

        _, short, _ = self.told(builder)

        assert [item for item in short if item[1] == "two"][-1] == ("NodeFailed", "two")

    def test_a_cancelled_run_is_told(self, builder: WorkflowBuilder, memory):
        started = asyncio.Event()

        @memory.node
        async def hang() -> None:
            started.set()
            await asyncio.Event().wait()

        builder.add_node(hang, "hangs")
        events: list[Any] = []

        async def main() -> None:
            run = LocalRuntime().execute_async(builder, on_event=events.append)
            task = asyncio.ensure_future(run)
            await asyncio.wait_for(started.wait(), LIMIT_S)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(main())

        assert [type(e).__name__ for e in events] == ["RunStarted", "NodeStarted", "RunFinished"]
        assert events[-1].status == "cancelled"

    def test_with_and_without_a_listener_the_results_are_the_same(self, builder: WorkflowBuilder):
        one = builder.add_node("keep", "one", {"value": 1})
        builder.add_node("keep", "two", {"value": one["value"]})
        workflow = builder.build()

        told = LocalRuntime().execute(workflow, on_event=lambda event: None)[0]

        assert told == LocalRuntime().execute(workflow)[0]
