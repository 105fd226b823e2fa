"""`Retry`: how often, and how patiently, a failing node is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dataflow.errors import ConfigurationError, DataFlowError

__all__ = ["Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """Policy of one node.

    Args:
        attempts: Tries in total, at least 1.
        delay_s: Seconds before the second try.
        factor: By which the delay grows with each try.
        max_delay_s: Longest delay.
        jitter: Random part of each delay, 0 to 1.
        on: Exceptions worth a retry. DataFlow's own errors are retried only when
            they are `retryable` and did not leave a write's outcome unknown.
    """

    attempts: int = 3
    delay_s: float = 0.1
    factor: float = 2.0
    max_delay_s: float = 30.0
    jitter: float = 0.1
    on: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.attempts < 1 or min(self.delay_s, self.max_delay_s) < 0 or not 0 <= self.jitter <= 1:
            raise ConfigurationError(
                problem="Retry needs attempts ≥ 1, delays ≥ 0 and jitter from 0 to 1."
            )

    def wants(self, error: BaseException, attempt: int) -> bool:
        """Whether to try again after the given attempt, counted from 1."""
        if attempt >= self.attempts or not isinstance(error, self.on):
            return False
        if isinstance(error, DataFlowError):
            return error.retryable and error.outcome != "unknown"
        return True

    def delay_after(self, attempt: int) -> float:
        """Return seconds to wait after the given attempt."""
        delay = min(self.delay_s * self.factor ** (attempt - 1), self.max_delay_s)
        return delay * (1 + self.jitter * (random.random() * 2 - 1))  # noqa: S311 - not a secret
