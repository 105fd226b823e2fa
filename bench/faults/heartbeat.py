"""How long the event loop keeps a task waiting for its turn."""

from __future__ import annotations

import asyncio
import time
from typing import Self

GAP_MS = 250


class Heartbeat:
    """A task that asks for its turn all the time and notes the longest wait."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    async def _beat(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            self.longest_ms = max(self.longest_ms, (now - last) * 1e3)
            last = now

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        await asyncio.sleep(0)  # its clock runs before the work begins
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
