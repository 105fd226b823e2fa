"""SQLite's errors, told in ours; the extended result code decides.

Source: https://www.sqlite.org/rescode.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from dataflow.config import DataFlowConfig
from dataflow.database.sqlite_triggers import REFUSED
from dataflow.database.url import Address
from dataflow.errors import (
    AppendOnlyError,
    CannotConnectError,
    CheckViolationError,
    ConnectionLostError,
    DatabaseBusyError,
    DataFlowError,
    DataValueError,
    ForeignKeyViolationError,
    NotNullViolationError,
    SchemaDriftError,
    StatementError,
    StatementTimeoutError,
    UniqueViolationError,
)
from dataflow.models.tenancy import without_tenant

__all__ = ["translate_error"]


def _names(error: BaseException) -> tuple[str, tuple[str, ...]]:
    """Read `UNIQUE constraint failed: users.email, users.name`."""
    columns = str(error).rpartition(": ")[2].split(", ")
    table = columns[0].partition(".")[0]
    return table, tuple(column.rpartition(".")[2] for column in columns)


def _unique(error: BaseException) -> DataFlowError:
    table, fields = _names(error)
    names = ", ".join(without_tenant(fields))
    return UniqueViolationError(table=table, fields=names, constraint=None)


def _not_null(error: BaseException) -> DataFlowError:
    table, fields = _names(error)
    return NotNullViolationError(field=fields[0], table=table)


def _foreign_key(error: BaseException) -> DataFlowError:
    del error
    detail = "a value refers to no record, or the record is still referred to."
    return ForeignKeyViolationError(table=None, detail=detail, constraint=None)


def _check(error: BaseException) -> DataFlowError:
    return CheckViolationError(constraint=str(error).rpartition(": ")[2], table=None)


def _refused(error: BaseException) -> DataFlowError:
    place, _, verb = str(error).removeprefix(REFUSED).partition(": ")
    if not str(error).startswith(REFUSED):  # a trigger of someone else
        return StatementError(detail=str(error), sqlstate="SQLITE_CONSTRAINT_TRIGGER")
    return AppendOnlyError(model=place, verb=verb)


_BY_NAME: dict[str, Callable[[BaseException], DataFlowError]] = {
    "SQLITE_CONSTRAINT_UNIQUE": _unique,
    "SQLITE_CONSTRAINT_PRIMARYKEY": _unique,
    "SQLITE_CONSTRAINT_ROWID": _unique,
    "SQLITE_CONSTRAINT_NOTNULL": _not_null,
    "SQLITE_CONSTRAINT_FOREIGNKEY": _foreign_key,
    "SQLITE_CONSTRAINT_CHECK": _check,
    "SQLITE_CONSTRAINT_TRIGGER": _refused,
    "SQLITE_MISMATCH": lambda e: DataValueError(detail=str(e)),
    "SQLITE_TOOBIG": lambda e: DataValueError(detail=str(e)),
}
_BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
_CLOSED = ("no active connection", "connection closed")
_DRIFT = ("no such table", "no such column", "has no column")
_UNUSABLE = ("SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_FULL")


def translate_error(
    error: BaseException, address: Address, config: DataFlowConfig
) -> DataFlowError | None:
    """Return our error for one of sqlite3's or aiosqlite's, or None if it is neither."""
    name: str = getattr(error, "sqlite_errorname", None) or ""
    if name in _BY_NAME:
        return _BY_NAME[name](error)
    if name.startswith(_BUSY):
        return DatabaseBusyError(detail=str(error))
    if name == "SQLITE_INTERRUPT":
        return StatementTimeoutError(timeout_s=config.statement_timeout_s)
    if name.startswith(_UNUSABLE):
        return CannotConnectError(url=str(address), detail=f"{error}.", retryable=False)
    return _translate_text(error, name)


def _translate_text(error: BaseException, name: str) -> DataFlowError | None:
    """Judge by the text where SQLite gives only its general code."""
    text = str(error)
    if text.lower() in _CLOSED or "closed database" in text:
        return ConnectionLostError(detail=text)
    if any(phrase in text for phrase in _DRIFT):
        return SchemaDriftError(problem=f"{text}.")
    if text == "integer overflow":
        return DataValueError(detail=text)
    if isinstance(error, sqlite3.Error):
        return StatementError(detail=text, sqlstate=name)
    if isinstance(error, OverflowError | UnicodeEncodeError):
        return DataValueError(detail=text)
    return None
