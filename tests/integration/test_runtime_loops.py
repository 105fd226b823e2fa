"""Runs from scripts, threads, several loops, and inside a running loop."""

import asyncio
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dataflow import AsyncLocalRuntime, DataFlow, LocalRuntime, Workflow, WorkflowBuilder
from dataflow.portal import portal

LIMIT_S = 10


@pytest.fixture
def shop(db: DataFlow) -> DataFlow:
    @db.model
    class User:
        id: int
        name: str

    return db


@pytest.fixture
def workflow(shop: DataFlow) -> Workflow:
    builder = WorkflowBuilder(db=shop)
    user = builder.add_node("UserCreateNode", "user", {"name": "Ada"})
    builder.add_node("UserReadNode", "read", {"id": user["id"]})
    return builder.build()


def run_program(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "program.py"
    program.write_text(text)
    return subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip


def test_a_builder_may_be_executed_without_building_it(shop: DataFlow, runtime: LocalRuntime):
    builder = WorkflowBuilder(db=shop)
    builder.add_node("UserCreateNode", "user", {"name": "Ada"})

    assert runtime.execute(builder)[0]["user"]["name"] == "Ada"


def test_a_runtime_may_be_a_context(workflow: Workflow):
    with LocalRuntime() as runtime:
        results, _ = runtime.execute(workflow)

    async def main() -> str:
        async with AsyncLocalRuntime() as inner:
            return (await inner.execute_async(workflow))[0]["read"]["name"]

    assert (results["read"]["name"], asyncio.run(main())) == ("Ada", "Ada")


def test_every_run_has_an_id_of_its_own(workflow: Workflow, runtime: LocalRuntime):
    ids = [runtime.execute(workflow)[1] for _ in range(20)]

    assert len(set(ids)) == 20


def test_execute_inside_a_running_loop_works_and_warns_once(
    workflow: Workflow, runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(portal, "_warned", set())

    async def main() -> list[str]:
        return [runtime.execute(workflow)[0]["read"]["name"] for _ in range(3)]

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = asyncio.run(main())

    assert found == ["Ada"] * 3
    assert [(str(item.message), item.category, item.filename) for item in seen] == [
        (
            "LocalRuntime.execute blocks the running event loop; await execute_async instead",
            RuntimeWarning,
            __file__,
        )
    ]


def test_many_threads_share_one_runtime(workflow: Workflow, runtime: LocalRuntime):
    def run(number: int) -> tuple[str, bool]:
        results, _ = runtime.execute(workflow, parameters={"user": {"name": f"n{number}"}})
        return results["read"]["name"], results["read"]["id"] == results["user"]["id"]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(run, range(160)))

    assert found == [(f"n{number}", True) for number in range(160)]


def test_every_loop_gets_connections_of_its_own(workflow: Workflow):
    async def main() -> str:
        return (await LocalRuntime().execute_async(workflow))[0]["read"]["name"]

    found = [asyncio.run(main()) for _ in range(10)]
    with ThreadPoolExecutor(5) as pool:
        found += pool.map(lambda _: asyncio.run(main()), range(10))

    assert found == ["Ada"] * 20


def test_sync_and_async_callers_may_be_mixed(shop: DataFlow, workflow: Workflow):
    LocalRuntime().execute(workflow)

    async def main() -> None:
        await LocalRuntime().execute_async(workflow)

    asyncio.run(main())
    LocalRuntime().execute(workflow)

    assert shop.count("User") == 3


def test_many_runs_at_once_on_one_loop(shop: DataFlow, workflow: Workflow):
    async def main() -> set[str]:
        runtime = LocalRuntime()
        runs = [
            runtime.execute_async(workflow, parameters={"user": {"name": f"n{number}"}})
            for number in range(200)
        ]
        return {results["read"]["name"] for results, _ in await asyncio.gather(*runs)}

    assert asyncio.run(main()) == {f"n{number}" for number in range(200)}


def test_closing_inside_a_running_loop_does_not_hang(url: str):
    ended = threading.Event()

    async def main() -> None:
        with DataFlow(url) as db:

            @db.model
            class User:
                id: int
                name: str

            await db.aio.create(User, name="Ada")

    def program() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asyncio.run(main())
        ended.set()

    threading.Thread(target=program, daemon=True).start()

    assert ended.wait(LIMIT_S)


def test_sync_nodes_that_run_workflows_of_sync_nodes_do_not_starve_each_other(
    memory: DataFlow, runtime: LocalRuntime
):
    @memory.node(pure=True)
    def inner_work() -> int:
        return 1

    inner = WorkflowBuilder(db=memory)
    inner.add_node(inner_work, "inner")
    built = inner.build()

    @memory.node(pure=True)
    def outer_work() -> int:
        return runtime.execute(built)[0]["inner"]["result"]

    outer = WorkflowBuilder(db=memory)
    for number in range(50):
        outer.add_node(outer_work, f"o{number}")
    ended = threading.Event()
    found: list[int] = []

    def program() -> None:
        found.extend(output["result"] for output in runtime.execute(outer)[0].values())
        ended.set()

    threading.Thread(target=program, daemon=True).start()

    assert ended.wait(LIMIT_S)
    assert found == [1] * 50


SCRIPT = """
from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

db = DataFlow({url!r})

@db.model
class User:
    id: int
    name: str

wf = WorkflowBuilder(db=db)
wf.add_node("UserCreateNode", "user", {{"name": "Ada"}})
wf.add_node("UserListNode", "users")
print(LocalRuntime().execute(wf)[0]["users"]["count"])
{end}
"""


@pytest.mark.parametrize("end", ["", "db.close()", "del db, wf, User"])
def test_a_script_ends_silently_with_and_without_closing(url: str, tmp_path: Path, end: str):
    done = run_program(SCRIPT.format(url=url, end=end), tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


def test_a_script_with_its_own_loop_ends_silently_without_closing(url: str, tmp_path: Path):
    text = SCRIPT.format(url=url, end="").replace(
        'print(LocalRuntime().execute(wf)[0]["users"]["count"])',
        "import asyncio\n"
        'print(asyncio.run(LocalRuntime().execute_async(wf))[0]["users"]["count"])\n'
        'print(asyncio.run(LocalRuntime().execute_async(wf))[0]["users"]["count"])',
    )

    done = run_program(text, tmp_path)

    assert (done.stdout, done.stderr, done.returncode) == ("1\n2\n", "", 0)


async def answer() -> int:
    return 42


def test_a_forked_child_gets_a_loop_of_its_own():
    portal.call(answer())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if portal.call(answer()) == 42 else 2
        finally:
            os._exit(code)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_program_that_used_the_portal_ends_by_itself():
    program = "from dataflow.portal import portal\nasync def f(): return 7\nprint(portal.call(f()))"

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)
