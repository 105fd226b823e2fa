"""`with` and `async with` around a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Protocol, Self, get_args

from dataflow.database.again import repeat
from dataflow.database.current import OpenTransactions, activate, open_transactions
from dataflow.database.deadline import in_time
from dataflow.database.driver import Driver, Isolation
from dataflow.database.lane import Lane
from dataflow.database.transaction import Level, Savepoint, Transaction
from dataflow.errors import ExecutionError, LoopError, ParameterError, did_you_mean
from dataflow.places import caller_place
from dataflow.portal import portal

__all__ = ["TransactionBlock"]


class HasLanes(Protocol):
    """What a block needs of a database."""

    driver: Driver
    before_transaction: Callable[[], Awaitable[None]]

    def current(self) -> Level | None:
        """Return the caller's open transaction."""

    async def lane(self) -> Lane:
        """Return the running loop's lane."""
        ...


class TransactionBlock:
    """`async with database.transaction():`, also usable step by step by the sync face."""

    def __init__(
        self,
        database: HasLanes,
        isolation: Isolation | None,
        *,
        read_only: bool,
        savepoint: bool,
    ) -> None:
        """Prepare; entering begins."""
        if isolation is not None and isolation not in get_args(Isolation):
            raise ParameterError(
                problem=f"there is no isolation level {isolation!r}.",
                advise=did_you_mean(str(isolation), get_args(Isolation)),
            )
        self._database = database
        self._isolation: Isolation | None = isolation
        self._read_only = read_only
        self._savepoint = savepoint
        self._place = caller_place()
        self._own: Transaction | None = None
        self._inner: Savepoint | None = None
        self._joined: tuple[Level, int] | None = None
        self._token: Token[OpenTransactions] | None = None
        self._entered = False

    async def begin(self) -> Level:
        """Open the transaction, or join the one that is open.

        Raises:
            ParameterError: If the block itself is open, or asks for an isolation, or to be
                read-only, within a transaction that has not begun so.
        """
        if self._entered:
            raise ParameterError(
                problem=f"the transaction block made at {self._place} is open already.",
                advise="call db.transaction() anew: inside of an open block it joins that one",
            )
        self._entered = True
        try:
            return await self._begin()
        except BaseException:
            self._entered = False
            raise

    async def _begin(self) -> Level:
        outer = self._database.current()
        if outer is not None:
            outer.check_loop()
            outer.check_options(self._isolation, read_only=self._read_only)
            if self._savepoint:
                self._inner = await outer.savepoint().__aenter__()
                return self._inner
            self._joined = outer, outer.calls
            return outer
        await in_time("not_applied", self._database.before_transaction)
        try:
            self._own = await self._open()
        except ExecutionError as error:
            self._own = await repeat(self._database.driver, error, self._open)
        return self._own

    async def _open(self) -> Transaction:
        return await Transaction.open(
            await self._database.lane(),
            isolation=self._isolation,
            read_only=self._read_only,
            place=self._place,
        )

    def activate(self, transaction: Level) -> Self:
        """Make it the current one in the calling context."""
        self._token = activate(self._database, transaction)
        return self

    def _deactivate(self) -> LoopError | None:
        """Restore the calling context; return an error if the block began in another."""
        token, self._token = self._token, None
        try:
            if token is not None:
                open_transactions.reset(token)
        except ValueError:
            return LoopError(
                problem=f"the transaction block made at {self._place} began in another context "
                "than it ended in: what ran in between was not part of it.",
                advise="FastAPI enters and leaves a dependency without `async` in different "
                "contexts: make it `async def`, with `async with db.transaction()`",
            )
        return None

    async def end(self, error: BaseException | None) -> None:
        """Commit, or roll back if there was an error; the block may be entered again.

        A block that joined another cannot roll back its part alone, so all is rolled back.
        """
        own, inner, joined = self._own, self._inner, self._joined
        self._own = self._inner = self._joined = None
        self._entered = False
        if joined is not None:
            level, calls = joined
            level.left(calls, error)
        elif inner is not None:
            await inner.__aexit__(type(error) if error else None, error, None)
        elif own is not None and error is not None:
            await own.rollback()
        elif own is not None:
            await own.commit()

    async def __aenter__(self) -> Level:
        """Begin, or join."""
        transaction = await self.begin()
        self.activate(transaction)
        return transaction

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Commit, or roll back if there was an error."""
        astray = self._deactivate()
        await self.end(astray or error)
        if astray is not None:
            raise astray from error

    def __enter__(self) -> Level:
        """Begin on the portal's loop, for sync callers."""
        transaction = portal.call(self.begin())
        self.activate(transaction)
        return transaction

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Commit, or roll back if there was an error."""
        astray = self._deactivate()
        portal.call(self.end(astray or error))
        if astray is not None:
            raise astray from error
