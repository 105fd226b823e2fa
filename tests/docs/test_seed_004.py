"""The blocks of the source document 004 run as written: imports and the URL's host mapped."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from seed_004 import find_seed, read_blocks, read_copies, runnable

from dataflow import DataFlow, DataFlowConfig, LocalRuntime, Node, WorkflowBuilder
from dataflow.errors import MultipleRecordsError, SchemaDriftError, WorkflowFailedError

MODEL_ON_DB = """
@db.model
class User:
    id: int
    name: str
    email: str
    active: bool = True
"""


PEOPLE_ON_DB = """
@db.model
class User:
    id: int
    name: str
    age: int
    department: str
    status: str

db.bulk_create("User", [
    {"name": "John Doe", "age": 41, "department": "engineering", "status": "active"},
    {"name": "Johnny", "age": 17, "department": "sales", "status": "active"},
    {"name": "John Roe", "age": 30, "department": "eng", "status": "active"},
    {"name": "John Low", "age": 30, "department": "eng", "status": "inactive"},
    {"name": "Ada", "age": 36, "department": "sales", "status": "active"},
])
"""


class Session:
    """One namespace in which blocks run, on one database."""

    def __init__(self, blocks: dict[str, str], url: str) -> None:
        self._blocks = blocks
        self._url = url
        self._databases: list[DataFlow] = []
        self.names: dict[str, Any] = {"__name__": "seed_004"}

    def run(self, name: str) -> None:
        self.run_code(self._blocks[name], f"{name}.txt")

    def run_from(self, name: str, comment: str) -> None:
        """Run the part of a block that begins with a comment."""
        self.run_code("".join(self._blocks[name].partition(comment)[1:]), f"{name}.txt")

    def run_until(self, name: str, comment: str) -> None:
        """Run the part of a block before a comment."""
        self.run_code(self._blocks[name].partition(comment)[0], f"{name}.txt")

    def run_code(self, code: str, source: str) -> None:
        exec(compile(runnable(code, self._url), source, "exec"), self.names)
        database = self.names.get("db")
        if database is not None and database not in self._databases:
            self._databases.append(database)

    def close(self) -> None:
        for database in self._databases:
            database.close()
        self.names.clear()
        gc.collect()


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    seed = find_seed()
    return read_copies() if seed is None else read_blocks(seed)


@pytest.fixture
def session(blocks: dict[str, str], url: str) -> Iterator[Session]:
    opened = Session(blocks, url)
    yield opened
    opened.close()


@pytest.mark.skipif(find_seed() is None, reason="the source document is not at hand")
def test_the_checked_in_blocks_are_those_of_the_document():
    seed = find_seed()

    assert seed is not None
    assert read_copies() == read_blocks(seed)


def test_quick_start_creates_a_user_and_finds_it(
    session: Session, capsys: pytest.CaptureFixture[str]
):
    session.run("quick_start_model")
    session.run("quick_start_workflow")

    results, run_id = session.names["results"], session.names["run_id"]
    created, found = results["create_user"], results["read_user"]
    assert {name: created[name] for name in ("id", "name", "email", "active")} == {
        "id": 1,
        "name": "John Doe",
        "email": "john@example.com",
        "active": True,
    }
    assert type(created["active"]) is bool
    assert found == {**created, "found": True}
    assert len(run_id) == 36
    assert capsys.readouterr().out == f"Created user: {created}\nFound user: {found}\n"


def test_quick_start_makes_the_nine_nodes_that_its_comment_lists(
    session: Session, blocks: dict[str, str]
):
    session.run("quick_start_model")

    nodes = session.names["db"].get_generated_nodes("User")
    assert len(nodes) == 9
    assert all(name in blocks["quick_start_model"] for name in nodes)


def test_bulk_operations_create_three_users_and_update_none(
    session: Session, capsys: pytest.CaptureFixture[str]
):
    session.run("quick_start_model")
    session.names |= {"workflow": WorkflowBuilder(), "runtime": LocalRuntime()}

    session.run("bulk_operations")

    results = session.names["results"]
    assert results["bulk_create"] == {
        "processed": 3,
        "inserted": 3,
        "skipped": 0,
        "rejected": [],
        "success": True,
    }
    assert results["bulk_update"] == {"processed": 0, "updated": 0, "success": True}
    assert capsys.readouterr().out == f"Bulk created: {results['bulk_create']}\n"
    stored = session.names["db"].list("User", sort="id", fields=["name", "active"])["records"]
    assert stored == [
        {"name": name, "active": True} for name in ("Alice Smith", "Bob Jones", "Carol White")
    ]


def test_the_quick_starts_workflow_run_again_finds_two_users_of_one_name(session: Session):
    session.run("quick_start_model")
    session.run("quick_start_workflow")

    with pytest.raises(WorkflowFailedError) as caught:
        session.run("bulk_operations")  # goes on with the same workflow, which creates him again

    failure = caught.value.failures["read_user"]
    assert isinstance(failure, MultipleRecordsError)
    assert caught.value.results["create_user"]["id"] == 2


@pytest.mark.parametrize(
    ("block", "names"),
    [("query_builder", {"John Doe", "Ada"}), ("comparison_operators", {"John Roe"})],
)
def test_the_query_builder_finds_what_the_comments_of_a_block_say(
    session: Session, url: str, block: str, names: set[str]
):
    runtime, workflow = LocalRuntime(), WorkflowBuilder()
    session.names |= {"db": DataFlow(url), "workflow": workflow, "runtime": runtime}
    session.run_code(PEOPLE_ON_DB, "people")

    session.run(block)

    results, _ = runtime.execute(workflow)
    assert {user["name"] for user in results["filtered_users"]["records"]} == names


def test_multi_database_configuration_takes_keywords_and_a_config(session: Session, url: str):
    session.run("quick_start_model")

    session.run("multi_database_configuration")

    config, db = session.names["config"], session.names["db"]
    assert session.names["DataFlowConfig"] is DataFlowConfig
    assert db.config is config
    assert (config.pool_size, config.max_overflow) == (20, 10)
    assert (config.auto_migrate, config.existing_schema_mode) == (True, False)
    assert config.database_url == url
    assert bool(db.health())


def test_model_relationships_create_an_author_and_a_post(session: Session):
    session.run_code(
        "from kailash.workflow.builder import WorkflowBuilder\n"
        "from dataflow import DataFlow\n"
        'db = DataFlow("postgresql://...")\n',
        "imports",
    )

    session.run("model_relationships")

    results, _ = LocalRuntime().execute(session.names["workflow"].build())
    author, post = results["create_author"], results["create_post"]
    assert (author["id"], author["name"]) == (1, "John Doe")
    assert (post["title"], post["author_id"]) == ("My First Post", author["id"])
    assert session.names["db"].list_models() == ["User", "Post"]


def test_schema_management_describes_a_model_of_the_database(session: Session):
    session.run_code("from dataflow import DataFlow\n", "imports")
    session.run_until("schema_management", "# Get schema information")
    assert session.names["db"].config.existing_schema_mode is True
    # The document asks about a model that no line above declares on this `db`.
    session.run_code(MODEL_ON_DB, "model")

    session.run_from("schema_management", "# Get schema information")

    names = session.names
    assert names["models"] == ["User"]
    assert names["model_info"]["table"] == "users"
    assert list(names["model_info"]["fields"]) == [
        "id",
        "name",
        "email",
        "active",
        "created_at",
        "updated_at",
    ]
    assert all(issubclass(node, Node) for node in names["generated_nodes"].values())
    assert len(names["generated_nodes"]) == 9
    with pytest.raises(SchemaDriftError, match="table 'users' is missing"):
        names["db"].count("User")
