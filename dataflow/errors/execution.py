"""Errors of the execution: retry or report."""

from __future__ import annotations

from typing import Any

from dataflow.errors.base import DataFlowError, ExecutionError

__all__ = [
    "CannotConnectError",
    "CircuitOpenError",
    "CleanupFailedError",
    "ConnectionLostError",
    "DatabaseBusyError",
    "DatabaseClosedError",
    "DeadlineExceededError",
    "DeadlockError",
    "NodeOutputError",
    "NodeTimeoutError",
    "PoolExhaustedError",
    "SerializationFailureError",
    "StatementTimeoutError",
    "TransactionClosedError",
    "UnresolvedReferenceError",
    "WorkflowFailedError",
]


class PoolExhaustedError(ExecutionError):
    """No connection became free in time."""

    code = "DF214"
    retryable = True
    outcome = "not_applied"
    text = (
        "no connection became free within {waited_s:g} s "
        "({size} in use, {waiting} waiting{holder})."
    )

    def advice(self) -> str:
        """Say which settings matter."""
        return "raise pool_size or max_overflow, shorten transactions, or raise pool_timeout_s"


class ConnectionLostError(ExecutionError):
    """The connection broke during the call; a write's outcome may be unknown."""

    code = "DF215"
    retryable = True
    outcome: str | None = "unknown"
    text = "the connection to the database was lost: {detail}"


class StatementTimeoutError(ExecutionError):
    """A statement took longer than its deadline."""

    code = "DF216"
    retryable = True
    outcome = "not_applied"
    text = "the statement did not finish within {timeout_s} s."


class SerializationFailureError(ExecutionError):
    """Concurrent transactions could not be ordered; run the transaction again."""

    code = "DF217"
    retryable = True
    outcome = "not_applied"
    text = "the transaction conflicts with a concurrent one: {detail}"


class DeadlockError(ExecutionError):
    """The database chose this transaction as the victim of a deadlock."""

    code = "DF218"
    retryable = True
    outcome = "not_applied"
    text = "the transaction was ended to resolve a deadlock: {detail}"


class DatabaseBusyError(ExecutionError):
    """SQLite's file stayed locked, or the server has no free connection slot."""

    code = "DF219"
    retryable = True
    outcome = "not_applied"
    text = "the database is busy: {detail}"


class CannotConnectError(ExecutionError):
    """No connection could be opened."""

    code = "DF220"
    retryable = True
    outcome = "not_applied"
    text = "cannot connect to {url}: {detail}"


class DatabaseClosedError(ExecutionError):
    """The DataFlow object was closed."""

    code = "DF221"
    outcome = "not_applied"
    text = "this DataFlow ({url}) is closed."


class TransactionClosedError(ExecutionError):
    """A transaction was used after its end, by work that outlived it."""

    code = "DF222"
    outcome = "not_applied"
    text = "the transaction has ended; this call outlived it and was not carried out."

    def advice(self) -> str:
        """Say how to avoid it."""
        return "await all work before the `with db.transaction()` block ends"


class CircuitOpenError(ExecutionError):
    """A circuit breaker lets no call through, because too many have failed."""

    code = "DF226"
    retryable = True
    outcome = "not_applied"
    text = "the circuit {name!r} is open after {failures} failures; next try in {wait_s:.1f} s."

    def advice(self) -> str:
        """Say how it closes."""
        return "it closes by itself when a call succeeds after that time"


class DeadlineExceededError(ExecutionError):
    """A call did not end before the deadline of its block."""

    code = "DF227"
    retryable = True
    text = "the call did not end before its deadline of {seconds:g} s."


class CleanupFailedError(ExecutionError):
    """Old records of one or more tenants could not be removed; those of the others were.

    Attributes:
        removed: `{model: how many records were removed}`.
        failures: `{tenant: exception}`; None stands for what tenants do not share.
    """

    code = "DF228"
    removed: dict[str, int]
    failures: dict[Any, BaseException]

    def problem_text(self) -> str:
        """Name each tenant with its error."""
        head = "some old records could not be removed; all others were."
        return "\n".join([head, *(_of_tenant(*failure) for failure in self.failures.items())])


class NodeTimeoutError(ExecutionError):
    """A node took longer than its timeout."""

    code = "DF301"
    retryable = True
    outcome: str | None = "unknown"
    text = "node {node!r} did not finish within {timeout_s:g} s."


class UnresolvedReferenceError(ExecutionError):
    """A connected output does not exist in what the source node returned."""

    code = "DF302"
    text = "node {node!r} needs {source}[{output!r}], but {reason}."


class WorkflowFailedError(ExecutionError):
    """One or more nodes of a run failed.

    Attributes:
        run_id: The run's id.
        results: `{node id: output}` of the nodes that finished.
        failures: `{node id: exception}` in order of failure.
        places: `{node id: "file:line"}` where each failed node was added.
    """

    code = "DF303"
    workflow: str
    run_id: str
    results: dict[str, Any]
    failures: dict[str, BaseException]
    places: dict[str, str]

    def problem_text(self) -> str:
        """Name each failed node with its error."""
        head = f"workflow {self.workflow!r}, run {self.run_id}: {len(self.failures)} failed."
        shown = (_failure(node, error, self.places[node]) for node, error in self.failures.items())
        return "\n".join([head, *shown])


class NodeOutputError(ExecutionError):
    """A node returned a dict with keys that are no names of outputs."""

    code = "DF304"
    text = "node {node!r} returned a dict with the key {key!r}, which is no text."

    def advice(self) -> str:
        """Say what keys are for."""
        return "give each output a name: {'name': value, …}"


def _of_tenant(owner: Any, error: BaseException) -> str:
    whose = "records without a tenant" if owner is None else f"tenant {owner!r}"
    text = str(error).replace("\n", "\n  ")
    return f"  {whose}: {type(error).__name__}: {text}"


def _failure(node: str, error: BaseException, place: str) -> str:
    head = f"  node {node!r}: {type(error).__name__}: "
    if isinstance(error, DataFlowError):
        return head + error.text_at(error.at or place).replace("\n", "\n  ")
    return head + str(error).replace("\n", "\n    ") + f"\n    at: {place}"
