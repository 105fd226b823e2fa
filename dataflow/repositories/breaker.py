"""`CircuitBreaker`: after many failures, calls fail at once for a while."""

from __future__ import annotations

import functools
import importlib
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, Self, TypeVar, cast

from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    MultipleResultsFound,
    NoResultFound,
    ProgrammingError,
)

from dataflow.errors import (
    CircuitOpenError,
    ConfigurationError,
    DatabaseError,
    DefinitionError,
    MissingExtraError,
)

__all__ = ["CircuitBreaker"]

F = TypeVar("F", bound=Callable[..., Any])
State = Literal["closed", "open", "half-open"]
_ANSWERS = (
    DefinitionError, DatabaseError, IntegrityError, DataError, ProgrammingError,
    MultipleResultsFound, NoResultFound,
)  # fmt: skip
"""Errors that only a database in good health can give."""
_MISTAKES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError,
)  # fmt: skip
"""Errors of the program that calls it."""
_STATES: dict[str, State] = {"closed": "closed", "opened": "open", "half-opened": "half-open"}


def _check(failure_threshold: Any, recovery_timeout: Any, name: Any) -> None:
    counts = isinstance(failure_threshold, int) and failure_threshold >= 1
    waits = isinstance(recovery_timeout, int | float) and recovery_timeout >= 0
    if not counts or not waits or not isinstance(name, str):
        raise ConfigurationError(
            problem="CircuitBreaker needs a whole failure_threshold ≥ 1, a recovery_timeout ≥ 0 "
            "and a text as name."
        )


class CircuitBreaker:
    """Opens after failures in a row, and tries one call again after a time.

    It is a decorator for functions and coroutine functions, and a block for `with`
    and `async with`. All that it decorates counts together, in all threads.

    Args:
        failure_threshold: Failures in a row after which it opens. Errors in the data
            or in the program, such as a `UniqueViolationError` or a `KeyError`, are none.
        recovery_timeout: Seconds until the next call is let through; if that succeeds,
            the circuit closes.
        name: For the error's text.

    Raises:
        ConfigurationError: For other numbers, and for a name that is no text.
        MissingExtraError: If purgatory is not installed.
    """

    def __init__(
        self, failure_threshold: int = 5, recovery_timeout: float = 60.0, name: str = "database"
    ) -> None:
        """Begin closed."""
        _check(failure_threshold, recovery_timeout, name)
        try:
            purgatory = importlib.import_module("purgatory")
        except ModuleNotFoundError:
            raise MissingExtraError(feature="CircuitBreaker", extra="resilience") from None
        self._threshold = failure_threshold
        self._recovery_s = recovery_timeout
        self._name = name
        self._open: type[Exception] = importlib.import_module("purgatory.domain.model").OpenedState
        factory = purgatory.SyncCircuitBreakerFactory(
            default_threshold=failure_threshold,
            default_ttl=recovery_timeout,
            exclude=[*_ANSWERS, *_MISTAKES],
        )
        self._breaker: Any = factory.get_breaker(name)
        self._lock = threading.Lock()
        self._trying = False

    @property
    def state(self) -> State:
        """`"closed"`, `"open"`, or `"half-open"` while a call is tried."""
        return _STATES[self._breaker.context.state]

    def __enter__(self) -> Self:
        """Let the caller through.

        Raises:
            CircuitOpenError: If the circuit is open, or another call is being tried.
        """
        with self._lock:
            if self.state == "half-open" and self._trying:
                raise self._refusal()
            try:
                self._breaker.__enter__()
            except self._open:
                raise self._refusal() from None
            self._trying = self.state == "half-open"
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Count the failure, or the success; a cancelled call is neither."""
        with self._lock:
            self._trying = False
            if error is None or isinstance(error, Exception):
                self._breaker.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        """Let the caller through; see `__enter__`."""
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Count the failure, or the success."""
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Decorate a function, or a coroutine function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("F", coroutine)

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return cast("F", plain)

    def _refusal(self) -> CircuitOpenError:
        opened = self._breaker.context.opened_at
        wait_s = 0.0 if opened is None else max(0.0, opened + self._recovery_s - time.time())
        return CircuitOpenError(name=self._name, failures=self._threshold, wait_s=wait_s)
