"""The application's database: `DATABASE_URL` and its like, or `use_database`, say which."""

from dataflow.repositories import DatabaseManager
from dataflow.repositories.sessions import (
    async_session_factory,
    check_db_connection,
    create_tables,
    dispose_engine,
    get_db,
    use_database,
)
from ta_generator.models import Base

__all__ = [
    "async_session_factory",
    "check_db_connection",
    "connect",
    "create_tables",
    "dispose_engine",
    "get_db",
]


def connect(url: str | None = None) -> DatabaseManager:
    """Let all sessions be of a database from now on; None: of the environment's."""
    return use_database(DatabaseManager(url, base=Base))
