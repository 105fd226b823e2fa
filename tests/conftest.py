"""Fixtures: the databases on which the suites run, and a fresh DataFlow for each test."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from servers import ServerUnavailableError, postgres_server

from dataflow import DataFlow, LocalRuntime

REQUIRED = set(filter(None, os.environ.get("DATAFLOW_TEST_REQUIRE", "").split(",")))
_numbers = itertools.count(1)
_DATABASES = pytest.StashKey["PostgresDatabases"]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Use all processors for the whole suite; chosen files begin sooner in one process."""
    return 0 if config.option.file_or_dir else None


@pytest.fixture(autouse=True, scope="session")
def _clean_environment() -> Iterator[None]:
    """Keep the developer's own settings out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("DATAFLOW_") and not name.startswith("DATAFLOW_TEST_"):
                patch.delenv(name)
        patch.delenv("DATABASE_URL", raising=False)
        yield


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


_EMPTY = """
DO $$
DECLARE found record;
BEGIN
    IF EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    ) THEN
        RAISE EXCEPTION 'in use';
    END IF;
    FOR found IN
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', found.nspname);
    END LOOP;
    CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
    EXECUTE format('ALTER DATABASE %I RESET ALL', current_database());
END $$
"""


class PostgresDatabases:
    """Lends each test an empty database, and drops all of them at the end.

    Emptying a database takes a tenth of the time of making one, so those of earlier
    tests are lent again, unless something is still connected to them.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: list[str] = []
        self._free: list[str] = []
        self._lent: list[str] = []

    def _execute(self, url: str, *statements: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(url)
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())

    def _url_of(self, name: str) -> str:
        return re.sub(r"/[^/]*$", f"/{name}", self._url)

    def create(self) -> str:
        """Return the URL of an empty database, which is taken back after the test."""
        name = self._emptied() or self._new()
        self._lent.append(name)
        return self._url_of(name)

    @contextmanager
    def shared(self) -> Iterator[str]:
        """Lend an empty database to several tests."""
        name = self._emptied() or self._new()
        yield self._url_of(name)
        self._free.append(name)

    def _new(self) -> str:
        name = f"test_{os.getpid()}_{next(_numbers)}"
        sql = f'CREATE DATABASE "{name}" TEMPLATE template0 STRATEGY file_copy'
        self._execute(self._url, sql)
        self._made.append(name)
        return name

    def _emptied(self) -> str | None:
        while self._free:
            name = self._free.pop()
            try:
                self._execute(self._url_of(name), _EMPTY)
            except asyncpg.PostgresError:  # left in a state that is not worth a look
                continue
            return name
        return None

    def take_back(self) -> None:
        """Take back what the test was lent."""
        self._free += self._lent
        self._lent.clear()

    def drop_all(self) -> None:
        """Drop all databases."""
        self._execute(
            self._url, *(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in self._made)
        )


@pytest.fixture(scope="session")
def postgres_databases(
    postgres_url: str, request: pytest.FixtureRequest
) -> Iterator[PostgresDatabases]:
    databases = request.session.stash[_DATABASES] = PostgresDatabases(postgres_url)
    yield databases
    databases.drop_all()


@pytest.fixture(autouse=True)
def _databases_come_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, take back the databases that it was lent."""
    yield
    found = request.session.stash.get(_DATABASES, None)
    if found is not None:
        found.take_back()


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


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_db(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DataFlow]:
    """A DataFlow for all tests of a module that change nothing."""
    with ExitStack() as stack:
        if request.param == "postgres":
            databases = request.getfixturevalue("postgres_databases")
            url = stack.enter_context(databases.shared())
        else:
            url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/test.db"
        yield stack.enter_context(DataFlow(url))


@pytest.fixture
def memory() -> Iterator[DataFlow]:
    """A DataFlow on an in-memory SQLite database, for what no database decides."""
    database = DataFlow("sqlite:///:memory:")
    yield database
    database.close()


@pytest.fixture
def runtime() -> LocalRuntime:
    return LocalRuntime()
