"""Time-ordered identifiers for runs and UUID keys."""

from __future__ import annotations

import os
import threading
import time
import uuid

__all__ = ["uuid7"]

_FRACTIONS = 1 << 12
"""Parts of a millisecond that a value tells apart, each of 244 ns."""


class _Clock:
    """Counts fractions of milliseconds since 1970, each number once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        """Return a number above all that were returned before in this process."""
        now = time.time_ns() * _FRACTIONS // 1_000_000
        with self._lock:
            self._last = max(now, self._last + 1)
            return self._last


_clock = _Clock()
os.register_at_fork(after_in_child=_clock.__init__)  # type: ignore[misc]  # the lock may be held by a thread of the parent


def uuid7() -> uuid.UUID:
    """Return a version 7 UUID: Unix milliseconds, a fraction of one, random bits.

    Source: RFC 9562, section 5.7 and method 3 of section 6.2: 48 bits of milliseconds, 12
    bits of their fraction, 62 random bits. Values of one process sort in the order in
    which they were made; those of several sort by time.
    """
    milliseconds, fraction = divmod(_clock.next(), _FRACTIONS)
    value = milliseconds << 80 | 0x7 << 76 | fraction << 64
    value |= 0x2 << 62 | int.from_bytes(os.urandom(8)) >> 2
    return uuid.UUID(int=value)
