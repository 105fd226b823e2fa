"""`RetryPolicy`: how often, and how patiently, a function of the caller's is tried again."""

from __future__ import annotations

import functools
import importlib
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, cast

from dataflow.database.again import is_passing
from dataflow.errors import ConfigurationError, MissingExtraError, shown

__all__ = ["RetryPolicy", "RetryStrategy", "with_retry"]

F = TypeVar("F", bound=Callable[..., Any])


class RetryStrategy(StrEnum):
    """How the pause grows from try to try."""

    FIXED = "fixed"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries and pauses of one function.

    Args:
        max_attempts: Tries in total, at least 1.
        base_delay: Seconds before the second try.
        strategy: How the pause grows after that.
        jitter_ratio: Random part of each pause, 0 to 1.
        max_delay: Longest pause.
        multiplier: By which `EXPONENTIAL` grows with each try.
        on: Tells whether an error is worth another try. Default: DataFlow's own if they
            are `retryable` and left no write's outcome unknown; SQLAlchemy's for lost
            connections, serialization failures, deadlocks and locks; refused connections.
    """

    max_attempts: int = 3
    base_delay: float = 0.1
    strategy: RetryStrategy = RetryStrategy.EXPONENTIAL
    jitter_ratio: float = 0.1
    max_delay: float = 30.0
    multiplier: float = 2.0
    on: Callable[[BaseException], bool] = is_passing

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not self._numbers_fit() or not callable(self.on):
            raise ConfigurationError(
                problem="RetryPolicy needs a whole max_attempts ≥ 1, delays and multiplier ≥ 0, "
                "jitter_ratio from 0 to 1, and a function as on."
            )
        if self.strategy not in list(RetryStrategy):
            names = ", ".join(RetryStrategy)
            raise ConfigurationError(
                problem=f"RetryPolicy needs a strategy of {names}, not {shown(self.strategy)}."
            )

    def _numbers_fit(self) -> bool:
        scales = (self.base_delay, self.max_delay, self.multiplier, self.jitter_ratio)
        return (
            isinstance(self.max_attempts, int)
            and self.max_attempts >= 1
            and all(isinstance(scale, int | float) and scale >= 0 for scale in scales)
            and self.jitter_ratio <= 1
        )

    def delay_after(self, attempt: int) -> float:
        """Return the seconds to wait after a try, counted from 1."""
        try:
            delay = min(self.base_delay * self._growth(attempt), self.max_delay)
        except OverflowError:
            delay = self.max_delay if self.base_delay else 0.0
        return delay * (1 + self.jitter_ratio * random.uniform(-1, 1))  # noqa: S311 - not a secret

    def _growth(self, attempt: int) -> float:
        strategy = RetryStrategy(self.strategy)
        if strategy is RetryStrategy.EXPONENTIAL:
            return self.multiplier ** (attempt - 1)
        return 1.0 if strategy is RetryStrategy.FIXED else float(attempt)

    def retrying(self, kind: str) -> Any:
        """Return tenacity's `Retrying` or `AsyncRetrying` for this policy.

        Raises:
            MissingExtraError: If tenacity is not installed.
        """
        try:
            tenacity = importlib.import_module("tenacity")
        except ModuleNotFoundError:
            raise MissingExtraError(feature="RetryPolicy", extra="resilience") from None
        return getattr(tenacity, kind)(
            stop=tenacity.stop_after_attempt(self.max_attempts),
            wait=lambda state: self.delay_after(state.attempt_number),
            retry=tenacity.retry_if_exception(self.on),
            reraise=True,
        )


def with_retry(policy: RetryPolicy | None = None) -> Callable[[F], F]:
    """Decorate a function, or a coroutine function, so that it is tried again.

    What it has done before it failed is done again, so it should be one transaction.
    The last error leaves it unchanged.

    Raises:
        ConfigurationError: For what is no policy, such as the function itself.
    """
    chosen = RetryPolicy() if policy is None else policy
    if not isinstance(chosen, RetryPolicy):
        raise ConfigurationError(
            problem=f"with_retry takes a RetryPolicy, not {shown(chosen)}.",
            advise="write @with_retry() or @with_retry(RetryPolicy(…))",
        )

    def decorate(function: F) -> F:
        if inspect.iscoroutinefunction(function):
            again = chosen.retrying("AsyncRetrying")

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                return await again.copy()(function, *args, **kwargs)

            return cast("F", coroutine)
        again = chosen.retrying("Retrying")

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return again.copy()(function, *args, **kwargs)

        return cast("F", plain)

    return decorate
