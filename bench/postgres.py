"""A database of its own on a PostgreSQL server, and everything that works on it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from bench.alchemy import Core, Orm
from bench.data import COLUMNS, Sizes, declare_user, records, rows, utc_now
from dataflow import DataFlow

SEEDED = 10_000


class PostgresBench:
    """Connections of every contestant to the same database.

    Attributes:
        raw: asyncpg's connection, held open: the baseline.
        pool: asyncpg's own pool, as large as DataFlow's.
    """

    def __init__(self, runner: asyncio.Runner, url: str, sizes: Sizes) -> None:
        self.runner = runner
        self.url = url
        self.sizes = sizes
        self.db = DataFlow(url, pool_size=10, max_overflow=0)
        declare_user(self.db)
        self.raw: Any = runner.run(asyncpg.connect(url))
        self.pool: Any = runner.run(_pool(url))
        self.engine = create_async_engine(
            url.replace("postgresql:", "postgresql+asyncpg:"), pool_size=10, max_overflow=0
        )
        self.core, self.orm = Core(self.engine), Orm(self.engine)
        runner.run(self._prepare())

    async def _prepare(self) -> None:
        await self.db.aio.count("User")
        # Autovacuum would start in the middle of somebody's round.
        await self.raw.execute("ALTER TABLE users SET (autovacuum_enabled = false)")

    async def seed(self, size: int = SEEDED) -> None:
        """Fill the table with users that have the keys from 1 to `size`."""
        await self.empty()
        await self.copy(rows(records(size), utc_now()))
        await self.raw.execute("ANALYZE users")

    async def empty(self) -> None:
        await self.raw.execute("TRUNCATE users RESTART IDENTITY")

    async def copy(self, values: Any) -> None:
        await self.raw.copy_records_to_table("users", columns=COLUMNS, records=values)

    def versions(self) -> list[str]:
        version = self.raw.get_server_version()
        return [f"PostgreSQL {version.major}.{version.minor}"]

    async def _close(self) -> None:
        await self.db.aclose()
        await self.engine.dispose()
        await self.pool.close()
        await self.raw.close()

    def close(self) -> None:
        self.runner.run(self._close())


@contextmanager
def open_postgres(runner: asyncio.Runner, server: str, sizes: Sizes) -> Iterator[PostgresBench]:
    """Open every contestant on a database of its own."""
    with database(runner, server) as url:
        bench = PostgresBench(runner, url, sizes)
        try:
            yield bench
        finally:
            bench.close()


@contextmanager
def database(runner: asyncio.Runner, server: str, suffix: str = "") -> Iterator[str]:
    """Make a database on the server for the time of the measurements."""
    name = f"dataflow_bench_{os.getpid()}{suffix}"
    runner.run(execute(server, f"CREATE DATABASE {name} TEMPLATE template0"))
    try:
        yield re.sub(r"/[^/]*$", f"/{name}", server)
    finally:
        runner.run(execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _pool(url: str) -> Any:
    return await asyncpg.create_pool(url, min_size=10, max_size=10)


async def execute(url: str, statement: str) -> None:
    """Run a statement on a connection of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
