"""Threads for nodes that block."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

__all__ = ["Threads", "threads"]

MOST_THREADS = 1_000
"""Idle threads are used first. The bound is high because a node may wait in its thread
for another workflow, whose nodes need threads too."""


class Threads:
    """A pool of threads that starts at first use, and again in a forked child."""

    def __init__(self) -> None:
        """Prepare; no thread starts."""
        self._pool: ThreadPoolExecutor | None = None
        os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        self._pool = None

    async def run(self, function: Callable[..., Any], /, **inputs: Any) -> Any:
        """Call a function in a thread, with the caller's context, and return its result."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="dataflow-node")
        context, call = contextvars.copy_context(), partial(function, **inputs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(_ended, call))


def _ended(call: Callable[[], Any]) -> Any:
    """Make a call; a future cannot carry `StopIteration`, and who awaits it would wait for ever."""
    try:
        return call()
    except StopIteration as error:
        raise RuntimeError("the function raised StopIteration") from error


threads = Threads()
