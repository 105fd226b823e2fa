"""The application's database: `connect` says which; without a URL, `DATABASE_URL` does."""

from dataflow import DataFlow
from dataflow.repositories import DatabaseManager
from dataflow.repositories.sessions import (
    close_db,
    create_tables,
    get_engine,
    get_session,
    use_database,
)
from incident_response.base import BaseModel

__all__ = ["close_db", "connect", "create_tables", "get_engine", "get_session"]


def connect(url: str | None = None) -> DataFlow:
    """Let all sessions be of a database from now on; None: of the environment's."""
    manager = use_database(DatabaseManager(url, base=BaseModel))
    manager.register()
    return manager.db
