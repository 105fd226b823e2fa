"""The blocks of the source document 001 that set something up: settings, FastAPI, a test."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from httpx import ASGITransport, AsyncClient
from seed_001 import find_seed, read_blocks, read_copies, runnable
from ta_case import add_request, add_user, run
from ta_generator.database import (
    async_session_factory,
    check_db_connection,
    connect,
    create_tables,
    dispose_engine,
)
from ta_generator.enums import AuditAction, RequestStatus, StatusFlowError
from ta_generator.repositories import AuditLogRepository, UserRepository

from dataflow import DataFlowConfig

SEED = find_seed()
BLOCKS = read_copies() if SEED is None else read_blocks(SEED)
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_settings_of_the_file_env_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(BLOCKS["2_configure_environment"], encoding="utf-8")

    config = DataFlowConfig()

    assert config.database_url == (
        "postgresql+asyncpg://user:pass@localhost:5432/splunk_ta_generator"
    )
    assert (config.pool_size, config.max_overflow, config.echo) == (10, 20, False)


@pytest.mark.long
def test_migrations_write_and_carry_out_the_first_revision(url: str, tmp_path: Path):
    shutil.copy(EXAMPLES / "ta_generator" / "alembic.ini", tmp_path)
    shutil.copytree(EXAMPLES / "ta_generator" / "migrations", tmp_path / "migrations")
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(EXAMPLES),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "DATABASE_URL": url,
    }

    for command in BLOCKS["3_run_migrations"].splitlines():
        subprocess.run(shlex.split(command), cwd=tmp_path, env=environment, check=True, timeout=120)

    (revision,) = (tmp_path / "migrations" / "versions").glob("*.py")
    assert revision.name.endswith("initial_schema.py")

    async def body() -> None:
        manager = connect(url)
        manager.register()
        plan = manager.db.aio.migrations.plan
        assert {change.kind for change in (await plan()).changes} <= {"create trigger"}
        await add_user()  # the first use creates the triggers of append-only models
        assert (await plan()).changes == ()
        await dispose_engine()

    asyncio.run(body())


@pytest.mark.parametrize("begin", ["sqlite+aiosqlite:", "DATABASE_URL=sqlite+aiosqlite:"])
def test_urls_may_name_the_driver(begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    setting, _, _ = begin.rpartition("=")
    if setting:
        monkeypatch.setenv(setting, "sqlite+aiosqlite:///test.db")

    async def body() -> int:
        connect(None if setting else "sqlite+aiosqlite:///test.db")
        await add_user()
        async with async_session_factory() as session:
            found = await UserRepository(session).count()
        await dispose_engine()
        return found

    assert asyncio.run(body()) == 1
    assert (tmp_path / "test.db").exists()


def application() -> Any:
    """Return the app of the blocks; the second block uses the names of the first."""
    names: dict[str, Any] = {
        "__name__": "routes",
        "AuditLogRepository": AuditLogRepository,
        "AuditAction": AuditAction,
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*on_event is deprecated", DeprecationWarning)
        for name in ("setup", "route_example"):
            exec(compile(runnable(BLOCKS[name]), name, "exec"), names)
    return names["app"]


def test_the_routes_create_find_and_approve_requests(url: str):
    async def body() -> None:
        connect(url)
        await create_tables()
        app = application()
        client = AsyncClient(transport=ASGITransport(app), base_url="http://test")
        async with app.router.lifespan_context(app), client:
            user_id = await add_user()
            unknown = await client.get(f"/requests/{UUID(int=7)}")
            assert (unknown.status_code, unknown.json()) == (404, {"detail": "Request not found"})
            data = {"created_by": str(user_id), "source_system": "Apache"}
            created = (await client.post("/requests", json=data)).json()
            assert (created["status"], created["created_by"]) == ("NEW", str(user_id))
            found = (await client.get(f"/requests/{created['id']}")).json()
            assert found == created
            waiting = await add_request(user_id, RequestStatus.PENDING_APPROVAL)
            path, query = f"/requests/{waiting}/approve", {"approver_id": str(user_id)}
            assert (await client.post(path, params=query)).json()["status"] == "APPROVED"
            with pytest.raises(StatusFlowError):
                await client.post(path, params=query)
            async with async_session_factory() as session:
                trail = await AuditLogRepository(session).get_by_entity("request", waiting)
            assert [(entry.action, entry.details) for entry in trail] == [
                (AuditAction.APPROVE, {"status": "APPROVED"})
            ]

    asyncio.run(body())


def test_an_application_without_its_database_does_not_start():
    async def body() -> None:
        connect("postgresql://nobody@127.0.0.1:1/nothing")
        app = application()
        with pytest.raises(RuntimeError, match="Database connection failed"):
            async with app.router.lifespan_context(app):
                pass
        await dispose_engine()

    asyncio.run(body())


def test_the_connection_is_checked(url: str):
    assert run(url, check_db_connection) is True


def unit_test(url: str) -> str:
    """Return the block with another database, and what it takes from pytest-asyncio and forgets."""
    code = runnable(BLOCKS["unit_test_example"])
    for written, here in {
        "postgresql+asyncpg://test:test@localhost/test_db": url,
        "import create_async_engine, AsyncSession": (
            "import async_sessionmaker, create_async_engine, AsyncSession"
        ),
        "class_=AsyncSession)": "class_=AsyncSession, expire_on_commit=False)",
        "@pytest.mark.asyncio": "@pytest.mark.anyio",
    }.items():
        assert written in code
        code = code.replace(written, here)
    return code + '\n\n@pytest.fixture\ndef anyio_backend():\n    return "asyncio"\n'


@pytest.mark.long
def test_the_example_of_a_unit_test_passes(url: str, tmp_path: Path):
    driver = url.replace("sqlite:", "sqlite+aiosqlite:").replace(
        "postgresql:", "postgresql+asyncpg:"
    )
    (tmp_path / "test_users.py").write_text(unit_test(driver), encoding="utf-8")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-o",
            "anyio_mode=auto",
            "test_users.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr
