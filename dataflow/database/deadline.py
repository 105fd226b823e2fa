"""A time limit for all calls inside a block, whatever they wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Token
from typing import Any, Self, TypeVar

from dataflow.context import Deadline, deadline
from dataflow.errors import DeadlineExceededError, ParameterError, shown

__all__ = ["DeadlineBlock", "in_time", "within"]

T = TypeVar("T")


class DeadlineBlock:
    """`with db.deadline(seconds):`, also as `async with`; the earliest of nested ones holds."""

    def __init__(self, seconds: float) -> None:
        """Keep the time, which begins to run with the block."""
        if not isinstance(seconds, int | float) or not seconds > 0:
            raise ParameterError(problem=f"a deadline needs seconds > 0, not {shown(seconds)}.")
        self._seconds = seconds
        self._tokens: list[Token[Deadline | None]] = []

    def __enter__(self) -> Self:
        """Let the time run."""
        limit, outer = Deadline(time.monotonic() + self._seconds, self._seconds), deadline.get()
        self._tokens.append(deadline.set(limit if outer is None else min(outer, limit)))
        return self

    def __exit__(self, *error: object) -> None:
        """Bring back the limit before."""
        deadline.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        """Let the time run."""
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        """Bring back the limit before."""
        self.__exit__()


async def within(
    limit: Deadline, outcome: str | None, call: Callable[..., Awaitable[T]], *args: Any
) -> T:
    """Await `call(*args)` until the limit.

    Args:
        limit: The time left.
        outcome: What is known of a write that did not end in time.
        call: Whose work is cancelled at the limit; not called when that has passed.
        *args: Its arguments.

    Raises:
        DeadlineExceededError: At the limit.
    """
    left_s = limit.left_s
    if left_s <= 0:
        raise DeadlineExceededError(seconds=limit.seconds, outcome=outcome and "not_applied")
    scope = asyncio.timeout(left_s)
    try:
        async with scope:
            return await call(*args)
    except TimeoutError:
        if not scope.expired():
            raise
        raise DeadlineExceededError(seconds=limit.seconds, outcome=outcome) from None


async def in_time(outcome: str | None, call: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Await `call(*args)` until the caller's deadline, if there is one; see `within`."""
    limit = deadline.get()
    return await (call(*args) if limit is None else within(limit, outcome, call, *args))
