"""Fixtures for pytest: `pytest_plugins = ["dataflow.testing.plugin"]` in a `conftest.py`.

- `dataflow_db`: a `DataFlow` in memory, new for each test.
- `dataflow_memory`: makes sessions in memory: `with dataflow_memory(User) as session:`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__ = ["dataflow_db", "dataflow_memory"]


@pytest.fixture
def dataflow_db() -> Iterator[Any]:
    """Yield a `DataFlow` on a database in memory; it is closed after the test."""
    # By name, so that test runs that use no fixture of ours do not load it.
    with importlib.import_module("dataflow").DataFlow("sqlite:///:memory:") as db:
        yield db


@pytest.fixture
def dataflow_memory() -> Callable[..., Any]:
    """Return `InMemoryDatabase`."""
    found: Callable[..., Any] = importlib.import_module("dataflow.testing").InMemoryDatabase
    return found
