"""`Turnstile`: lets a crowd of runs begin a few at a time, so that the loop stays alive."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Turnstile"]

STARTS_PER_TURN = 25
"""Runs that may begin in one turn of the event loop; each costs about 0.1 ms."""


class Turnstile:
    """Admits callers of one event loop in order of arrival."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin open."""
        self._loop = loop
        self._started = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Return at once, or in a later turn when many begin together."""
        if not self._started:
            self._loop.call_soon(self._next_turn)
        if self._started < STARTS_PER_TURN:
            self._started += 1
            return
        waiter = self._loop.create_future()
        self._waiting.append(waiter)
        await waiter

    def _next_turn(self) -> None:
        self._started = 0
        while self._waiting and self._started < STARTS_PER_TURN:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._started += 1
        if self._started:
            self._loop.call_soon(self._next_turn)
