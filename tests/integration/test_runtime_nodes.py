"""Own nodes in a run: functions, classes, and how each is called."""

import asyncio
import threading
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, Node, WorkflowBuilder
from dataflow.errors import DefinitionError, NodeOutputError, ParameterError, WorkflowFailedError
from dataflow.runtime.events import NodeStarted

LIMIT_S = 10


@pytest.fixture
def builder(memory: DataFlow) -> WorkflowBuilder:
    return WorkflowBuilder("own", db=memory)


def run(builder: WorkflowBuilder, **options: Any) -> dict[str, Any]:
    return dict(LocalRuntime().execute(builder, **options)[0])


class TestFunctions:
    def test_a_plain_value_becomes_the_output_result(self, builder: WorkflowBuilder, memory):
        @memory.node
        def discount(total: float, percent: float = 10) -> float:
            return total * (1 - percent / 100)

        builder.add_node(discount, "cheaper", {"total": 50.0})

        assert run(builder) == {"cheaper": {"result": 45.0}}

    def test_a_dict_gives_named_outputs(self, builder: WorkflowBuilder, memory):
        @memory.node
        def split(text: str) -> dict[str, Any]:
            head, *tail = text.split()
            return {"head": head, "tail": tail}

        @memory.node
        def join(words: list) -> str:
            return "-".join(words)

        parts = builder.add_node(split, "parts", {"text": "a b c"})
        builder.add_node(join, "joined", {"words": parts["tail"]})

        assert run(builder) == {
            "parts": {"head": "a", "tail": ["b", "c"]},
            "joined": {"result": "b-c"},
        }

    @pytest.mark.parametrize("value", [None, 0, "", [], (1, 2), {1, 2}, b"x"], ids=repr)
    def test_any_other_value_is_the_result(self, builder: WorkflowBuilder, memory, value):
        @memory.node
        def give() -> Any:
            return value

        builder.add_node(give, "given")

        assert run(builder) == {"given": {"result": value}}

    @pytest.mark.parametrize("output", [{1: "a"}, {None: 1}], ids=repr)
    @pytest.mark.parametrize("guarded", [False, True])
    def test_a_dict_with_other_keys_is_refused(
        self, builder: WorkflowBuilder, memory, output, guarded
    ):
        @memory.node
        def give() -> dict:
            return output

        builder.add_node(give, "given", **({"timeout_s": LIMIT_S} if guarded else {}))

        with pytest.raises(WorkflowFailedError) as caught:
            run(builder)
        failure = caught.value.failures["given"]
        assert type(failure) is NodeOutputError
        assert str(failure) == (
            f"node 'given' returned a dict with the key {next(iter(output))!r}, "
            "which is no text.\n"
            f"  at: {failure.at}\n"
            "  help: give each output a name: {'name': value, …}\n"
            "  code: DF304"
        )
        assert (failure.at or "").startswith(f"{__file__}:")

    def test_a_plain_function_runs_in_a_worker_thread(self, builder: WorkflowBuilder, memory):
        @memory.node
        def where() -> str:
            return threading.current_thread().name

        @memory.node
        async def loop_thread() -> str:
            return threading.current_thread().name

        builder.add_node(where, "where")
        builder.add_node(loop_thread, "loop")

        results = run(builder)
        assert results["where"] != results["loop"]

    def test_a_function_that_does_not_block_runs_on_the_loop(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.node(blocking=False)
        def where() -> bool:
            return asyncio.get_running_loop().is_running()

        builder.add_node(where, "where")

        assert run(builder) == {"where": {"result": True}}

    def test_a_coroutine_runs_on_the_loop(self, builder: WorkflowBuilder, memory):
        @memory.node
        async def work(x: int) -> int:
            await asyncio.sleep(0)
            return x + 1

        builder.add_node(work, "worked", {"x": 1})

        assert run(builder) == {"worked": {"result": 2}}

    def test_a_plain_function_may_use_the_sync_face(self, db: DataFlow, runtime: LocalRuntime):
        @db.model
        class User:
            id: int
            name: str

        @db.node
        def rename(key: int) -> str:
            return db.update(User, key, {"name": db.read(User, key)["name"].upper()})["name"]

        builder = WorkflowBuilder(db=db)
        user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
        builder.add_node(rename, "renamed", {"key": user["id"]})
        results, _ = runtime.execute(builder)

        assert results["renamed"] == {"result": "ADA"}

    def test_an_accepted_value_arrives_in_the_declared_type(self, builder: WorkflowBuilder, memory):
        @memory.node
        def double(number: int) -> Any:
            return number * 2

        try:
            builder.add_node(double, "doubled", {"number": "5"})
        except ParameterError:
            return

        assert run(builder) == {"doubled": {"result": 10}}

    def test_a_parameter_of_a_run_arrives_in_the_declared_type(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.node
        def double(number: int) -> Any:
            return number * 2

        builder.add_node(double, "doubled", {"number": 1})
        try:
            results = run(builder, parameters={"doubled": {"number": "5"}})
        except ParameterError:
            return

        assert results == {"doubled": {"result": 10}}

    def test_a_node_that_changes_its_input_changes_no_later_run(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.node
        def grow(items: list) -> int:
            items.append("more")
            return len(items)

        builder.add_node(grow, "grown", {"items": ["one"]})
        workflow = builder.build()
        runtime = LocalRuntime()

        assert [runtime.execute(workflow)[0]["grown"]["result"] for _ in range(3)] == [2, 2, 2]

    def test_a_node_that_changes_its_input_changes_no_default(
        self, builder: WorkflowBuilder, memory
    ):
        @memory.node
        def grow(items: list) -> int:
            items.append("more")
            return len(items)

        items = builder.add_input("items", list, default=["one"])
        builder.add_node(grow, "grown", {"items": items})
        workflow = builder.build()
        runtime = LocalRuntime()

        assert [runtime.execute(workflow)[0]["grown"]["result"] for _ in range(3)] == [2, 2, 2]


class TestClasses:
    def test_a_class_with_a_coroutine_runs(self, builder: WorkflowBuilder):
        class Enrich(Node):
            async def run(self, *, record: dict, limit: int = 80) -> dict[str, Any]:
                return {"name": record["name"][:limit]}

        builder.add_node(Enrich, "short", {"record": {"name": "Adelaide"}, "limit": 3})

        assert run(builder) == {"short": {"name": "Ade"}}

    def test_a_class_with_a_plain_run_works_in_a_thread(self, builder: WorkflowBuilder):
        class Where(Node):
            def run(self) -> bool:
                try:
                    asyncio.get_running_loop()
                except RuntimeError:
                    return False
                return True

        class WhereOnLoop(Where):
            blocking = False

        builder.add_node(Where, "thread")
        builder.add_node(WhereOnLoop, "loop")

        assert run(builder) == {"thread": {"result": False}, "loop": {"result": True}}

    def test_a_class_without_run_fails_with_its_name(self, builder: WorkflowBuilder):
        class Empty(Node):
            pass

        with pytest.raises(DefinitionError, match="Empty"):
            builder.add_node(Empty, "empty")


class TestOrder:
    def test_independent_functions_really_run_at_once(self, builder: WorkflowBuilder, memory):
        meeting = threading.Barrier(3, timeout=LIMIT_S)

        @memory.node(pure=True)
        def meet() -> bool:
            meeting.wait()
            return True

        for name in "abc":
            builder.add_node(meet, name)

        assert run(builder) == {name: {"result": True} for name in "abc"}

    def test_independent_coroutines_really_run_at_once(self, builder: WorkflowBuilder, memory):
        meeting = asyncio.Barrier(3)

        @memory.node(pure=True)
        async def meet() -> bool:
            await asyncio.wait_for(meeting.wait(), LIMIT_S)
            return True

        for name in "abc":
            builder.add_node(meet, name)

        assert run(builder) == {name: {"result": True} for name in "abc"}

    def test_functions_with_unknown_effects_keep_their_written_order(
        self, builder: WorkflowBuilder, memory
    ):
        order = []

        @memory.node
        async def note(name: str, pauses: int) -> None:
            for _ in range(pauses):
                await asyncio.sleep(0)
            order.append(name)

        for number, name in enumerate("abc"):
            builder.add_node(note, name, {"name": name, "pauses": 9 - 4 * number})
        run(builder)

        assert order == ["a", "b", "c"]

    def test_declared_writes_keep_the_order_and_others_do_not(
        self, builder: WorkflowBuilder, memory
    ):
        order, go = [], asyncio.Event()

        @memory.node(writes=["mail"])
        async def send() -> None:
            await asyncio.wait_for(go.wait(), LIMIT_S)
            order.append("send")

        @memory.node(reads=["mail"])
        async def read() -> None:
            order.append("read")

        @memory.node(reads=["other"])
        async def other() -> None:
            order.append("other")
            go.set()

        for item in (send, read, other):
            builder.add_node(item, item.__name__)
        run(builder)

        assert order == ["other", "send", "read"]

    def test_a_node_of_the_default_registry_that_writes_a_model_comes_before_its_readers(
        self, memory: DataFlow
    ):
        from dataflow import node
        from dataflow.nodes.registry import default_registry

        @memory.model
        class User:
            id: int
            name: str

        @node(writes=[User])
        async def import_users() -> None:
            for _ in range(20):
                await asyncio.sleep(0)
            await memory.aio.create(User, name="Ada")

        default_registry.remove("import_users")
        builder = WorkflowBuilder(db=memory)
        builder.add_node(import_users, "import")
        builder.add_node("UserListNode", "users")

        assert run(builder)["users"]["count"] == 1

    def test_reads_of_one_table_run_at_once_and_a_write_waits_for_them(self, db: DataFlow):
        @db.model
        class User:
            id: int
            name: str

        builder = WorkflowBuilder(db=db)
        builder.add_node("UserCreateNode", "first", {"name": "Ada"})
        builder.add_node("UserListNode", "one")
        builder.add_node("UserListNode", "two")
        builder.add_node("UserCreateNode", "second", {"name": "Eve"})
        builder.add_node("UserListNode", "three")
        events: list = []
        results, _ = LocalRuntime().execute(builder, on_event=events.append)

        assert [results[name]["count"] for name in ("one", "two", "three")] == [1, 1, 2]
        started = [event.node for event in events if isinstance(event, NodeStarted)]
        assert started == ["first", "one", "two", "second", "three"]

    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_no_more_nodes_run_at_once_than_allowed(
        self, builder: WorkflowBuilder, memory, limit: int
    ):
        inside, most = 0, 0

        @memory.node(pure=True)
        async def work() -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            for _ in range(5):
                await asyncio.sleep(0)
            inside -= 1

        for number in range(10):
            builder.add_node(work, f"n{number}")
        results, _ = LocalRuntime(max_concurrency=limit).execute(builder)

        assert most == limit
        assert len(results) == 10

    def test_a_slow_branch_holds_up_no_other(self, builder: WorkflowBuilder, memory):
        done = asyncio.Event()

        @memory.node(pure=True)
        async def slow() -> None:
            await asyncio.wait_for(done.wait(), LIMIT_S)

        @memory.node(pure=True)
        async def step(_before: Any = None) -> int:
            return 1

        @memory.node(pure=True)
        async def last(before: Any) -> None:
            done.set()

        builder.add_node(slow, "slow")
        one = builder.add_node(step, "one")
        two = builder.add_node(step, "two", {"_before": one["result"]})
        builder.add_node(last, "last", {"before": two["result"]})

        assert run(builder).keys() == {"slow", "one", "two", "last"}
