"""`Database`: statements and transactions on the pooled engine of the running loop."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from dataflow.config import DataFlowConfig
from dataflow.context import deadline
from dataflow.database.again import repeat
from dataflow.database.block import TransactionBlock
from dataflow.database.current import open_transactions
from dataflow.database.deadline import within
from dataflow.database.driver import Driver, Isolation, Row
from dataflow.database.lane import Lane
from dataflow.database.slow import SlowLog
from dataflow.database.transaction import Level, is_late, outcome_of
from dataflow.database.url import parse_url
from dataflow.errors import (
    ConnectionLostError,
    DatabaseClosedError,
    ExecutionError,
)

__all__ = ["Database"]

_DRIVERS = {
    "postgresql": ("dataflow.database.postgres", "PostgresDriver"),
    "sqlite": ("dataflow.database.sqlite", "SqliteDriver"),
}
_sql_log = logging.getLogger("dataflow.sql")


async def _nothing() -> None:
    return


class Database:
    """One database; every event loop that uses it gets an engine of its own."""

    def __init__(self, config: DataFlowConfig) -> None:
        """Read the URL and choose the driver; opens nothing."""
        self.config = config
        self.address = parse_url(config.database_url)
        self.driver = _driver_for(self.address.backend)(self.address, config)
        limit_s = config.slow_query_s
        self.slow = None if limit_s is None else SlowLog(self.driver, limit_s)
        self.before_transaction: Callable[[], Awaitable[None]] = _nothing
        self._lanes: dict[int, Lane] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._inherited: list[Any] = []
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(reference()))

    def __repr__(self) -> str:
        """Return the masked URL."""
        return f"Database({self.address})"

    async def lane(self) -> Lane:
        """Return the running loop's lane, opening it at first use.

        Raises:
            DatabaseClosedError: After `close`.
        """
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(id(loop))
        if lane is not None and lane.loop is loop:
            return lane
        self.check_open()
        with self._lock:
            self._drop_dead_lanes()
            lane = self._lanes[id(loop)] = Lane(self.driver, loop)
        await lane.close_with_loop()
        return lane

    def check_open(self) -> None:
        """Refuse to open a connection that nobody would close.

        Raises:
            DatabaseClosedError: After `close`.
        """
        if self._closed:
            raise DatabaseClosedError(url=str(self.address))

    def _drop_dead_lanes(self) -> None:
        for key, lane in list(self._lanes.items()):
            if lane.loop.is_closed():
                del self._lanes[key]

    def current(self) -> Level | None:
        """Return the transaction that the caller runs in, or None."""
        return open_transactions.get().get(self)

    async def fetch(self, sql: str, args: Sequence[Any], *, write: bool = False) -> Sequence[Row]:
        """Run one statement, in the open transaction or alone, and return its rows."""
        rows: Sequence[Row] = await self.run(self.driver.fetch, sql, args, write=write)
        return rows

    async def execute(self, sql: str, args: Sequence[Any]) -> int:
        """Run one write, in the open transaction or alone, and return its count."""
        return int(await self.run(self.driver.execute, sql, args, write=True))

    async def run(
        self,
        call: Callable[..., Awaitable[Any]],
        *args: Any,
        write: bool,
    ) -> Any:
        """Await one driver call on the transaction's connection or on one of the pool."""
        transaction = open_transactions.get().get(self)
        if transaction is not None:
            return await transaction.run(call, *args)
        if self.config.echo:
            _sql_log.info("%s", args[0])
        if self.driver.walled:
            call, args = self.driver.run_walled, (call, *args)
        try:
            return await self._once(write, call, args)
        except ExecutionError as error:
            return await repeat(self.driver, error, self._once, write, call, args)

    async def _once(
        self,
        write: bool,  # noqa: FBT001 - passed on by position
        call: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
    ) -> Any:
        """Await a driver call on a connection of the pool."""
        lane = self._lanes.get(id(asyncio.get_running_loop())) or await self.lane()
        limit = deadline.get()
        if limit is None:
            fairy = await lane.take(write=write)
        else:
            fairy = await within(limit, "not_applied", partial(lane.take, write=write))
            call = partial(within, limit, "unknown", call)
        connection, give, broken = fairy.driver_connection, lane.give, False
        try:
            self.driver.note_caller(connection)
            return await call(connection, *args)
        except asyncio.CancelledError:
            broken = self.driver.stopped(connection)
            give = lane.retire if self.driver.walled else give  # its BEGIN may still come
            raise
        except Exception as error:
            found = outcome_of(self.driver, error)
            broken = isinstance(found, ConnectionLostError)
            if is_late(found):
                give = lane.retire
            if isinstance(found, ExecutionError) and not write:
                found.outcome = None
            if found is error:
                raise
            raise found from error
        finally:
            give(fairy, write=write, broken=broken)

    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        read_only: bool = False,
        savepoint: bool = False,
    ) -> TransactionBlock:
        """Return a block for `async with`; inside another one it joins that.

        Args:
            isolation: `"read_committed"`, `"repeatable_read"` or `"serializable"`;
                None: the database's default. SQLite is always serializable.
            read_only: Refuse writes (PostgreSQL), or leave the writer's lock free (SQLite).
            savepoint: When nested, allow this part to fail alone.
        """
        return TransactionBlock(self, isolation, read_only=read_only, savepoint=savepoint)

    async def close(self, waiting: asyncio.AbstractEventLoop | None = None) -> None:
        """Close every engine; those of other running loops are closed on their loops.

        Args:
            waiting: A loop that is blocked until this call returns; its engine is
                closed as soon as it goes on.
        """
        self._closed = True
        mine = asyncio.get_running_loop()
        for lane in list(self._lanes.values()):
            if lane.loop is mine:
                await lane.close()
            elif lane.loop.is_running():
                done = asyncio.run_coroutine_threadsafe(lane.close(), lane.loop)
                if lane.loop is not waiting:
                    await asyncio.wrap_future(done)
        self._lanes.clear()
        await self.driver.close()

    def pool_status(self) -> dict[str, int]:
        """Return `{"size", "in_use", "idle", "waiting"}`, summed over event loops."""
        lanes = list(self._lanes.values())
        slots = self.driver.slots
        pools: list[Any] = [lane.engine.sync_engine.pool for lane in lanes]
        return {
            "size": slots,
            "in_use": sum(slots - lane.gate.free for lane in lanes),
            "idle": sum(pool.checkedin() for pool in pools),
            "waiting": sum(lane.gate.waiting for lane in lanes),
        }


def _driver_for(backend: str) -> type[Driver]:
    # By name, so that a program loads only the driver that it uses.
    module, name = _DRIVERS[backend]
    driver: type[Driver] = getattr(importlib.import_module(module), name)
    return driver


def _forget(database: Database | None) -> None:
    # The child must neither use nor close the parent's sockets: keep them, unused.
    if database is not None:
        database._inherited.append(database._lanes)  # noqa: SLF001 - part of Database
        database._lanes = {}  # noqa: SLF001 - part of Database
        database._lock = threading.Lock()  # noqa: SLF001 - part of Database
