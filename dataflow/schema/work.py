"""Schema work on a connection of its own, outside the pool."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from dataflow.database.database import Database
from dataflow.database.transaction import outcome_of
from dataflow.errors import DataFlowError

__all__ = ["run_schema_work", "schema_engine"]

T = TypeVar("T")


@asynccontextmanager
async def schema_engine(database: Database) -> AsyncIterator[AsyncEngine]:
    """Lend an engine of one connection, for several pieces of work."""
    engine = database.driver.create_engine(pooled=False)
    try:
        yield engine
    finally:
        await engine.dispose()


async def run_schema_work(
    database: Database,
    work: Callable[[sa.Connection], T],
    *,
    write: bool,
    prelude: tuple[str, ...] = (),
    keep: bool = True,
    engine: AsyncEngine | None = None,
) -> T:
    """Run work in one transaction, under the database's schema lock if it writes.

    Args:
        database: Where.
        work: Called with a synchronous connection.
        write: Whether to take the schema lock.
        prelude: Statements before the transaction begins.
        keep: Whether to commit; else everything is rolled back.
        engine: Whose connection is used; None: one for this work alone.
    """
    lent = schema_engine(database) if engine is None else nullcontext(engine)
    try:
        async with lent as found, found.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            for statement in prelude:
                await database.driver.run_plain(raw, statement)
            if not write:
                await connection.execution_options(dataflow_read_only=True)
            elif database.driver.schema_lock is not None:
                await connection.exec_driver_sql(database.driver.schema_lock)
            result = await connection.run_sync(work)
            await (connection.commit() if keep else connection.rollback())
            return result
    except DataFlowError:
        raise
    except DBAPIError as error:
        driver_error = getattr(error.orig, "__cause__", None) or error.orig or error
        raise outcome_of(database.driver, driver_error) from error
    except OSError as error:
        raise outcome_of(database.driver, error) from error
