"""Fixtures: the databases on which the suites run, and a fresh DataFlow for each test."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from servers import ServerUnavailableError, postgres_server

from dataflow import DataFlow, LocalRuntime

REQUIRED = set(filter(None, os.environ.get("DATAFLOW_TEST_REQUIRE", "").split(",")))
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own settings out of the tests."""
    for name in list(os.environ):
        if name.startswith("DATAFLOW_") and not name.startswith("DATAFLOW_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The maintenance database of a running PostgreSQL server."""
    try:
        with postgres_server() as url:
            yield url
    except ServerUnavailableError as error:
        if "postgres" in REQUIRED:
            raise
        pytest.skip(str(error))


class PostgresDatabases:
    """Makes a database per test and drops them in one go at the end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []

    def _execute(self, *statements: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(self._url)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(run())

    def create(self) -> str:
        """Return the URL of a new, empty database."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE template0 STRATEGY file_copy')
        self._made.append(name)
        return re.sub(r"/[^/]*$", f"/{name}", self._url)

    def drop_all(self) -> None:
        self._execute(*(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in self._made))


@pytest.fixture(scope="session")
def postgres_databases(postgres_url: str) -> Iterator[PostgresDatabases]:
    databases = PostgresDatabases(postgres_url)
    yield databases
    databases.drop_all()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database; each test runs on every kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_databases").create()
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def db(url: str) -> Iterator[DataFlow]:
    """A DataFlow on a new, empty database."""
    database = DataFlow(url)
    yield database
    database.close()


@pytest.fixture
def memory() -> Iterator[DataFlow]:
    """A DataFlow on an in-memory SQLite database, for what no database decides."""
    database = DataFlow("sqlite:///:memory:")
    yield database
    database.close()


@pytest.fixture
def runtime() -> LocalRuntime:
    return LocalRuntime()
