"""The caller's open transactions, one per database, carried by the context."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any

from dataflow.database.transaction import Level

__all__ = ["OpenTransactions", "activate", "open_transactions"]

OpenTransactions = Mapping[Any, Level]

open_transactions: ContextVar[OpenTransactions] = ContextVar(
    "dataflow_transactions", default=MappingProxyType({})
)


def activate(database: Any, transaction: Level) -> Token[OpenTransactions]:
    """Make a transaction the caller's current one; the token undoes it."""
    return open_transactions.set(
        MappingProxyType({**open_transactions.get(), database: transaction})
    )
