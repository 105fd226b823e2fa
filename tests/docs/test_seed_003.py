"""The blocks of the source document 003 run with their names replaced, and nothing else."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from pages import tables_of
from seed_003 import NAMES_PAGE, find_seed, read_blocks, read_copies, runnable
from sqlalchemy.orm import DeclarativeBase

import dataflow.repositories as toolkit
from dataflow import DataFlow
from dataflow.errors import ParameterError, TenantRequiredError
from dataflow.models.mixins import TenantMixin
from dataflow.repositories import sessions
from dataflow.testing import InMemoryDatabase

pytestmark = pytest.mark.long

SEED = find_seed()
BLOCKS = read_copies() if SEED is None else read_blocks(SEED)
NOT_RUN = {
    "before_isp_framework_1": "shows a package that is left behind",
    "before_management_platform_1": "shows a package that is left behind",
    "repository_pattern_1": "shows signatures, which are compared",
}
"""The blocks that are not executed, and why."""


class Notebook:
    """A database with users, and the names in which blocks run."""

    def __init__(self, url: str) -> None:
        self.db = DataFlow(url)
        self.runner = asyncio.Runner()
        self.names: dict[str, Any] = {"__name__": "seed_003"}
        self._sessions: list[Any] = []

    def users(self, *, shared: bool) -> type:
        """Declare users, whom tenants share or not."""

        @self.db.model(multi_tenant=shared)
        class User:
            id: uuid.UUID
            name: str
            email: str | None
            status: str | None
            category: str | None
            role: str | None
            is_active: bool = True

        self.names["User"] = User
        return User

    def session(self) -> Any:
        session = self.db.session()
        self._sessions.append(session)
        return session

    def async_session(self) -> Any:
        session = self.runner.run(self.db.aio.session().__aenter__())
        self._sessions.append(session)
        return session

    def run(self, name: str, **names: Any) -> dict[str, Any]:
        return self.run_code(BLOCKS[name], **names)

    def run_with(self, name: str, **names: Any) -> dict[str, Any]:
        """Run the part of a block that stands instead of the other."""
        return self.run_code(BLOCKS[name].partition("# With")[2], **names)

    def run_code(self, code: str, **names: Any) -> dict[str, Any]:
        """Run code, which may await, and return the names that it leaves."""
        self.names |= names
        compiled = compile(runnable(code), "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(compiled, self.names)
        if inspect.isawaitable(result):

            async def wait() -> None:
                await result

            self.runner.run(wait())
        return self.names

    def close(self) -> None:
        for session in self._sessions:
            closing = session.close()
            if inspect.isawaitable(closing):
                self.runner.run(closing)
        self.runner.run(self.db.aclose())
        self.runner.close()
        self.names.clear()
        sessions._shared.put(None)
        gc.collect()


@pytest.fixture
def notebook(url: str) -> Iterator[Notebook]:
    opened = Notebook(url)
    yield opened
    opened.close()


@pytest.fixture
def imported(notebook: Notebook) -> Notebook:
    """A notebook with the names that earlier blocks have imported."""
    notebook.names |= {name: getattr(toolkit, name) for name in toolkit.__all__}
    return notebook


def names_of(users: Any) -> list[str]:
    return [user.name for user in users]


PEOPLE: list[dict[str, Any]] = [
    {"name": "John Doe", "email": "john@example.com", "status": "active", "category": "admin"},
    {"name": "Johnny", "email": "j@john.example", "status": "active", "category": "guest"},
    {"name": "Ada", "email": "ada@example.com", "status": "inactive", "category": "user"},
    {"name": "Elton John", "status": "active", "category": "user", "is_active": False},
]


# ------------------------------------------------------------------- completeness


@pytest.mark.skipif(SEED is None, reason="the source document is not at hand")
def test_the_checked_in_blocks_are_those_of_the_document():
    assert SEED is not None
    assert read_copies() == read_blocks(SEED)


def test_every_block_is_run_or_listed_with_the_reason():
    source = inspect.getsource(inspect.getmodule(Notebook))  # type: ignore[arg-type]  # there is one
    run = set(re.findall(r'(?:\.run(?:_with)?\(|BLOCKS\[)\s*"(\w+)"', source)) | set(NOT_RUN)

    assert run == set(BLOCKS)


@pytest.mark.skipif(SEED is None, reason="the source document is not at hand")
def test_every_name_of_the_documents_api_reference_is_there():
    assert SEED is not None
    reference = SEED.read_text(encoding="utf-8").partition("## 📚 API Reference")[2]
    written = set(re.findall(r"^- \*\*`(\w+)", reference, re.MULTILINE))

    assert len(written) == 21
    assert written <= set(toolkit.__all__)


def test_the_table_of_names_has_no_name_that_is_not_used():
    everything = "".join(BLOCKS.values())

    assert all(row[0].strip("`") in everything for row in tables_of(NAMES_PAGE, "## Names"))


# -------------------------------------------------------------------------- usage


def test_basic_usage(notebook: Notebook):
    code = BLOCKS["basic_usage_1"].replace("from your_models import User\n", "")
    notebook.users(shared=True)

    names = notebook.run_code(code, get_db_session=notebook.session)

    user, page = names["user"], names["users"]
    assert (user.name, user.email, user.tenant_id) == ("John Doe", "john@example.com", "tenant-123")
    assert (names_of(page.items), page.total, page.pages) == (["John Doe"], 1, 1)


def test_async_usage(imported: Notebook):
    imported.users(shared=True)
    options = toolkit.QueryOptions(
        filters=[
            toolkit.QueryFilter(field="name", operator=toolkit.FilterOperator.ILIKE, value="jane")
        ]
    )

    names = imported.run(
        "async_usage_1", get_async_db_session=imported.db.aio.session, options=options
    )

    assert names["user"].name == "Jane Doe"
    assert names_of(names["users"]) == ["Jane Doe"]


@pytest.mark.parametrize("kind", [toolkit.BaseRepository, toolkit.AsyncRepository])
def test_the_signatures_of_the_repository_pattern_are_ours(kind: type):
    found = re.findall(
        r"^    def (\w+)\(self, (.*)\) ->", BLOCKS["repository_pattern_1"], re.MULTILINE
    )

    assert len(found) == 7
    for name, written in found:
        ours = inspect.signature(getattr(kind, name)).parameters
        function = ast.parse(f"def f({written}): ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        arguments = [argument.arg for argument in function.args.args]
        defaults = [ast.literal_eval(default) for default in function.args.defaults]
        given = arguments[len(arguments) - len(defaults) :]
        assert set(arguments) <= set(ours), name
        assert [ours[argument].default for argument in given] == defaults


def test_tenant_isolation(imported: Notebook):
    class Base(DeclarativeBase):
        pass

    imported.names |= {"Base": Base, "TenantMixin": TenantMixin, "Column": sa.Column}
    imported.names |= {"UUID": sa.UUID, "String": sa.String}
    block = BLOCKS["tenant_isolation_1"].partition("# Repository")
    imported.run_code(block[0])
    User = imported.names["User"]  # noqa: N806 - a class
    imported.db.adopt(User)
    for tenant in ("tenant-123", "other"):
        with imported.db.session(tenant) as theirs:
            repository = toolkit.BaseTenantRepository(theirs, User, tenant_id=tenant)
            repository.create({"id": uuid.uuid4(), "name": tenant})
            theirs.commit()

    names = imported.run_code("".join(block[1:]), db=imported.session())

    assert names_of(names["users"]) == ["tenant-123"]
    with pytest.raises(TenantRequiredError):
        toolkit.BaseTenantRepository(imported.session(), User)


def test_advanced_filtering(imported: Notebook):
    User = imported.users(shared=False)  # noqa: N806 - a class
    repository = toolkit.create_repository(imported.session(), User)
    repository.bulk_create(PEOPLE)

    names = imported.run("advanced_filtering_1", user_repo=repository)

    assert names_of(names["users"]) == ["John Doe", "Elton John"]


def test_high_performance_pagination(imported: Notebook, capsys: pytest.CaptureFixture[str]):
    User = imported.users(shared=False)  # noqa: N806 - a class
    repository = toolkit.create_repository(imported.session(), User)
    repository.bulk_create({"name": f"user {number}"} for number in range(45))

    names = imported.run("high_performance_pagination_1", user_repo=repository)

    assert capsys.readouterr().out == "Page 1 of 3, Total: 45\n"
    assert len(names["result"].items) == 20
    assert isinstance(names["next_page_cursor"], str)


# ------------------------------------------------------- transactions and resilience


def test_transaction_management(imported: Notebook):
    User = imported.users(shared=False)  # noqa: N806 - a class

    @imported.db.model
    class Profile:
        id: int
        user_id: uuid.UUID
        bio: str

    session = imported.session()
    block = BLOCKS["transaction_management_1"]
    begin, asynchronous = block.partition("# Async version")[::2]
    sessions.use_database(imported.db)
    imported.run_code(
        begin,
        session=session,
        user_repo=toolkit.create_repository(session, User),
        profile_repo=toolkit.create_repository(session, Profile),
        complex_database_operation=lambda session: session.scalar(
            sa.select(sa.func.count()).select_from(User)
        ),
    )

    async def operation(session: Any) -> None:
        await toolkit.create_async_repository(session, User).create({"name": "Ada"})

    imported.run_code(asynchronous, session=imported.async_session(), async_operation=operation)

    assert imported.names["result"] == 1
    assert imported.db.count("User") == 2
    assert imported.db.list("Profile")["records"][0]["user_id"] == imported.names["user"].id


def test_retry_policies(imported: Notebook):
    User = imported.users(shared=False)  # noqa: N806 - a class
    imported.names |= {
        "session": imported.session(),
        "tx_manager": toolkit.TransactionManager(),
        "complex_query": sa.select(sa.func.count()).select_from(User),
    }

    names = imported.run("retry_policies_1")

    assert (names["policy"].max_attempts, names["policy"].strategy) == (5, "exponential")
    assert names["result"] is not None


def test_health_monitoring(imported: Notebook, capsys: pytest.CaptureFixture[str]):
    names = imported.run("health_monitoring_1", session=imported.session())

    status, message, duration = capsys.readouterr().out.splitlines()
    assert status == "Status: healthy"
    assert message == f"Message: {names['health_result'].message}"
    assert re.fullmatch(r"Duration: [\d.]+ms", duration)
    assert names["connectivity_result"].status is toolkit.HealthStatus.HEALTHY


def test_circuit_breaker_pattern(imported: Notebook, capsys: pytest.CaptureFixture[str]):
    breaker = toolkit.CircuitBreaker(failure_threshold=1, recovery_timeout=60.0)

    def fail() -> None:
        raise OSError("the database is away")

    names = imported.run(
        "circuit_breaker_pattern_1", circuit_breaker=breaker, complex_query=sa.text("SELECT 1")
    )
    assert names["risky_database_operation"](imported.session()).scalar() == 1
    assert capsys.readouterr().out == ""
    with pytest.raises(OSError, match="away"):
        breaker(fail)()
    imported.run("circuit_breaker_pattern_1")

    assert capsys.readouterr().out == "Circuit breaker is open, requests are being blocked\n"


# ---------------------------------------------------------------------- migration


def test_the_tenant_repository_after_the_migration(imported: Notebook):
    User = imported.users(shared=True)  # noqa: N806 - a class
    db = imported.session()
    toolkit.create_repository(db, User, "tenant-123").bulk_create(PEOPLE)
    block = BLOCKS["after_database_toolkit_1"]
    with pytest.raises(ParameterError, match="QueryFilters"):  # the dots stand for filters
        imported.run("after_database_toolkit_1", db=db)

    names = imported.run_code(
        block.replace("filters=[...]", "filters=active"),
        active=[toolkit.QueryFilter(field="is_active", value=True)],
    )

    own = names["UserRepository"](db, User, "tenant-123")
    assert names_of(own.get_active_users()) == names_of(names["users"])
    assert set(names_of(names["users"])) == {"John Doe", "Johnny", "Ada"}


def test_the_async_repository_after_the_migration(imported: Notebook):
    imported.users(shared=False)
    db = imported.async_session()
    imported.runner.run(
        toolkit.create_async_repository(db, imported.names["User"]).bulk_create(PEOPLE)
    )

    names = imported.run("after_database_toolkit_2", db=db)

    assert names["user"].name == "John Doe"
    own = names["UserRepository"](db, names["User"])
    assert imported.runner.run(own.get_by_field("email", "none")) is None


def test_the_steps_of_the_migration(imported: Notebook):
    User = imported.users(shared=True)  # noqa: N806 - a class
    imported.run_with("update_imports_1")
    imported.run_with("update_repository_creation_1", db=imported.session(), tenant_id="acme")
    repository = imported.names["user_repo"]
    assert isinstance(repository, toolkit.BaseTenantRepository)
    repository.bulk_create(PEOPLE)

    imported.run_with("update_filter_syntax_1", repo=repository)
    assert names_of(imported.names["users"]) == ["Elton John", "John Doe", "Johnny"]
    imported.run_with("update_pagination_1")

    assert names_of(imported.names["users"]) == ["Elton John", "John Doe", "Johnny"]
    assert imported.names["total"] == 3
    assert isinstance(imported.names["users"][0], User)


# ----------------------------------------------------------------------- advanced


def test_custom_repository_extensions(imported: Notebook):
    User = imported.users(shared=True)  # noqa: N806 - a class
    names = imported.run("custom_repository_extensions_1")
    repository = names["UserRepository"](imported.session(), User, "acme")
    repository.bulk_create([*PEOPLE, {"name": "Root", "role": "owner"}])

    assert set(names_of(repository.get_active_users())) == {"John Doe", "Johnny", "Ada", "Root"}
    assert repository.get_users_by_role("owner").name == "Root"
    assert set(names_of(repository.search_users("JOHN"))) == {"John Doe", "Johnny"}


def test_performance_optimization(imported: Notebook):
    User = imported.users(shared=False)  # noqa: N806 - a class
    session = imported.session()
    repository = toolkit.create_repository(session, User)
    repository.bulk_create({"name": f"user {number}"} for number in range(30))
    code = BLOCKS["performance_optimization_1"].replace("page=1000", "page=2")
    query = sa.select(User)
    imported.run("performance_optimization_1", session=session, query=query)
    assert (imported.names["items"], imported.names["total"]) == ([], 30)

    names = imported.run_code(code)

    assert (len(names["items"]), names["count_estimate"], names["total"]) == (10, 30, 30)


def test_testing():
    notebook = Notebook("sqlite:///:memory:")

    @notebook.db.model(timestamps=False)
    class User:
        id: int
        name: str

    try:
        names = notebook.run(
            "testing_1", User=User, create_async_repository=toolkit.create_async_repository
        )

        assert names["mock_repo"].get(1).name == "Test User"
        assert (names["user"].id, names["user"].name) == (1, "Test")
        assert isinstance(names["InMemoryDatabase"](), InMemoryDatabase)
        names["mock_repo"].close()
    finally:
        notebook.close()
