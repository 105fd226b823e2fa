"""Transactions: one connection and one commit for all that runs inside."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from dataflow.database.driver import Driver, Isolation, Row
from dataflow.database.lane import Lane
from dataflow.errors import (
    ConnectionLostError,
    DataFlowError,
    LoopError,
    TransactionAbortedError,
)

__all__ = ["Transaction", "outcome_of"]

T = TypeVar("T")


def outcome_of(driver: Driver, error: BaseException) -> BaseException:
    """Return our error for a driver's; others unchanged."""
    if isinstance(error, DataFlowError):
        return error
    return driver.translate(error) or error


class Transaction:
    """An open transaction on one connection; branches take turns on it."""

    def __init__(self, lane: Lane, fairy: Any) -> None:
        """Wrap a checked-out pool connection."""
        self._lane = lane
        self._fairy = fairy
        self._driver = lane.driver
        self.connection = fairy.driver_connection
        self._turn = asyncio.Lock()
        self._names = itertools.count(1)
        self._write = True
        self._failure: BaseException | None = None

    @classmethod
    async def open(
        cls, lane: Lane, *, isolation: Isolation | None, read_only: bool, place: str
    ) -> Self:
        """Check a connection out and begin on the server."""
        fairy = await lane.take(write=not read_only)
        self = cls(lane, fairy)
        self._write = not read_only
        lane.hold(fairy, place)
        try:
            await self._driver.begin(self.connection, isolation=isolation, read_only=read_only)
        except BaseException as error:
            self._discard()
            raise outcome_of(self._driver, error) from error
        return self

    def check_loop(self) -> None:
        """Refuse use from another event loop than the one that opened it.

        Raises:
            LoopError: Naming the way to do it.
        """
        if asyncio.get_running_loop() is not self._lane.loop:
            raise LoopError(
                problem="a transaction was opened on one event loop and used on another.",
                advise="inside `async with db.transaction()` await db.aio methods; "
                "inside `with db.transaction()` call db methods",
            )

    async def fetch(self, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        """Run one statement in turn and return its rows."""
        return await self.run(self._driver.fetch, sql, args)

    async def run(self, call: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Await `call(connection, *args)` in turn, translating the driver's errors."""
        self.check_loop()
        async with self._turn:
            try:
                return await call(self.connection, *args)
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError):
                    self._driver.stopped(self.connection)
                found = outcome_of(self._driver, error)
                self._failure = self._failure or found
                if found is error:
                    raise
                raise found from error

    async def commit(self) -> None:
        """Commit, and give the connection back.

        A transaction in which a statement failed is rolled back instead, on every
        database, even when the caller has caught that error.

        Raises:
            TransactionAbortedError: If a statement failed before.
            ConnectionLostError: With outcome `"unknown"` when the reply was lost.
        """
        if self._failure is not None:
            await self.rollback()
            raise TransactionAbortedError(cause=_first_line(self._failure)) from self._failure
        try:
            await self.run(self._driver.run_plain, "COMMIT")
            await self._driver.ended(self.connection, read_only=not self._write)
        except ConnectionLostError:
            self._discard()
            raise
        except BaseException:
            await self.rollback()
            raise
        self._release()

    async def rollback(self) -> None:
        """Roll back, and give the connection back; a broken one is discarded."""
        try:
            async with self._turn:
                await self._driver.run_plain(self.connection, "ROLLBACK")
                await self._driver.ended(self.connection, read_only=not self._write)
        except Exception:  # noqa: BLE001 - whatever is wrong, closing the connection rolls back
            self._discard()
            return
        except BaseException:
            self._discard()
            raise
        self._release()

    def savepoint(self) -> Savepoint:
        """Return a context manager that can be rolled back by itself."""
        return Savepoint(self, f"dataflow_{next(self._names)}")

    def _release(self) -> None:
        self._lane.unhold(self._fairy)
        self._lane.give(self._fairy, write=self._write)

    def _discard(self) -> None:
        self._lane.unhold(self._fairy)
        self._lane.give(self._fairy, write=self._write, broken=True)


def _first_line(error: BaseException | None) -> str:
    return str(error).partition("\n")[0]


class Savepoint:
    """A part of a transaction that fails alone."""

    def __init__(self, transaction: Transaction, name: str) -> None:
        """Prepare; entering sets the savepoint."""
        self._transaction = transaction
        self._name = name
        self._before: BaseException | None = None

    async def __aenter__(self) -> Transaction:
        self._before = self._transaction._failure  # noqa: SLF001 - a part of its transaction
        await self._run("SAVEPOINT")
        return self._transaction

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failure = self._transaction._failure  # noqa: SLF001 - a part of its transaction
        if error is not None or failure is not self._before:
            await self._run("ROLLBACK TO SAVEPOINT")
        await self._run("RELEASE SAVEPOINT")
        self._transaction._failure = self._before  # noqa: SLF001 - likewise
        if error is None and failure is not self._before:
            raise TransactionAbortedError(cause=_first_line(failure)) from failure

    async def _run(self, verb: str) -> None:
        transaction = self._transaction
        await transaction.run(transaction._driver.run_plain, f"{verb} {self._name}")  # noqa: SLF001 - a part of its transaction
