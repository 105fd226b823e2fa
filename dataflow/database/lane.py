"""One event loop's share of a database: its engine, its queue, its writer's lock."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, cast

from sqlalchemy.exc import DBAPIError, MissingGreenlet
from sqlalchemy.util import greenlet_spawn

from dataflow.database.driver import Driver
from dataflow.errors import (
    CannotConnectError,
    DataFlowError,
    PoolExhaustedError,
    StatementTimeoutError,
)

__all__ = ["Gate", "Lane", "not_connected", "translated"]

Waiter = asyncio.Future[None]
_LATE_S = 1.0
"""Seconds for which a connection is still awaited when its caller has left."""


class Gate:
    """A bounded, fair queue before the pool; entering when free costs no future."""

    def __init__(self, slots: int, timeout_s: float, queue_limit: int | None) -> None:
        """Open with all slots free."""
        self._free = slots
        self._slots = slots
        self._timeout_s = timeout_s
        self._limit = queue_limit
        self._waiters: deque[Waiter] = deque()

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return self._free

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._waiters)

    def try_enter(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self._free and not self._waiters:
            self._free -= 1
            return True
        return False

    async def enter(self, holder: str = "") -> None:
        """Take a slot, waiting in order of arrival.

        Raises:
            PoolExhaustedError: After the time limit, or at once when the queue is full.
        """
        if self.try_enter():
            return
        if self._limit is not None and len(self._waiters) >= self._limit:
            raise self._exhausted(0.0, holder)
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._waiters.append(waiter)
        timer = loop.call_later(self._timeout_s, self._expire, waiter, holder)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.leave()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            timer.cancel()

    def _expire(self, waiter: Waiter, holder: str) -> None:
        if not waiter.done():
            self._waiters.remove(waiter)
            waiter.set_exception(self._exhausted(self._timeout_s, holder))

    def _exhausted(self, waited_s: float, holder: str) -> PoolExhaustedError:
        return PoolExhaustedError(
            waited_s=waited_s, size=self._slots, waiting=len(self._waiters), holder=holder
        )

    def leave(self) -> None:
        """Give the slot to the first in the queue, or set it free."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


def translated(driver: Driver, error: BaseException | None) -> DataFlowError | None:
    """Return our error for the driver's, which SQLAlchemy may have wrapped; None: it is none."""
    while error is not None:
        found = error if isinstance(error, DataFlowError) else driver.translate(error)
        if found is not None:
            return found
        error = error.orig if isinstance(error, DBAPIError) else error.__cause__
    return None


def not_connected(driver: Driver, error: BaseException | None) -> DataFlowError | None:
    """Return our error for the driver's when it connects, which SQLAlchemy may have wrapped."""
    found = translated(driver, error)
    if isinstance(found, StatementTimeoutError):
        limit = f"no answer within {driver.config.connect_timeout_s:g} s."
        found = CannotConnectError(url=str(driver.address), detail=limit)
    if found is not None:
        found.outcome = "not_applied"
    return found


class Lane:
    """Engine and queue of one event loop.

    Connections are checked out of SQLAlchemy's pool without a greenlet; only when
    one must be opened does the call go through SQLAlchemy's ordinary async path.
    """

    def __init__(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        """Create the engine; opens no connection."""
        self.loop = loop
        self.driver = driver
        self.engine = driver.create_engine()
        self.gate = Gate(driver.slots, driver.config.pool_timeout_s, driver.config.pool_queue_limit)
        self.writer = asyncio.Lock() if driver.serial_writes else None
        self.schema_lock = asyncio.Lock()
        self._pool: Any = self.engine.sync_engine.pool  # a queue pool; its methods are untyped
        self._keep: int = cast("Any", self._pool).size()
        self._recycle_s = driver.config.pool_recycle_s
        self._oldest = 0.0
        self._closing: set[asyncio.Task[Any]] = set()
        self._holders: dict[int, tuple[float, str]] = {}
        self._at_end: AsyncGenerator[None, None] | None = None

    async def close_with_loop(self) -> None:
        """Arrange that the engine is closed when its loop shuts down.

        `asyncio.run` and the test runners close all asynchronous generators before
        they close the loop, so a suspended generator of ours is told in time.
        """
        self._at_end = self._until_shutdown()
        await anext(self._at_end)

    async def _until_shutdown(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.engine.dispose()

    async def take(self, *, write: bool) -> Any:
        """Return a checked-out pool connection; `give` must follow.

        Raises:
            PoolExhaustedError: If none becomes free in time.
            CannotConnectError: If a new one cannot be opened.
        """
        if write and self.writer is not None:
            await self._take_writer(self.writer)
        try:
            if not self.gate.try_enter():
                await self.gate.enter(self._longest_holder())
            return await self._checkout()
        except BaseException:
            if write and self.writer is not None:
                self.writer.release()
            raise

    async def _take_writer(self, writer: asyncio.Lock) -> None:
        limit = self.driver.config.pool_timeout_s
        try:
            async with asyncio.timeout(limit if writer.locked() else None):
                await writer.acquire()
        except TimeoutError:
            raise PoolExhaustedError(
                waited_s=limit, size=1, waiting=self.gate.waiting, holder=self._longest_holder()
            ) from None

    async def _checkout(self) -> Any:
        """Return a connection, or leave the gate."""
        opening: asyncio.Task[Any] | None = None
        try:
            while True:
                fairy = self._take_idle()
                if fairy is None:
                    opening = self.loop.create_task(greenlet_spawn(self._pool.connect))
                    fairy = await self._opened(opening)
                if self._is_fresh(fairy):
                    return fairy
                self.discard(fairy)
        except asyncio.CancelledError:
            if opening is not None:
                self._closing.add(opening)
                opening.add_done_callback(self._keep_late)
                self.loop.call_later(_LATE_S, opening.cancel)
            raise
        except BaseException:
            self.gate.leave()
            raise

    def _take_idle(self) -> Any:
        """Return an open connection of the pool, or None where one must be opened.

        Opening needs a greenlet. A discarded connection leaves an empty record behind,
        which the pool would open, so the record that comes next is looked at first.
        """
        records = self._pool._pool._queue._queue  # noqa: SLF001 - the pool shows its records nowhere else
        if not records or records[-1].dbapi_connection is None:
            return None
        try:
            return self._pool.connect()
        except MissingGreenlet:  # marked for renewal by another user of the pool
            return None

    def _is_fresh(self, fairy: Any) -> bool:
        now = self.loop.time()
        opened = fairy.info.setdefault("dataflow_opened", now)
        if now - opened >= self._recycle_s or opened < self._oldest:
            return False
        return self.driver.is_usable(fairy.driver_connection)

    def discard(self, fairy: Any) -> None:
        """Close a connection for good; its place in the pool is opened anew when needed."""
        fairy.invalidate()  # checks the emptied record in, too

    async def _opened(self, opening: asyncio.Task[Any]) -> Any:
        """Return what a task of its own opens, so that a caller who leaves breaks nothing."""
        try:
            return await asyncio.shield(opening)
        except Exception as error:
            found = not_connected(self.driver, error)
            if found is None:
                raise
            raise found from error

    def _keep_late(self, opening: asyncio.Task[Any]) -> None:
        """Put a connection whose caller has left into the pool, and then leave the gate."""
        self._closing.discard(opening)
        if opening.cancelled() or opening.exception() is not None:
            self.gate.leave()
        else:
            self.give(opening.result(), write=False)

    def _spawn(self, fairy: Any, work: Coroutine[Any, Any, None]) -> None:
        """Part with a connection in a task; if its loop ends before it begins, at once."""
        task = self.loop.create_task(work)
        self._closing.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._closing.discard(task)
            if task.cancelled() and fairy.is_valid:
                self.discard(fairy)

        task.add_done_callback(done)

    def give(self, fairy: Any, *, write: bool, broken: bool = False) -> None:
        """Return a connection; a broken one, or one in a transaction, is discarded."""
        try:
            if broken or not self.driver.is_usable(fairy.driver_connection):
                self.discard(fairy)
            elif self._pool.checkedin() >= self._keep:
                self._spawn(fairy, self._close(fairy))
            else:
                fairy.close()
        finally:
            self.gate.leave()
            if write and self.writer is not None:
                self.writer.release()

    async def _close(self, fairy: Any) -> None:
        """Close a connection that the pool has no place for.

        Left to the pool, it would be reported as an error when the loop ends meanwhile.
        """
        try:
            await fairy.driver_connection.close()
        finally:
            self.discard(fairy)

    def retire(self, fairy: Any, *, write: bool, broken: bool = False) -> None:
        """Take a connection back whose server may not answer; its slot is free a little later."""
        self._spawn(fairy, self._settle(fairy, write=write, broken=broken))

    async def _settle(self, fairy: Any, *, write: bool, broken: bool) -> None:
        settled = False
        try:
            settled = await self.driver.settle(fairy.driver_connection)
        finally:
            self.give(fairy, write=write, broken=broken or not settled)

    def renew(self, fairy: Any) -> None:
        """Replace, before their next use, all connections as old as a given one."""
        opened: float = fairy.info["dataflow_opened"]
        if opened >= self._oldest:
            self._oldest = self.loop.time()

    def hold(self, fairy: Any, place: str) -> None:
        """Note who holds a connection for longer than a statement."""
        self._holders[id(fairy)] = (time.monotonic(), place)

    def unhold(self, fairy: Any) -> None:
        """Forget the note of `hold`."""
        self._holders.pop(id(fairy), None)

    def _longest_holder(self) -> str:
        if not self._holders:
            return ""
        since, place = min(self._holders.values())
        return f"; held longest, {time.monotonic() - since:.1f} s, by {place}"

    async def close(self) -> None:
        """Close all connections."""
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
        if self._at_end is not None:
            await self._at_end.aclose()
