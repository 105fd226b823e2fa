"""Retry policies: which errors, how often, after which pauses."""

import asyncio
import importlib
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError

from dataflow.errors import (
    ConfigurationError,
    ConnectionLostError,
    DeadlockError,
    MissingExtraError,
    UniqueViolationError,
)
from dataflow.repositories import RetryPolicy, RetryStrategy, with_retry

QUICK = RetryPolicy(max_attempts=3, base_delay=0.0)


def failing(*errors: BaseException):
    left = list(errors)

    def work(value: int) -> int:
        if left:
            raise left.pop(0)
        return value

    return work


def busy() -> OperationalError:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorname = "SQLITE_BUSY"
    return OperationalError("UPDATE", {}, cause)


def of_state(state: str) -> OperationalError:
    cause = Exception("refused")
    cause.sqlstate = state  # type: ignore[attr-defined]
    return OperationalError("UPDATE", {}, cause)


PASSING = [
    DeadlockError(detail="x"),
    ConnectionLostError(detail="x", outcome="not_applied"),
    busy(),
    of_state("40001"),
    of_state("40P01"),
    OperationalError("SELECT", {}, Exception("closed"), connection_invalidated=True),
    ConnectionRefusedError("no"),
]
LASTING = [
    ConnectionLostError(detail="x"),
    UniqueViolationError(table="t", fields="f"),
    IntegrityError("INSERT", {}, Exception("twice")),
    of_state("42601"),
    ValueError("mine"),
    TimeoutError(),
]


def names(errors: list[BaseException]) -> list[str]:
    return [type(error).__name__ for error in errors]


@pytest.mark.parametrize("error", PASSING, ids=names(PASSING))
def test_what_passes_is_tried_again(error: BaseException):
    assert with_retry(QUICK)(failing(error, error))(7) == 7


@pytest.mark.parametrize("error", LASTING, ids=names(LASTING))
def test_all_else_leaves_at_once_as_it_is(error: BaseException):
    with pytest.raises(type(error)) as found:
        with_retry(QUICK)(failing(error))(7)

    assert found.value is error


def test_the_last_error_leaves_when_the_tries_are_used_up():
    errors = [DeadlockError(detail=str(number)) for number in range(3)]

    with pytest.raises(DeadlockError) as found:
        with_retry(QUICK)(failing(*errors))(7)

    assert found.value is errors[-1]


def test_coroutine_functions_are_awaited_again():
    plain = failing(DeadlockError(detail="x"))

    @with_retry(QUICK)
    async def work(value: int) -> int:
        """Work."""
        return plain(value)

    assert (asyncio.run(work(7)), work.__name__, work.__doc__) == (7, "work", "Work.")


def test_own_errors_may_be_told_to_pass():
    policy = RetryPolicy(base_delay=0.0, on=lambda error: isinstance(error, KeyError))

    assert with_retry(policy)(failing(KeyError()))(7) == 7


@pytest.mark.parametrize(
    ("strategy", "delays"),
    [
        (RetryStrategy.FIXED, [2.0, 2.0, 2.0, 2.0]),
        (RetryStrategy.LINEAR, [2.0, 4.0, 6.0, 7.0]),
        (RetryStrategy.EXPONENTIAL, [2.0, 4.0, 7.0, 7.0]),
        ("linear", [2.0, 4.0, 6.0, 7.0]),
    ],
)
def test_pauses_follow_the_strategy_up_to_the_longest(strategy: Any, delays: list[float]):
    policy = RetryPolicy(base_delay=2.0, strategy=strategy, jitter_ratio=0.0, max_delay=7.0)

    assert [policy.delay_after(attempt) for attempt in (1, 2, 3, 4)] == delays


@given(st.sampled_from(RetryStrategy), st.floats(0, 1), st.integers(1, 20))
def test_the_random_part_is_as_large_as_asked(strategy: RetryStrategy, ratio: float, attempt: int):
    steady = RetryPolicy(strategy=strategy, jitter_ratio=0.0).delay_after(attempt)

    delay = RetryPolicy(strategy=strategy, jitter_ratio=ratio).delay_after(attempt)

    assert abs(delay - steady) <= steady * ratio + 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": "3"},
        {"max_attempts": 2.5},
        {"base_delay": -1},
        {"base_delay": "0.1"},
        {"jitter_ratio": 2},
        {"jitter_ratio": float("nan")},
        {"max_delay": -1},
        {"max_delay": float("nan")},
        {"multiplier": -2.0},
        {"multiplier": None},
        {"strategy": "sometimes"},
        {"on": ConnectionLostError(detail="x")},
    ],
)
def test_wrong_numbers_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigurationError, match="RetryPolicy needs"):
        RetryPolicy(**wrong)


def test_a_decorator_without_its_call_is_refused():
    with pytest.raises(ConfigurationError, match="takes a RetryPolicy, not <function"):

        @with_retry  # type: ignore[arg-type]  # what is refused
        def work() -> None: ...


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'dataflow-nodes\[resilience\]'"):
        with_retry()(failing())


@pytest.mark.parametrize(("base", "longest"), [(0.5, 30.0), (0, 0)])
def test_a_pause_never_grows_beyond_the_longest(base: float, longest: float):
    for multiplier in (2, 2.0, 1e300):
        policy = RetryPolicy(base_delay=base, multiplier=multiplier, jitter_ratio=0)
        assert policy.delay_after(5_000) == longest
