"""Bulk inserts in parts, so that this process and the server's triggers work at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Any

__all__ = ["copy_in_parts"]

_FIRST, _LARGEST = 1_000, 10_000
"""Rows of a part; the first ones are small, for the server to begin early."""
_STEP = 1_000
"""Rows that are taken between two turns of the event loop: taking validates them."""

Row = tuple[Any, ...]


async def copy_in_parts(copy: Callable[[list[Row]], Awaitable[None]], rows: Iterator[Row]) -> None:
    """Insert rows, taking the next part of them while the server is busy with one.

    Args:
        copy: Inserts some rows.
        rows: All of them; may raise when the next is taken.
    """
    size = _FIRST
    part = await _taken(rows, size)
    while part:
        size = min(2 * size, _LARGEST)
        copying = asyncio.ensure_future(copy(part))
        try:
            part = await _taken(rows, size)
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)
            raise
        await copying


async def _taken(rows: Iterator[Row], size: int) -> list[Row]:
    found: list[Row] = []
    while len(found) < size and (some := list(islice(rows, min(_STEP, size - len(found))))):
        found += some
        await asyncio.sleep(0)
    return found
