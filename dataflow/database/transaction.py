"""Transactions: one connection and one commit for all that runs inside."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

from dataflow.context import current_caller, deadline, tenant, wall_of
from dataflow.database.callers import WALL
from dataflow.database.deadline import in_time, within
from dataflow.database.driver import Driver, Isolation, Row
from dataflow.database.lane import Lane
from dataflow.errors import (
    ConnectionLostError,
    DataFlowError,
    DeadlineExceededError,
    ExecutionError,
    LoopError,
    ParameterError,
    SerializationFailureError,
    StatementTimeoutError,
    TransactionAbortedError,
    TransactionClosedError,
)

__all__ = ["Level", "Savepoint", "Transaction", "is_late", "outcome_of"]

T = TypeVar("T")
_sql_log = logging.getLogger("dataflow.sql")


def outcome_of(driver: Driver, error: BaseException) -> BaseException:
    """Return our error for a driver's; others unchanged."""
    if isinstance(error, DataFlowError):
        return error
    return driver.translate(error) or error


def is_late(error: BaseException) -> bool:
    """Whether a call was given up whose statement may still run."""
    if isinstance(error, StatementTimeoutError):
        return error.outcome == "unknown"
    return isinstance(error, DeadlineExceededError)


class Level(Protocol):
    """A transaction, or a savepoint within one: where statements take turns.

    Attributes:
        calls: How many were made so far.
    """

    calls: int

    def check_loop(self) -> None:
        """Refuse use from another event loop."""

    def check_options(self, isolation: Isolation | None, *, read_only: bool) -> None:
        """Refuse what a block that joins asks for, and the transaction has not."""

    def left(self, calls: int, error: BaseException | None) -> None:
        """Take note of the end of a block that joined when so many calls were made."""

    async def run(self, call: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await `call(connection, *args)` in turn."""
        ...

    def savepoint(self) -> Savepoint:
        """Return a part that can fail alone."""
        ...

    def lend(self) -> Any:
        """Return the pool's connection for work in other ways than `run`."""


class _Turns:
    """Runs driver calls one at a time, and remembers the first that failed."""

    def __init__(self, lane: Lane, connection: Any, info: dict[str, Any]) -> None:
        self.lane = lane
        self.connection = connection
        self.info = info
        self.turn = asyncio.Lock()
        self.failure: BaseException | None = None
        self.closed = False
        self.spoiled = False
        self.late = False
        self.fresh = True
        self.calls = 0
        self.caller = lane.driver.first_caller

    def check_loop(self) -> None:
        """Refuse use from another event loop than the one that opened it.

        Raises:
            LoopError: Naming the way to do it.
        """
        if asyncio.get_running_loop() is not self.lane.loop:
            raise LoopError(
                problem="a transaction was opened on one event loop and used on another.",
                advise="inside `async with db.transaction()` await db.aio methods; "
                "inside `with db.transaction()` call db methods; where a bulk call reads a "
                "generator, make it an async generator, or read the data into a list first",
            )

    def check_open(self) -> None:
        """Refuse use after the end, or after a failure.

        PostgreSQL would refuse every further statement in words of its own, and SQLite
        would run it; the transaction is lost on both.

        Raises:
            TransactionClosedError: If the transaction has ended.
            TransactionAbortedError: If a statement failed before.
        """
        if self.closed:
            raise TransactionClosedError
        if self.failure is not None:
            raise _aborted(self.failure, ended=False) from self.failure

    def left(self, calls: int, error: BaseException | None) -> None:
        """Let all fail if a block that joined has failed, and its work cannot be undone alone."""
        if error is not None and self.calls > calls:
            self.failure = self.failure or error

    async def fetch(self, sql: str, args: Sequence[Any]) -> Sequence[Row]:
        """Run one statement in turn and return its rows."""
        return await self.run(self.lane.driver.fetch, sql, args)

    async def run(self, call: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await `call(connection, *args)` in turn, translating the driver's errors.

        Raises:
            TransactionClosedError: If the transaction has ended.
            TransactionAbortedError: If a statement failed before.
        """
        self.check_loop()
        limit = deadline.get()
        if limit is not None:
            await within(limit, "not_applied", self.turn.acquire)
        else:
            await self.turn.acquire()
        try:
            self.check_open()
            if self.lane.driver.config.echo:
                _sql_log.info("%s", args[0] if isinstance(args[0], str) else call.__name__)
            if self.lane.driver.audit.used:
                await self._tell_caller()
            if self.lane.driver.walled:
                await self._tell_wall()
            try:
                return await self.run_now(call, *args)
            except SerializationFailureError as error:
                await self._begin_again(call, error)
            return await self.run_now(call, *args)
        finally:
            self.turn.release()

    async def _begin_again(
        self, call: Callable[..., Awaitable[Any]], error: SerializationFailureError
    ) -> None:
        """Go back to an empty transaction if its first statement met an altered table.

        Bulk calls may have used up their rows, so only plain statements are repeated.
        """
        driver = self.lane.driver
        plain = call in (driver.fetch, driver.execute)
        if not (self.fresh and plain and driver.is_stale_plan(error.__cause__)):
            raise error
        try:
            await in_time("not_applied", self.restart)
        except Exception as broken:
            self.spoil(late=True)
            raise outcome_of(driver, broken) from broken
        self.failure = None
        self.caller = None
        if driver.audit.used:
            await self._tell_caller()
        if driver.walled:
            await self._tell_wall()

    async def restart(self) -> None:
        """Undo what was done at this level, which goes on."""
        raise NotImplementedError

    async def _tell_caller(self) -> None:
        """Tell the triggers who makes changes, when it is someone else than before."""
        caller = current_caller()
        if caller != self.caller:
            fresh = self.fresh
            await self.run_now(self.lane.driver.tell_caller, caller)
            self.caller, self.fresh = caller, fresh

    async def _tell_wall(self) -> None:
        """Tell the policies whose records are meant, when it is someone else than before."""
        wall = wall_of(tenant.get())
        if wall != self.info[WALL]:
            fresh = self.fresh
            await self.run_now(self.lane.driver.tell_wall, wall)
            self.info[WALL], self.fresh = wall, fresh

    async def run_now(self, call: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await a driver call without waiting for a turn."""
        driver, limit = self.lane.driver, deadline.get()
        self.calls += 1
        if limit is not None:
            call = cast("Callable[..., Awaitable[T]]", partial(within, limit, "not_applied", call))
        try:
            result = await call(self.connection, *args)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and driver.stopped(self.connection):
                self.spoil()
            found = outcome_of(driver, error)
            if isinstance(found, DeadlineExceededError):
                self.spoil(late=True)
            elif isinstance(found, ExecutionError):
                found.outcome = "not_applied"  # nothing is, before COMMIT
            self.failure = self.failure or found
            if found is error:
                raise
            raise found from error
        self.fresh = False
        return result

    def spoil(self, *, late: bool = False) -> None:
        """Let the connection be discarded at the transaction's end.

        Args:
            late: It does not answer in time, so nobody should wait for it.
        """
        self.spoiled, self.late = True, self.late or late


class Transaction(_Turns):
    """An open transaction on one connection; branches take turns on it."""

    def __init__(self, lane: Lane, fairy: Any, *, write: bool) -> None:
        """Wrap a checked-out pool connection."""
        super().__init__(lane, fairy.driver_connection, fairy.info)
        self._fairy = fairy
        self._write = write
        self._isolation: Isolation | None = None
        self.names = itertools.count(1)

    @classmethod
    async def open(
        cls, lane: Lane, *, isolation: Isolation | None, read_only: bool, place: str
    ) -> Self:
        """Check a connection out and begin on the server.

        Raises:
            ConnectionLostError: With outcome `"not_applied"`.
            DeadlineExceededError: Likewise.
        """
        take = partial(lane.take, write=not read_only)
        self = cls(lane, await in_time("not_applied", take), write=not read_only)
        self._isolation = isolation
        lane.hold(self._fairy, place)
        try:
            await in_time("not_applied", self._begin)
        except BaseException as error:
            found = outcome_of(lane.driver, error)
            self.late = is_late(found)
            self._give_back(broken=True)
            if isinstance(found, ExecutionError):
                found.outcome = "not_applied"
            if found is error:
                raise
            raise found from error
        return self

    def check_options(self, isolation: Isolation | None, *, read_only: bool) -> None:
        """Refuse what a block that joins asks for, and the transaction has not.

        Raises:
            ParameterError: Naming the way to do it.
        """
        if isolation not in {None, self._isolation} or (read_only and self._write):
            raise ParameterError(
                problem="isolation and read_only belong to a whole transaction, and one is open.",
                advise="give them to the outermost block",
            )

    def lend(self) -> Any:
        """Return the pool's connection; the transaction cannot begin again unseen any more."""
        self.fresh, self.caller = False, None
        return self._fairy

    async def _begin(self) -> None:
        begin = self.lane.driver.begin
        await begin(self.connection, isolation=self._isolation, read_only=not self._write)
        if self.lane.driver.walled:
            self.info[WALL] = wall_of(tenant.get())

    async def restart(self) -> None:
        """Roll back and begin again, on a connection that prepares its statements anew."""
        self.lane.renew(self._fairy)
        await self.lane.driver.run_plain(self.connection, "ROLLBACK")
        await self._begin()

    async def commit(self) -> None:
        """Commit, and give the connection back.

        A transaction in which a statement failed is rolled back instead, on every
        database, even when the caller has caught that error.

        Raises:
            TransactionAbortedError: If a statement failed before.
            ConnectionLostError: With outcome `"unknown"` when the reply was lost.
        """
        if self.failure is not None:
            await self.rollback()
            raise _aborted(self.failure, ended=True) from self.failure
        try:
            await in_time("unknown", self._end, "COMMIT")
        except BaseException as error:
            found = outcome_of(self.lane.driver, error)
            self.late = is_late(found)
            if self.late or isinstance(found, ConnectionLostError):
                self._give_back(broken=True)
            else:
                await self.rollback()
            if isinstance(found, ExecutionError) and not self._write:
                found.outcome = "not_applied"  # nothing was written
            if found is error:
                raise
            raise found from error
        self._give_back()

    async def rollback(self) -> None:
        """Roll back, and give the connection back; a broken one is discarded."""
        if self.spoiled:
            self._give_back(broken=True)
            return
        try:
            await in_time("not_applied", self._end, "ROLLBACK")
        except Exception as error:  # noqa: BLE001 - whatever is wrong, closing the connection rolls back
            self.late = is_late(outcome_of(self.lane.driver, error))
            self._give_back(broken=True)
            return
        except BaseException:
            self._give_back(broken=True)
            raise
        self._give_back()

    async def _end(self, verb: str) -> None:
        driver = self.lane.driver
        async with self.turn:
            self.closed = True
            await driver.run_plain(self.connection, verb)
            await driver.ended(self.connection, read_only=not self._write)

    def savepoint(self) -> Savepoint:
        """Return a context manager for a part that can be rolled back by itself."""
        return Savepoint(self, self.names)

    def _give_back(self, *, broken: bool = False) -> None:
        self.closed = True
        self.lane.unhold(self._fairy)
        if self.late:
            self.lane.retire(self._fairy, write=self._write)
        else:
            self.lane.give(self._fairy, write=self._write, broken=broken)


class Savepoint(_Turns):
    """A part of a transaction that fails alone.

    It holds its parent's turn from beginning to end, so that nothing else can slip
    between the savepoint and its release; statements inside take its own turns.
    """

    def __init__(self, parent: Transaction | Savepoint, names: itertools.count[int]) -> None:
        """Prepare; entering waits for the parent's turn and sets the savepoint."""
        super().__init__(parent.lane, parent.connection, parent.info)
        self._parent = parent
        self._names = names
        self._name = f"dataflow_{next(names)}"

    def spoil(self, *, late: bool = False) -> None:
        """Let the connection be discarded at the outermost transaction's end."""
        super().spoil(late=late)
        self._parent.spoil(late=late)

    def check_options(self, isolation: Isolation | None, *, read_only: bool) -> None:
        """Refuse what the transaction has not."""
        self._parent.check_options(isolation, read_only=read_only)

    def lend(self) -> Any:
        """Return the pool's connection; nothing can begin again unseen any more."""
        self.fresh, self.caller = False, None
        return self._parent.lend()

    async def restart(self) -> None:
        """Roll back to the savepoint, which stays."""
        await self.lane.driver.run_plain(self.connection, f"ROLLBACK TO SAVEPOINT {self._name}")
        self.info[WALL] = None

    def savepoint(self) -> Savepoint:
        """Return a nested part."""
        return Savepoint(self, self._names)

    async def __aenter__(self) -> Self:
        self.check_loop()
        await self._parent.turn.acquire()
        try:
            self._parent.check_open()
            await self._plain("SAVEPOINT")
        except BaseException:
            self._parent.turn.release()
            raise
        self.caller = self._parent.caller
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failed = error or self.failure
        try:
            async with self.turn:
                self.closed = True
                if failed is not None and not self.spoiled:
                    self.info[WALL] = None
                    await self._plain("ROLLBACK TO SAVEPOINT")
                if not self.spoiled:
                    await self._plain("RELEASE SAVEPOINT")
        finally:
            if self.spoiled:  # what was done here is still there
                self._parent.failure = self._parent.failure or failed
            # A rollback may have brought back the caller before.
            self._parent.caller = self.caller if failed is None else None
            self._parent.turn.release()
        if error is None and failed is not None:
            raise _aborted(failed, ended=True) from failed

    async def _plain(self, verb: str) -> None:
        await self._parent.run_now(self.lane.driver.run_plain, f"{verb} {self._name}")


def _aborted(failure: BaseException, *, ended: bool) -> TransactionAbortedError:
    text = failure.problem_text() if isinstance(failure, DataFlowError) else str(failure)
    cause = " ".join(text.split()) or type(failure).__name__
    return TransactionAbortedError(cause=cause, ended=ended)
