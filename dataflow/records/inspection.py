"""Looking at a query instead of running it: its SQL, and the database's plan for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from dataflow.errors import ParameterError
from dataflow.records.aggregates import aggregate_of
from dataflow.records.listing import ListRequest
from dataflow.records.store import Store

__all__ = ["Sql", "explain", "sql_of"]


class Sql(NamedTuple):
    """A statement as the driver gets it; `text, args = query.sql()`.

    Attributes:
        args: Values of the parameters, in the driver's types. Secrets are among them.
    """

    text: str
    args: tuple[Any, ...]


def sql_of(store: Store, request: ListRequest, pipeline: Any = None) -> Sql:
    """Return the statement of a list call, or of a pipeline over its filter."""
    if pipeline is None:
        prepared, args = store.pages.statement(request)
        return Sql(prepared.sql, tuple(args))
    aggregate = aggregate_of(store, request.where, pipeline)
    return Sql(aggregate.prepared.sql, tuple(aggregate.prepared.args(aggregate.values)))


async def explain(store: Store, sql: Sql, *, analyze: bool = False) -> list[str]:
    """Return the lines of the database's plan.

    Args:
        store: Where the statement would run.
        sql: The statement.
        analyze: Run it, and show what it took; PostgreSQL only.

    Raises:
        ParameterError: For `analyze` on a database that has no such plan.
    """
    await store.ready()
    driver = store.database.driver
    words = driver.explain_words
    if analyze and not driver.estimates:
        raise ParameterError(problem=f"explain(analyze=True) is not known on {driver.name}.")
    options = " (ANALYZE, BUFFERS)" if analyze else ""
    rows = await store.database.fetch(f"{words}{options} {sql.text}", sql.args)
    return [str(row[-1]) for row in rows]
