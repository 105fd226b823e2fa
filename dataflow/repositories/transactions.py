"""Transactions of SQLAlchemy sessions: blocks that commit, and work that is run again."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypedDict, TypeVar, Unpack, get_args, overload

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransactionOrigin

from dataflow.database.beginning import Beginning, beginning
from dataflow.database.driver import Isolation
from dataflow.errors import (
    ConfigurationError,
    ConnectionLostError,
    ParameterError,
    did_you_mean,
    shown,
)
from dataflow.repositories.policies import RetryPolicy, with_retry
from dataflow.repositories.sessions import shared_database

__all__ = ["DatabaseTransaction", "SessionOptions", "TransactionManager"]

T = TypeVar("T")
_NOT_AWAITED = "a plain function needs a Session; with an AsyncSession write `async def`."
_OPEN = "dataflow_block"
"""Key in `session.info`: a block of ours will end the transaction."""


class SessionOptions(TypedDict, total=False):
    """Options of a session's transaction.

    Attributes:
        isolation: `"read_committed"`, `"repeatable_read"` or `"serializable"`.
        read_only: Whether writes are refused.
    """

    isolation: Isolation | None
    read_only: bool


class _Block:
    """One transaction of a session, or one savepoint when a transaction is open."""

    def __init__(self, session: Session, options: SessionOptions) -> None:
        _check_options(options)
        self._session = session
        self._isolation: Isolation | None = options.get("isolation")
        self._read_only = options.get("read_only", False)
        self._savepoint: Any = None
        self._asked: Beginning | None = None
        self._connection: sa.Connection | None = None
        if self._isolation is not None and self._isolation not in get_args(Isolation):
            raise ParameterError(
                problem=f"there is no isolation level {self._isolation!r}.",
                advise=did_you_mean(str(self._isolation), get_args(Isolation)),
            )

    def begin(self) -> None:
        session = self._session
        if is_inside(session):
            self._refuse_options("a savepoint has those of its transaction")
            self._savepoint = session.begin_nested()
            return
        if session.in_transaction():  # begun by a statement before; nobody else will end it
            self._refuse_options("begin the block before the session's first statement")
        elif self._isolation is not None or self._read_only:
            self._ask()
        session.info[_OPEN] = True

    def _refuse_options(self, advise: str) -> None:
        if self._isolation is not None or self._read_only:
            raise ParameterError(
                problem="isolation and read_only belong to a whole transaction, and one is open.",
                advise=advise,
            )

    def _ask(self) -> None:
        session = self._session
        dialect = session.get_bind().dialect.name
        self._asked = beginning(dialect, self._isolation, read_only=self._read_only)
        self._connection = session.connection(execution_options=self._asked.options)
        if self._asked.first:
            self._run_plain(self._asked.first)

    def commit(self) -> None:
        if self._savepoint is not None:
            self._savepoint.commit()
            return
        try:
            self._session.flush()
            self._undo()
            self._commit()
        except BaseException:
            self._session.rollback()
            raise
        finally:
            self._session.info.pop(_OPEN, None)

    def _commit(self) -> None:
        try:
            self._session.commit()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # Unlike a statement's, this lost reply may be that of a success.
            raise ConnectionLostError(detail=str(error.orig)) from error

    def rollback(self) -> None:
        if self._savepoint is not None:
            nested = self._session.get_nested_transaction()
            if self._savepoint.is_active:
                self._savepoint.rollback()
            elif nested is not None and nested is self._savepoint:
                nested.close()  # a failed flush has rolled it back, and left it there
            return
        try:
            self._undo()
        finally:
            self._session.info.pop(_OPEN, None)
            self._session.rollback()

    def _undo(self) -> None:
        if self._asked is not None and self._asked.last:
            self._run_plain(self._asked.last)

    def _run_plain(self, sql: str) -> None:
        # Past SQLAlchemy, whose transaction may have ended with a failed flush.
        connection = self._connection
        if connection is not None and not connection.closed and not connection.invalidated:
            cursor = connection.connection.cursor()
            cursor.execute(sql)
            cursor.close()


def _holds_work(session: Session) -> bool:
    """Whether a rollback would take more back than what is done from now on."""
    return bool(session.in_transaction() or session.new or session.dirty or session.deleted)


def is_inside(session: Session) -> bool:
    """Whether somebody will end the session's transaction: a block, or `session.begin()`."""
    if _OPEN in session.info:
        return True
    transaction = session.get_transaction()
    return transaction is not None and transaction.origin is not SessionTransactionOrigin.AUTOBEGIN


def _check_options(options: SessionOptions) -> None:
    known = SessionOptions.__annotations__
    for name in options:
        if name not in known:
            raise ParameterError(
                problem=f"a session's transaction has no option {name!r}.",
                advise=did_you_mean(name, known),
            )


def _check_sync(session: Any, taker: str) -> None:
    # A scoped_session is no Session, but has its methods.
    if isinstance(session, AsyncSession) or not hasattr(session, "get_bind"):
        raise ParameterError(problem=f"{taker} takes a Session, not {shown(session)}.")


class DatabaseTransaction:
    """Blocks around a session: commit at the end, roll back after an error.

    Where a transaction is open already, by another block or by `session.begin()`, the
    block is a savepoint of it. One that a statement before the block has begun is
    taken over, and committed with the block.
    """

    @staticmethod
    @contextmanager
    def sync_transaction(session: Session, **options: Unpack[SessionOptions]) -> Iterator[Session]:
        """Return a block for `with`; see `SessionOptions`."""
        _check_sync(session, "sync_transaction")
        block = _Block(session, options)
        block.begin()
        try:
            yield session
        except BaseException:
            block.rollback()
            raise
        block.commit()

    @staticmethod
    @asynccontextmanager
    async def async_transaction(
        session: AsyncSession, **options: Unpack[SessionOptions]
    ) -> AsyncIterator[AsyncSession]:
        """Return a block for `async with`; see `SessionOptions`."""
        if not hasattr(session, "sync_session"):
            raise ParameterError(
                problem=f"async_transaction takes an AsyncSession, not {shown(session)}."
            )
        block = _Block(session.sync_session, options)
        await session.run_sync(lambda _: block.begin())
        try:
            yield session
        except BaseException:
            await session.run_sync(lambda _: block.rollback())
            raise
        await session.run_sync(lambda _: block.commit())


def _check_work(work: object) -> None:
    if not callable(work):
        raise ParameterError(
            problem=f"execute_with_retry calls a function with the session, not {shown(work)}."
        )


class TransactionManager:
    """Runs work in transactions of sessions, and again when it failed in passing.

    Args:
        max_retries: Further tries after the first.
        retry_delay: Seconds before the second try.
        backoff_multiplier: By which the pause grows with each further one.
        jitter_ratio: Random part of each pause. All of it, by default, so that
            transactions that met once do not meet again.
        sessions: Makes a session for work that is given none, such as a `sessionmaker`
            or an `async_sessionmaker`; None: the database that `use_database` named.

    Raises:
        ConfigurationError: For tries, pauses or a maker of sessions that cannot be.
    """

    def __init__(
        self,
        max_retries: int = 3,
        retry_delay: float = 0.1,
        backoff_multiplier: float = 2.0,
        *,
        jitter_ratio: float = 1.0,
        sessions: Callable[[], Session | AsyncSession] | None = None,
    ) -> None:
        """Make the policy of the tries."""
        if not isinstance(max_retries, int) or isinstance(max_retries, bool) or max_retries < 0:
            raise ConfigurationError(
                problem=f"max_retries must be a whole number from 0, not {shown(max_retries)}."
            )
        if sessions is not None and not callable(sessions):
            raise ConfigurationError(
                problem=f"sessions must be a function that makes a session, not {shown(sessions)}."
            )
        self.policy = RetryPolicy(
            max_attempts=max_retries + 1,
            base_delay=retry_delay,
            multiplier=backoff_multiplier,
            jitter_ratio=jitter_ratio,
        )
        self._sessions = sessions

    sync_transaction = staticmethod(DatabaseTransaction.sync_transaction)
    async_transaction = staticmethod(DatabaseTransaction.async_transaction)

    @overload
    def execute_with_retry(
        self,
        work: Callable[[AsyncSession], Awaitable[T]],
        session: AsyncSession | None = None,
        **options: Unpack[SessionOptions],
    ) -> Awaitable[T]: ...

    @overload
    def execute_with_retry(
        self,
        work: Callable[[Session], T],
        session: Session | None = None,
        **options: Unpack[SessionOptions],
    ) -> T: ...

    def execute_with_retry(
        self, work: Any, session: Any = None, **options: Unpack[SessionOptions]
    ) -> Any:
        """Call `work(session)` in a transaction, and again while it fails in passing.

        With an `AsyncSession` the result is to be awaited. Inside an open transaction
        the work runs once, in a savepoint: only the whole could run again. It runs once,
        too, in a session that was used before and has not ended its transaction: the
        rollback before a second try would lose what the session has done.

        Raises:
            ParameterError: If there is no session, and nothing that makes one; or no
                function, or one of the other kind than the session.
        """
        _check_work(work)
        given = session is not None
        if session is None:
            session = self._new_session()
        if isinstance(session, AsyncSession):
            return self._run_async(work, session, options, given=given)
        _check_sync(session, "execute_with_retry")
        if inspect.iscoroutinefunction(work):
            raise ParameterError(problem="a coroutine function needs an AsyncSession.")
        return self._run(work, session, options, given=given)

    def _new_session(self) -> Session | AsyncSession:
        if self._sessions is not None:
            return self._sessions()
        if (shared := shared_database()) is not None:
            return shared.session()
        raise ParameterError(
            problem="execute_with_retry needs a session.",
            advise="pass one, or TransactionManager(sessions=…) that makes them, or say "
            "use_database(db) once",
        )

    def _run(
        self,
        work: Callable[[Session], T],
        session: Session,
        options: SessionOptions,
        *,
        given: bool,
    ) -> T:
        def once() -> T:
            with self.sync_transaction(session, **options):
                return work(session)

        try:
            return once() if _holds_work(session) else with_retry(self.policy)(once)()
        finally:
            if not given:
                session.close()

    async def _run_async(
        self,
        work: Callable[[AsyncSession], Awaitable[T]],
        session: AsyncSession,
        options: SessionOptions,
        *,
        given: bool,
    ) -> T:
        async def once() -> T:
            async with self.async_transaction(session, **options):
                found = work(session)
                if not inspect.isawaitable(found):
                    raise ParameterError(problem=_NOT_AWAITED)
                return await found

        try:
            if _holds_work(session.sync_session):
                return await once()
            return await with_retry(self.policy)(once)()
        finally:
            if not given:
                await session.close()
