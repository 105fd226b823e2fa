"""PostgreSQL's errors, told in ours; the SQLSTATE decides.

Source: PostgreSQL manual, appendix A.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dataflow.config import DataFlowConfig
from dataflow.database.postgres_triggers import REFUSED
from dataflow.database.url import Address
from dataflow.errors import (
    AppendOnlyError,
    CannotConnectError,
    CheckViolationError,
    ConnectionLostError,
    DatabaseBusyError,
    DataFlowError,
    DataValueError,
    DeadlockError,
    ForeignKeyViolationError,
    NotNullViolationError,
    SchemaDriftError,
    SerializationFailureError,
    StatementError,
    StatementTimeoutError,
    TransactionAbortedError,
    UniqueViolationError,
)
from dataflow.models.tenancy import without_tenant

__all__ = ["translate_error"]

_REFUSAL = re.compile(r"model (?P<model>\S+) is append-only: (?P<verb>\w+)")
_KEY = re.compile(r"Key \((?P<columns>.+?)\)=")


def _text(error: Any) -> str:
    return str(error).partition("\n")[0]


def _unique(error: Any) -> DataFlowError:
    found = _KEY.search(getattr(error, "detail", None) or "")
    fields = _columns(found) if found else error.constraint_name
    return UniqueViolationError(
        table=error.table_name, fields=fields, constraint=error.constraint_name
    )


def _columns(found: re.Match[str]) -> str:
    names = [name.strip() for name in found["columns"].replace('"', "").split(",")]
    return ", ".join(without_tenant(names))


def _foreign_key(error: Any) -> DataFlowError:
    found = _KEY.search(getattr(error, "detail", None) or "")
    columns = _columns(found) if found else error.constraint_name
    missing = "not present" in (getattr(error, "detail", None) or "")
    detail = (
        f"the value of {columns} refers to no record."
        if missing
        else f"the record's {columns} is still referred to."
    )
    return ForeignKeyViolationError(
        table=error.table_name,
        detail=detail,
        fields=columns if found and missing else None,
        constraint=error.constraint_name,
    )


def _append_only(error: Any) -> DataFlowError:
    found = _REFUSAL.search(str(error))
    model, verb = (found["model"], found["verb"]) if found else (error.table_name, "a change")
    return AppendOnlyError(model=model, verb=verb)


_BY_STATE: dict[str, Callable[[Any], DataFlowError]] = {
    "23505": _unique,
    "23P01": _unique,
    "23503": _foreign_key,
    "23502": lambda e: NotNullViolationError(field=e.column_name, table=e.table_name),
    "23514": lambda e: CheckViolationError(constraint=e.constraint_name, table=e.table_name),
    "40001": lambda e: SerializationFailureError(detail=_text(e)),
    "40P01": lambda e: DeadlockError(detail=_text(e)),
    REFUSED: _append_only,
    "42P01": lambda e: SchemaDriftError(problem=f"{_text(e)}."),
    "42703": lambda e: SchemaDriftError(problem=f"{_text(e)}."),
    "53300": lambda e: DatabaseBusyError(detail=_text(e)),
    "25P02": lambda e: TransactionAbortedError(cause=_text(e), ended=False),
    "55P03": lambda e: DatabaseBusyError(detail=_text(e)),
    "57P03": lambda e: DatabaseBusyError(detail=_text(e)),
    "57P01": lambda e: ConnectionLostError(detail=_text(e)),
    "57P02": lambda e: ConnectionLostError(detail=_text(e)),
}
_BY_CLASS: dict[str, Callable[[Any], DataFlowError]] = {
    "08": lambda e: ConnectionLostError(detail=_text(e)),
    "22": lambda e: DataValueError(detail=_text(e)),
}
_CONNECT_STATES = ("28P01", "28000", "3D000")


def translate_error(
    error: BaseException, address: Address, config: DataFlowConfig
) -> DataFlowError:
    """Return our error for one of asyncpg's, or of the network below it."""
    state: str = getattr(error, "sqlstate", None) or ""
    make = _BY_STATE.get(state) or _BY_CLASS.get(state[:2])
    if make is not None:
        found = make(error)
        if state.startswith("23"):
            error.detail = None  # type: ignore[attr-defined]  # holds values, which may be secret
        return found
    if state in _CONNECT_STATES:
        advice = "check user, password and name; in a URL write '@' as %40 and '/' as %2F"
        return CannotConnectError(
            url=str(address), detail=f"{_text(error)}.", advise=advice, retryable=False
        )
    if state == "57014":
        return StatementTimeoutError(timeout_s=config.statement_timeout_s)
    if isinstance(error, TimeoutError):  # asyncpg's own: the server may have been faster
        return StatementTimeoutError(timeout_s=config.statement_timeout_s, outcome="unknown")
    return _translate_stateless(error, state, address)


def _translate_stateless(error: BaseException, state: str, address: Address) -> DataFlowError:
    if isinstance(error, ConnectionRefusedError | FileNotFoundError) or _is_lookup(error):
        return CannotConnectError(
            url=str(address), detail=f"{_text(error)}.", advise="is the server running there?"
        )
    if _is_unsent(error):
        return ConnectionLostError(detail=_text(error), outcome="not_applied")
    if isinstance(error, OSError) or _is_closed(error):
        return ConnectionLostError(detail=_text(error))
    if type(error).__name__ == "InvalidCachedStatementError":
        return SerializationFailureError(detail="a table was altered meanwhile.")
    if type(error).__name__ == "DataError":
        return DataValueError(detail=_text(error))
    return StatementError(detail=_text(error), sqlstate=state)


def _is_lookup(error: BaseException) -> bool:
    return type(error).__name__ == "gaierror"


def _is_unsent(error: BaseException) -> bool:
    # asyncpg says these before it sends anything; the second when the server has spoken
    # its last word between two statements.
    text = str(error)
    return text.endswith("connection is closed") or text.startswith("cannot switch to state")


def _is_closed(error: BaseException) -> bool:
    # asyncpg reports a terminated session as an InterfaceError or InternalClientError.
    confused = type(error).__name__ == "InternalClientError"
    return confused or (not getattr(error, "sqlstate", None) and "clos" in str(error))
