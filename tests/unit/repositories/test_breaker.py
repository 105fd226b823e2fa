"""The circuit breaker: closed, open, half-open."""

import asyncio
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy.exc import NoResultFound

from dataflow.errors import (
    CircuitOpenError,
    ConfigurationError,
    ConnectionLostError,
    MissingExtraError,
    UniqueViolationError,
)
from dataflow.repositories import CircuitBreaker

LOST = ConnectionLostError(detail="x")


def fail(breaker: CircuitBreaker, error: BaseException = LOST) -> None:
    with pytest.raises(type(error)), breaker:
        raise error


@pytest.mark.parametrize(
    "wrong",
    [
        {"failure_threshold": 0},
        {"failure_threshold": "5"},
        {"failure_threshold": 2.5},
        {"recovery_timeout": -1},
        {"recovery_timeout": "60"},
        {"recovery_timeout": float("nan")},
        {"name": 5},
    ],
)
def test_wrong_numbers_are_refused(wrong: dict[str, Any]):
    with pytest.raises(ConfigurationError, match="CircuitBreaker needs"):
        CircuitBreaker(**wrong)


def test_it_opens_after_failures_in_a_row():
    breaker = CircuitBreaker(failure_threshold=3)

    fail(breaker)
    fail(breaker)
    with breaker:
        pass
    fail(breaker)
    fail(breaker)
    assert breaker.state == "closed"
    fail(breaker)

    assert breaker.state == "open"
    with pytest.raises(CircuitOpenError) as found, breaker:
        raise AssertionError("let through")
    assert str(found.value).splitlines() == [
        "the circuit 'database' is open after 3 failures; next try in 60.0 s.",
        "  help: it closes by itself when a call succeeds after that time",
        "  code: DF226",
    ]
    assert (found.value.retryable, found.value.outcome) == (True, "not_applied")


def test_a_success_after_the_time_closes_it():
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1e-9)
    fail(breaker)

    with breaker:
        assert breaker.state == "half-open"
        with pytest.raises(CircuitOpenError), breaker:
            raise AssertionError("a second one was let through")

    assert breaker.state == "closed"


def test_a_failure_after_the_time_opens_it_again():
    breaker = CircuitBreaker(failure_threshold=3, recovery_timeout=1e-9)
    for _ in range(3):
        fail(breaker)

    fail(breaker)

    assert breaker.state == "open"


def test_a_cancelled_try_lets_the_next_one_through():
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1e-9)
    fail(breaker)

    fail(breaker, asyncio.CancelledError())
    assert breaker.state == "half-open"
    with breaker:
        pass

    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "error",
    [UniqueViolationError(table="t", fields="f"), NoResultFound(), KeyError("x"), ValueError("x")],
    ids=repr,
)
def test_errors_in_the_data_or_the_program_are_no_failures(error: Exception):
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1e-9)

    fail(breaker, error)
    assert breaker.state == "closed"

    fail(breaker, LOST)
    fail(breaker, error)
    assert breaker.state == "closed"


def test_functions_and_coroutine_functions_are_decorated():
    breaker = CircuitBreaker(failure_threshold=2)

    @breaker
    def plain(value: int) -> int:
        """Plain."""
        if value < 0:
            raise LOST
        return value

    @breaker
    async def coroutine(value: int) -> int:
        return plain(value)

    assert (plain(1), asyncio.run(coroutine(2)), plain.__doc__) == (1, 2, "Plain.")
    with pytest.raises(ConnectionLostError):
        asyncio.run(coroutine(-1))
    assert breaker.state == "open"


def test_blocks_in_coroutines():
    breaker = CircuitBreaker(failure_threshold=1)

    async def main() -> None:
        async with breaker:
            raise LOST

    with pytest.raises(ConnectionLostError):
        asyncio.run(main())
    assert breaker.state == "open"


def test_threads_count_together():
    breaker, start = CircuitBreaker(failure_threshold=400), threading.Barrier(8)

    def client() -> None:
        start.wait()
        for _ in range(50):
            fail(breaker)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(client) for _ in range(8)]:
            done.result()
    assert breaker.state == "open"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'dataflow-nodes\[resilience\]'"):
        CircuitBreaker()
