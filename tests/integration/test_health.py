"""Health checks and the log of slow statements."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dataflow import DataFlow
from dataflow.errors import ConfigurationError, ParameterError
from dataflow.repositories import DatabaseHealthChecker, HealthStatus

CHECKER = DatabaseHealthChecker()
DEAD = "postgresql://nobody:secret@127.0.0.1:1/nothing"


def test_a_dataflow_is_healthy(db: DataFlow):
    for result in (CHECKER.check_health(db), CHECKER.check_connectivity(db)):
        assert (result.status, bool(result)) == (HealthStatus.HEALTHY, True)
        assert result.message.startswith("the database answers in ")
        assert result.duration_ms > 0
        assert set(result.details["pool"]) == {"size", "in_use", "idle", "waiting"}


def test_coroutines_check_too(db: DataFlow):
    async def main() -> list[HealthStatus]:
        async with db.aio.session() as session:
            return [
                (await CHECKER.check_health(db.aio)).status,
                (await CHECKER.check_connectivity(db.aio)).status,
                (await CHECKER.check_health(session)).status,
            ]

    assert asyncio.run(main()) == ["healthy"] * 3


def test_plain_sessions_are_checked_and_left_as_they_are(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/plain.db"
    engine = sa.create_engine(url)
    with Session(engine) as session:
        result = CHECKER.check_health(session)
        assert not session.in_transaction()
    with engine.connect() as connection, Session(connection) as inner:
        assert CHECKER.check_connectivity(inner)
    engine.dispose()

    async def main() -> Any:
        made = create_async_engine(url.replace("sqlite", "sqlite+aiosqlite"))
        async with AsyncSession(made) as session:
            found = await CHECKER.check_connectivity(session)
        await made.dispose()
        return found

    assert result.status == asyncio.run(main()).status == "healthy"
    assert result.details["pool"]["in_use"] == 0


def test_no_server_is_unhealthy_and_no_password_is_shown():
    with DataFlow(DEAD, retry_attempts=1) as db:
        result = CHECKER.check_health(db)

    assert (result.status, bool(result)) == (HealthStatus.UNHEALTHY, False)
    assert "cannot connect to" in result.message
    assert "secret" not in result.message


def test_no_server_behind_an_async_session_is_unhealthy():
    async def main() -> Any:
        engine = create_async_engine(DEAD.replace(":", "+asyncpg:", 1))
        async with AsyncSession(engine) as session:
            return await CHECKER.check_health(session)

    result = asyncio.run(main())

    assert result.status is HealthStatus.UNHEALTHY
    assert "secret" not in result.message


def test_a_slow_answer_is_degraded(db: DataFlow):
    result = DatabaseHealthChecker(slow_query_threshold=0.0).check_health(db)

    assert (result.status, bool(result)) == (HealthStatus.DEGRADED, True)
    assert result.message.startswith("the database is slow: ")


def test_an_answer_that_does_not_come_in_time_is_unhealthy(db: DataFlow):
    result = DatabaseHealthChecker(connection_timeout=1e-9).check_connectivity(db)

    assert result.status is HealthStatus.UNHEALTHY
    assert "deadline" in result.message


def test_slow_statements_are_logged_without_values(url: str, caplog: pytest.LogCaptureFixture):
    with (
        caplog.at_level(logging.WARNING, "dataflow.sql.slow"),
        DataFlow(url, slow_query_s=1e-9) as db,
    ):

        @db.model
        class Note:
            id: int
            text: str

        db.create("Note", text="secret")
        db.bulk_create("Note", [{"text": "secret"}])
        with db.transaction():
            db.count("Note")
        asyncio.run(db.aio.database.fetch("SELECT 1", ()))
        slow = CHECKER.check_health(db).details["slow"]

    lines = [record.getMessage() for record in caplog.records]
    assert any("INSERT INTO" in line for line in lines)
    assert any("notes" in line and "insert" in line for line in lines)
    assert any("count(" in line for line in lines)
    assert "secret" not in "".join(lines)
    assert {"statement", "seconds", "place"} == set(slow[-1])


def test_the_place_of_the_caller_is_told_where_it_awaits(url: str):
    async def main(db: DataFlow) -> None:
        await db.database.fetch("SELECT 1", ())

    with DataFlow(url, slow_query_s=1e-9) as db:
        asyncio.run(main(db))
        assert db.database.slow is not None
        place = db.database.slow.last[-1].place

    assert place is not None
    assert place.startswith(__file__)


def test_quick_statements_are_not_noted(url: str):
    with DataFlow(url, slow_query_s=1e6) as db:
        CHECKER.check_health(db)
        assert db.database.slow is not None
        assert not db.database.slow.last


@pytest.mark.parametrize("target", [5, None, "sqlite://"])
def test_what_is_no_database_is_refused(target: Any):
    with pytest.raises(ParameterError, match="or a SQLAlchemy session, not"):
        CHECKER.check_health(target)


@pytest.mark.parametrize("limit", [-1, float("nan"), "5", None, True])
def test_limits_that_are_no_seconds_are_refused(limit: Any):
    for name in ("connection_timeout", "query_timeout", "slow_query_threshold"):
        with pytest.raises(ConfigurationError, match="seconds from 0 on, not"):
            DatabaseHealthChecker(**{name: limit})
