"""Whole transactions, run again when they meet others or lose their connection."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict, TypeVar, Unpack

from dataflow.database.again import Repeats, repeat
from dataflow.database.database import Database
from dataflow.database.driver import Isolation
from dataflow.errors import ExecutionError, ParameterError, TransactionAbortedError, shown

__all__ = ["TransactionOptions", "rerun", "rerun_blocking"]

T = TypeVar("T")


class TransactionOptions(TypedDict, total=False):
    """Options of a transaction that begins anew with each try."""

    isolation: Isolation | None
    read_only: bool


async def rerun(
    database: Database,
    work: Callable[..., Awaitable[T]],
    *args: Any,
    **options: Unpack[TransactionOptions],
) -> T:
    """Await `work(*args)` in a transaction, again and again while it fails in passing.

    Inside an open transaction it runs once, as a part of that.

    Raises:
        ParameterError: For what cannot be called, or gives nothing to await.
    """
    if not callable(work):
        raise _nothing_to_await(work)

    async def once() -> T:
        try:
            async with database.transaction(**options):
                running = work(*args)
                if not inspect.isawaitable(running):
                    raise _nothing_to_await(work)
                return await running
        except TransactionAbortedError as error:
            raise _reason(error) from error.__cause__

    try:
        return await once()
    except ExecutionError as error:
        if database.current() is not None:
            raise
        return await repeat(database.driver, error, once)


def rerun_blocking(
    database: Database,
    work: Callable[..., T],
    *args: Any,
    **options: Unpack[TransactionOptions],
) -> T:
    """Do the same for sync callers.

    Raises:
        ParameterError: For a coroutine function, which nothing here would await, and for
            what cannot be called.
    """
    if not callable(work):
        raise ParameterError(
            problem=f"run_transaction calls a function, not {shown(work)}.",
            advise="db.run_transaction(work, *args), where work calls methods of db",
        )
    if inspect.iscoroutinefunction(work):
        raise ParameterError(
            problem="run_transaction calls functions, and got a coroutine function.",
            advise="await db.aio.run_transaction(…)",
        )
    repeats = Repeats(database.driver)
    while True:
        try:
            with database.transaction(**options):
                return work(*args)
        except (ExecutionError, TransactionAbortedError) as error:
            found = _reason(error)
            if database.current() is not None or not isinstance(found, ExecutionError):
                raise
            pause_s = repeats.pause_after(found)
        time.sleep(pause_s)


def _nothing_to_await(work: Any) -> ParameterError:
    return ParameterError(
        problem=f"aio.run_transaction awaits a coroutine function, not {shown(work)}.",
        advise="await db.aio.run_transaction(work, *args), where work is an async def",
    )


def _reason(error: Exception) -> Exception:
    """Return the failure behind a transaction that was ended because of it."""
    cause = error.__cause__
    aborted = isinstance(error, TransactionAbortedError)
    return cause if aborted and isinstance(cause, ExecutionError) else error
