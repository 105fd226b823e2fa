"""The application's database: `connect` says which; without a URL, `DATABASE_URL` and its like."""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncSession

from dataflow.repositories import DatabaseManager
from dataflow.repositories.sessions import (
    async_session_factory,
    check_db_connection,
    create_tables,
    dispose_engine,
    get_db,
    get_session,
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
    "get_reader",
]


def connect(url: str | None = None) -> DatabaseManager:
    """Let all sessions be of a database from now on; None: of the environment's."""
    return use_database(DatabaseManager(url, base=Base))


async def get_reader() -> AsyncIterator[AsyncSession]:
    """Yield a session that only reads: on SQLite it waits for nobody who writes."""
    async with get_session(read_only=True) as session:
        yield session
