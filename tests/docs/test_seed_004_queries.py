"""The source document's queries run as written, and find what its comments claim."""

from __future__ import annotations

import ast
import asyncio
import datetime as dt
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from seed_004 import find_seed, read_blocks, read_copies
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dataflow import DataFlow

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def blocks() -> dict[str, str]:
    seed = find_seed()
    return read_copies() if seed is None else read_blocks(seed)


def run(code: str, **names: Any) -> dict[str, Any]:
    """Run a block and return its names."""
    exec(compile(code, "seed_004", "exec"), names)
    return names


def undecorated(code: str, name: str) -> str:
    """Return the definition of a block's function without its decorators."""
    (found,) = [
        item
        for item in ast.parse(code).body
        if isinstance(item, ast.FunctionDef) and item.name == name
    ]
    found.decorator_list = []
    return ast.unparse(found)


class DriverCursor:
    """Runs a statement with `%s` for its parameters on the bare driver."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.rows: list[tuple[Any, ...]] = []

    def execute(self, statement: str, values: Sequence[Any]) -> None:
        if self._url.startswith("sqlite:///"):
            self.rows = self._on_sqlite(statement.replace("%s", "?"), values)
        else:
            self.rows = asyncio.run(self._on_postgres(statement.replace("%s", "$1"), values))

    def _on_sqlite(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self._url.removeprefix("sqlite:///"))
        try:
            return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    async def _on_postgres(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()


async def in_sqlalchemy_session(url: str, code: str, **names: Any) -> dict[str, Any]:
    """Run a block that uses a synchronous `session` of SQLAlchemy."""
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    scheme, _, rest = url.partition("://")
    engine = create_async_engine(f"{driver[scheme]}://{rest}")
    try:
        async with AsyncSession(engine) as session:
            return await session.run_sync(lambda inner: _run_in(inner, code, names))
    finally:
        await engine.dispose()


def _run_in(session: Session, code: str, names: dict[str, Any]) -> dict[str, Any]:
    found = run(code, session=session, **names)
    return found | {"ids": [user.id for user in found["users"]]}


def logged_statements(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "dataflow.sql"]


# ------------------------------------------------------------------ JSON and arrays


def a_profile(*, theme: Any = "dark", tags: Iterable[Any], skills: Iterable[str]) -> dict[str, Any]:
    return {
        "metadata": {"preferences": {"theme": theme}},
        "tags": list(tags),
        "skills": list(skills),
    }


def test_array_and_json_operations_find_by_path_by_element_and_by_length(
    db: DataFlow, blocks: dict[str, str]
):
    @db.model
    class User:
        id: int
        metadata: dict
        tags: list[str]
        skills: list[str]

    wanted = a_profile(tags=["new", "premium"], skills="abcd")
    db.bulk_create("User", [
        wanted,
        a_profile(theme="light", tags=["premium"], skills="abcd"),
        a_profile(theme=["light"], tags=["premium"], skills="abcd"),
        {**wanted, "metadata": {"theme": "dark"}},
        a_profile(tags=["new", "premium plus"], skills="abcd"),
        a_profile(tags=[], skills="abcd"),
        a_profile(tags=["premium"], skills="abc"),
        a_profile(tags=["premium"], skills="abcde"),
    ])  # fmt: skip

    profiles = run(blocks["array_and_json_operations"], app=db)["profiles"]

    assert [user.id for user in profiles.sort("id").all()] == [1, 8]
    assert profiles.count() == 2
    assert {name: profiles.sort("id").first()[name] for name in wanted} == wanted


# -------------------------------------------------------------------------- pipelines


def test_the_aggregation_pipeline_is_one_statement_with_the_best_customers_first(
    url: str, blocks: dict[str, str], caplog: pytest.LogCaptureFixture
):
    with DataFlow(url, echo=True) as app:

        @app.model
        class Order:
            id: int
            customer_id: int
            status: str
            amount: Decimal

        app.bulk_create("Order", [
            {"customer_id": customer, "status": status, "amount": Decimal(f"{customer}.05")}
            for customer in range(1, 121)
            for status in ("completed", "open", "completed")
        ])  # fmt: skip
        app.count("Order")
        caplog.clear()

        with caplog.at_level(logging.INFO, "dataflow.sql"):
            results = run(blocks["aggregation_pipeline"], app=app)["results"]

    assert results == [
        {"_id": customer, "total_spent": 2 * Decimal(f"{customer}.05"), "order_count": 2}
        for customer in range(120, 20, -1)
    ]
    assert len(logged_statements(caplog)) == 1


def test_the_dashboard_adds_up_todays_orders_and_lists_ten_top_products(
    db: DataFlow, blocks: dict[str, str]
):
    @db.model
    class Order:
        id: int
        amount: Decimal
        created_at: dt.datetime

    @db.model
    class OrderItem:
        id: int
        product_id: int
        quantity: int

    later, yesterday = NOW + dt.timedelta(hours=1), NOW - dt.timedelta(hours=25)
    db.bulk_create("Order", [
        {"amount": Decimal("19.90"), "created_at": later},
        {"amount": Decimal("0.10"), "created_at": later},
        {"amount": Decimal("500.00"), "created_at": yesterday},
    ])  # fmt: skip
    db.bulk_create("OrderItem", [
        {"product_id": product, "quantity": product} for product in [*range(1, 13), 5, 5]
    ])  # fmt: skip
    code = undecorated(blocks["analytics_dashboard"], "sales_metrics")

    metrics = run(code, app=db)["sales_metrics"]()

    assert metrics == {
        "today": Decimal("20.00"),
        "top_products": [
            {"_id": product, "sold": 15 if product == 5 else product}
            for product in (5, 12, 11, 10, 9, 8, 7, 6, 4, 3)
        ],
    }


def test_the_dashboard_of_a_day_without_orders_shows_zero_and_no_products(
    db: DataFlow, blocks: dict[str, str]
):
    @db.model
    class Order:
        amount: Decimal

    @db.model
    class OrderItem:
        product_id: int
        quantity: int

    code = undecorated(blocks["analytics_dashboard"], "sales_metrics")

    assert run(code, app=db)["sales_metrics"]() == {"today": 0, "top_products": []}


def test_monitoring_counts_the_sessions_and_errors_of_the_last_minutes(
    db: DataFlow, blocks: dict[str, str]
):
    @db.model(table="sessions")
    class Visit:
        last_seen: dt.datetime

    @db.model
    class Log:
        level: str
        timestamp: dt.datetime

    def ago(minutes: int) -> dt.datetime:
        return dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)

    db.bulk_create("Visit", [{"last_seen": ago(minutes)} for minutes in (0, 1, 3, 6, 600)])
    db.bulk_create("Log", [
        {"level": level, "timestamp": ago(minutes)}
        for level in ("ERROR", "INFO", "error")
        for minutes in (1, 50, 70)
    ])  # fmt: skip
    code = undecorated(blocks["real_time_monitoring"], "system_health")

    assert run(code, app=db)["system_health"]() == {"active_users": 3, "error_rate": 2}


# -------------------------------------------------------------------------- migration

DEPARTMENTS = [("eng", 19), ("eng", 30), ("eng", 65), ("sales", 18), ("sales", 40), ("sales", 41),
               ("ops", 20), ("ops", 17), ("hr", 16)]  # fmt: skip


@pytest.fixture
def user(db: DataFlow) -> type:
    """The model of `users`, with records of nine kinds, no two made at once."""

    @db.model
    class User:
        id: int
        department: str
        age: int
        created_at: dt.datetime

    db.bulk_create("User", [
        {"department": department, "age": age,
         "created_at": NOW - dt.timedelta(minutes=number * 7 % 27)}
        for number, (department, age) in enumerate(DEPARTMENTS * 3)
    ])  # fmt: skip
    return User


def test_the_raw_sql_and_the_pipeline_that_replaces_it_give_the_same(
    db: DataFlow, user: type, url: str, blocks: dict[str, str]
):
    cursor = DriverCursor(url)

    results = run(blocks["from_raw_sql"], app=db, cursor=cursor)["results"]

    assert results == [
        {"_id": "eng", "count": 9},
        {"_id": "sales", "count": 6},
        {"_id": "ops", "count": 3},
    ]
    assert [(group._id, group["count"]) for group in results] == cursor.rows


def test_the_orm_query_and_the_query_that_replaces_it_find_the_same(
    db: DataFlow, user: type, url: str, blocks: dict[str, str]
):
    before, _, after = blocks["from_orm"].partition("# After: DataFlow")

    old = asyncio.run(in_sqlalchemy_session(url, before, User=user))
    found = run(after, app=db)["users"].all()

    ages = {record.age for record in found}
    instants = [record.created_at for record in found]
    assert len(found) == 10
    assert ages == {19, 30, 65, 40, 41}
    assert instants == sorted(instants, reverse=True)
    assert [record.id for record in found] == old["ids"]
