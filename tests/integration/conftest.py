"""Fixtures that several topics share: a node by itself, programs that follow each other, and
the statements that ran.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dataflow import DataFlow, LocalRuntime, WorkflowBuilder

Open = Callable[..., DataFlow]
RunNode = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture
def run_node(db: DataFlow, runtime: LocalRuntime) -> RunNode:
    """Run one node of `db` in a workflow of its own and return its output."""

    def run(node_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
        workflow = WorkflowBuilder(db=db)
        workflow.add_node(node_type, "only", inputs)
        results, _ = runtime.execute(workflow.build())
        return results["only"]

    return run


@pytest.fixture
def open_db(url: str, tmp_path: Path) -> Iterator[Open]:
    """Open DataFlow objects on one database, as programs do that follow each other."""
    opened: list[DataFlow] = []

    def make(**settings: Any) -> DataFlow:
        opened.append(DataFlow(url, migrations_path=tmp_path / "migrations", **settings))
        return opened[-1]

    yield make
    for database in opened:
        database.close()


@pytest.fixture
def later(open_db: Open) -> DataFlow:
    """The same database, opened by the next version of the program."""
    return open_db(auto_migrate=False)


@pytest.fixture
def logged_db(url: str) -> Iterator[DataFlow]:
    """A DataFlow that logs its statements."""
    database = DataFlow(url, echo=True)
    yield database
    database.close()


@pytest.fixture
def statements(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return the statements logged since the last call."""
    caplog.set_level(logging.INFO, logger="dataflow.sql")

    def take() -> list[str]:
        found = [record.getMessage() for record in caplog.records if record.name == "dataflow.sql"]
        caplog.clear()
        return found

    return take


@pytest.fixture
def postgres_db(postgres_databases: Any) -> Iterator[DataFlow]:
    """A DataFlow on PostgreSQL alone."""
    database = DataFlow(postgres_databases.create())
    yield database
    database.close()
