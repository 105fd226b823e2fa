"""A connection to SQLite, its thread, and a short way there and back."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import aiosqlite

__all__ = ["Connection", "Patience", "open_connection", "take_as_null"]

T = TypeVar("T")
Call = Callable[[], Any]
Future = asyncio.Future[Any]

_PATIENCE_S = 0.0002
"""Seconds for which a statement may hold up its event loop, waiting to end.

A thread that waits on a lock is awake again 25 µs later, a loop that sleeps in its
selector after 70 to 90 µs: as long as a short statement takes. Most statements on a
key, and pages of a hundred records, end within this time. For all others the loop
goes on with its other work. The system's timer may add to it: up to 1 ms on Windows.
"""
_SHORT_S = 0.0005
"""Seconds after which a read in the loop's own thread gives up, to begin anew in another."""
_LOOK_AFTER = 1_000
"""Steps of SQLite's virtual machine between two looks at the clock: about 50 µs."""
_LONG_READS = 1_000
"""Reads that are known to be long; with more, all are forgotten."""
_AGAIN_S = 0.02
_STOP: Any = object()


class Patience:
    """What the connections of one event loop share: whether it may be held up.

    However many tasks there are, statements hold a loop up for less than `_PATIENCE_S`
    and one read between two of its turns, and only those that run alone do: while
    another one is running, there is other work that the loop should get at.
    """

    __slots__ = ("_long", "_reads_here", "_spent_s", "running")

    def __init__(self, *, reads_here: bool = False) -> None:
        """Begin with nothing spent.

        Args:
            reads_here: Whether short reads may run in the loop's own thread. Nothing
                must make them wait: readers of a file in WAL mode wait for nobody.
        """
        self.running = 0
        self._spent_s = 0.0
        self._reads_here = reads_here
        self._long: set[str] = set()

    @property
    def spent(self) -> bool:
        """Whether the loop must turn before it may be held up again."""
        return self._spent_s >= _PATIENCE_S

    def wait(self, job: _Job, loop: asyncio.AbstractEventLoop) -> bool:
        """Wait on the spot for a call, if that is in order; return whether it has ended."""
        if self.running > 1 or self.spent:
            return False
        begun = time.perf_counter()
        ended = job.done.acquire(timeout=_PATIENCE_S)
        self._spend(begun, loop)
        return ended

    def may_run_here(self, sql: str) -> bool:
        """Whether a statement is a read that seems to be short, and in order now."""
        return not self.running and sql not in self._long and self.is_read(sql)

    def is_read(self, sql: str) -> bool:
        """Whether a statement is one that may run in the loop's own thread."""
        return self._reads_here and sql.startswith("SELECT")

    def run_here(self, connection: sqlite3.Connection, sql: str, args: Any) -> list[Any] | None:
        """Run a read in the loop's own thread; return None if it is too long for that.

        A read that is interrupted has changed nothing, in a transaction either.
        """
        begun = time.perf_counter()
        until = begun + _SHORT_S
        connection.set_progress_handler(lambda: time.perf_counter() > until, _LOOK_AFTER)
        try:
            return connection.execute(sql, args).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        finally:
            connection.set_progress_handler(None, 0)
            self._spend(begun, asyncio.get_running_loop())
        if len(self._long) == _LONG_READS:
            self._long.clear()
        self._long.add(sql)
        return None

    def took(self, sql: str, seconds: float) -> None:
        """Note that a read in a connection's thread took so long."""
        if seconds < _SHORT_S:
            self._long.discard(sql)

    def _spend(self, begun: float, loop: asyncio.AbstractEventLoop) -> None:
        if not self._spent_s:
            loop.call_soon(self._turned)
        self._spent_s += time.perf_counter() - begun

    def _turned(self) -> None:
        self._spent_s = 0.0


class _Job:
    """One call in a connection's thread, and the way back of what it returns.

    The loop's thread waits for the lock `done`. The call may end in the moment in
    which it gives that up; the lock `_claim` decides: if the loop's thread has it, the
    end of the call wakes the loop, otherwise it releases `done`.
    """

    __slots__ = ("_claim", "_error", "_future", "_result", "done")

    def __init__(self) -> None:
        self.done = threading.Lock()
        self.done.acquire()
        self._claim = threading.Lock()
        self._future: Future | None = None
        self._result: Any = None
        self._error: BaseException | None = None

    def end(self, result: Any, error: BaseException | None) -> None:
        """Say what came of the call; the connection's thread does so."""
        self._result, self._error = result, error
        if self._claim.acquire(blocking=False):
            self.done.release()
        elif self._future is not None:
            _tell(self._future, None, None)

    async def ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait for the end of the call without holding up the loop."""
        self._future = loop.create_future()
        if self._claim.acquire(blocking=False):
            await self._future
        else:
            self.done.acquire()

    def take(self) -> Any:
        """Return what the call returned, or raise what it raised; once."""
        error, self._error = self._error, None
        if error is None:
            result, self._result = self._result, None
            return result
        try:
            raise error
        finally:
            del error  # its traceback holds this frame


class _Calls(SimpleQueue[Any]):
    """What is to be done in a connection's thread: who waits, a job or a future, and the call.

    Each number has one thread that writes it: `made` the loop's, `ended` the connection's.
    """

    made = 0
    ended = 0

    @property
    def idle(self) -> bool:
        """Whether all calls have ended, so that another thread may use the connection."""
        return self.made == self.ended

    def put_nowait(self, item: Any) -> None:
        self.made += 1
        super().put_nowait(item)


def _work(calls: _Calls) -> None:
    """Make the calls of one connection, in order, until it is stopped."""
    result = None
    while result is not _STOP:
        result = None  # keeps the last call's rows no longer than necessary
        waiting, call = calls.get()
        error: BaseException | None = None
        try:
            result = call()
        except BaseException as caught:  # noqa: BLE001 - raised again where it is awaited
            error = caught
        calls.ended += 1
        if isinstance(waiting, _Job):
            waiting.end(result, error)
        elif waiting is not None:
            _tell(waiting, result, error)
        del waiting, call, error


def _tell(future: Future, result: Any, error: BaseException | None) -> None:
    try:
        future.get_loop().call_soon_threadsafe(_settle, future, result, error)
    except RuntimeError:  # the loop is closed, so nobody waits any more
        return


def _settle(future: Future, result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class Connection(aiosqlite.Connection):
    """aiosqlite's connection, with a shorter way to its thread for our own calls.

    All calls, SQLAlchemy's too, run in the order in which they were made.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection], patience: Patience) -> None:
        """Prepare the thread; awaiting the connection starts it."""
        super().__init__(connector, iter_chunk_size=64)
        self.left = False
        """Whether a caller was cancelled: what it left behind is only undone by closing."""
        self.read_only = False
        """Whether SQLAlchemy's transactions here only read."""
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()
        self._patience = patience
        self._tx = self._calls = _Calls()
        self._thread = threading.Thread(target=_work, args=(self._calls,), daemon=True)

    @property
    def open(self) -> bool:
        """Whether calls are possible."""
        return self._running and self._connection is not None

    @property
    def raw(self) -> sqlite3.Connection:
        """The connection itself, for calls in its thread."""
        return self._conn

    @property
    def caller(self) -> Any:
        """Who makes the changes; set between calls, read by triggers."""
        return self._conn.caller  # type: ignore[attr-defined]  # our own class of connection

    async def fetch(self, sql: str, args: Any, limit_s: float | None) -> list[Any]:
        """Run one statement and return its rows; interrupt it after the time limit.

        A short read runs in the loop's own thread, which saves the way to the
        connection's thread and back: as long as the read itself.
        """
        patience = self._patience
        if patience.may_run_here(sql):
            if patience.spent:
                await asyncio.sleep(0)
            if self.open and self._calls.idle:
                found = patience.run_here(self._conn, sql, args)
                if found is not None:
                    return found
        begun = time.perf_counter()
        rows: list[Any] = await self._run(partial(_fetch, self._conn, sql, args), limit_s)
        if patience.is_read(sql):
            patience.took(sql, time.perf_counter() - begun)
        return rows

    async def count(self, sql: str, args: Any, limit_s: float | None) -> int:
        """Run one statement and return how many records it touched."""
        return int(await self._run(partial(_count, self._conn, sql, args), limit_s))

    async def work(self, call: Callable[..., T], *args: Any) -> T:
        """Await a call in the connection's thread, with any number of statements on `raw`.

        The way there and back takes as long as many a statement.
        """
        found: T = await self._run(partial(call, *args), None)
        return found

    async def run_plain(self, statements: Sequence[str]) -> None:
        """Run statements without rows, one after the other."""
        await self._run(partial(_run_plain, self._conn, statements), None)

    async def close(self) -> None:
        """Close the connection after what is queued; without waiting, if a caller has left."""
        if self.left:
            self.stop()
        else:
            await super().close()

    async def _execute(self, fn: Callable[..., T], *args: Any, **options: Any) -> T:
        """Make one of SQLAlchemy's calls."""
        try:
            found: T = await super()._execute(fn, *args, **options)  # type: ignore[no-untyped-call]  # aiosqlite's own
        except asyncio.CancelledError:
            self.leave()
            raise
        if isinstance(found, sqlite3.Cursor):
            self._cursors.add(found)
        return found

    def leave(self) -> None:
        """Interrupt until the connection is closed: its thread may not have begun yet."""
        if not self.left:
            self.left = True
            self._keep_interrupting()

    def _keep_interrupting(self) -> None:
        if self.interrupt_now():
            asyncio.get_running_loop().call_later(_AGAIN_S, self._keep_interrupting)

    def interrupt_now(self) -> bool:
        """Stop the statement that is running; return False if the connection is closed."""
        try:
            self.raw.interrupt()
        except (ValueError, sqlite3.ProgrammingError):  # its thread has closed it
            return False
        return True

    def stop(self) -> Future | None:
        """Close the connection and end its thread, after what is queued.

        Returns:
            A future for the end; None outside an event loop, as in garbage collection.
        """
        self._running = False
        try:
            future = asyncio.get_running_loop().create_future()
        except RuntimeError:
            future = None
        self._tx.put_nowait((future, self._close_in_thread))
        return future

    def _close_in_thread(self) -> Any:
        if self._connection is not None:
            # A traceback may hold statements; until they end, SQLite keeps locks, and says
            # to everything that it was interrupted.
            with suppress(sqlite3.Error):
                for cursor in list(self._cursors):
                    cursor.close()
                self._connection.rollback()
            self._connection.close()
            self._connection = None
        return _STOP

    async def _run(self, call: Call, limit_s: float | None) -> Any:
        """Make a call in the connection's thread."""
        patience = self._patience
        if patience.spent:
            await asyncio.sleep(0)
        if not self.open:
            raise ValueError("Connection closed")  # as aiosqlite says it
        loop, job = asyncio.get_running_loop(), _Job()
        patience.running += 1
        try:
            self._calls.put_nowait((job, call))
            if not patience.wait(job, loop):
                await self._wait(job, loop, limit_s)
        except asyncio.CancelledError:
            self.leave()
            raise
        finally:
            patience.running -= 1
        return job.take()

    async def _wait(
        self, job: _Job, loop: asyncio.AbstractEventLoop, limit_s: float | None
    ) -> None:
        timer = None if limit_s is None else loop.call_later(limit_s, self.interrupt_now)
        try:
            await job.ended(loop)
        finally:
            if timer is not None:
                timer.cancel()


def take_as_null(connection: sqlite3.Connection, function: str, triggers: Collection[str]) -> None:
    """Let a function yield NULL in some triggers from now on, without being called."""
    # SQLite compiles all statements anew for a new authorizer, but not without one.
    connection.set_authorizer(partial(_answer, function, triggers))
    if not triggers:
        connection.set_authorizer(None)


def _answer(function: str, triggers: Collection[str], *asked: Any) -> int:
    """Answer SQLite, which asks what a statement may do while it compiles it."""
    action, _, name, _, trigger = asked
    if action == sqlite3.SQLITE_FUNCTION and name == function and trigger in triggers:
        return sqlite3.SQLITE_IGNORE
    return sqlite3.SQLITE_OK


def _fetch(connection: sqlite3.Connection, sql: str, args: Any) -> list[Any]:
    return connection.execute(sql, args).fetchall()


def _count(connection: sqlite3.Connection, sql: str, args: Any) -> int:
    cursor = connection.execute(sql, args)
    try:
        return max(cursor.rowcount, 0)
    finally:
        cursor.close()  # a statement whose rows nobody reads would keep its lock


def _run_plain(connection: sqlite3.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(statement)


def open_connection(patience: Patience, database: str, **options: Any) -> Connection:
    """Return a connection to await, for SQLAlchemy's pool."""
    return Connection(partial(sqlite3.connect, database, **options), patience)
