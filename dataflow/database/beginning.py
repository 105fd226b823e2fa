"""How SQLAlchemy's own transactions get an isolation level, or refuse writes."""

from __future__ import annotations

from typing import Any, NamedTuple

from dataflow.database.driver import Isolation

__all__ = ["Beginning", "beginning"]


class Beginning(NamedTuple):
    """What to ask of a connection.

    Attributes:
        options: Execution options, set before its transaction begins.
        first: A statement at the transaction's beginning, or None.
        last: A statement that undoes it, before the transaction's end.
    """

    options: dict[str, Any]
    first: str | None = None
    last: str | None = None


def beginning(dialect: str, isolation: Isolation | None, *, read_only: bool) -> Beginning:
    """Return what to ask of a connection of a dialect; SQLite is always serializable."""
    if dialect == "sqlite":
        if not read_only:
            return Beginning({})
        return Beginning(
            {"dataflow_read_only": True}, "PRAGMA query_only = ON", "PRAGMA query_only = OFF"
        )
    options: dict[str, Any] = {}
    if isolation is not None:
        options["isolation_level"] = isolation.replace("_", " ").upper()
    if read_only:
        options["postgresql_readonly"] = True
    return Beginning(options)
