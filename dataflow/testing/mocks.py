"""Repositories without a database to set up, for unit tests of what uses them.

They are no imitations: the records are in a database in memory of their own, so that
filters, pages, tenants and soft delete do what they do in production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

from dataflow.query.filters import EMPTY
from dataflow.repositories.async_repository import AsyncRepository
from dataflow.repositories.repository import Repository
from dataflow.testing.memory import InMemoryDatabase

__all__ = ["AsyncMockRepository", "MockRepository"]

T = TypeVar("T")


def _clear(repository: Repository[Any]) -> None:
    records, session = repository.records, repository.session
    session.rollback()
    for record in session.scalars(records.select(EMPTY, include_deleted=True)).all():
        records.remove(record)
    session.commit()


class MockRepository(Repository[T]):
    """A `Repository` whose records live as long as it does.

    Args:
        model: A model, or any class mapped by SQLAlchemy.
        tenant_id: Whose records it sees.
    """

    def __init__(self, model: type[T], tenant_id: Any = None) -> None:
        """Make the database."""
        self._memory = InMemoryDatabase(model, tenant_id=tenant_id)
        super().__init__(self._memory.__enter__(), model, tenant_id)

    def add_mock_data(self, rows: Iterable[Mapping[str, Any]]) -> list[T]:
        """Store records with the values given, keys and timestamps included."""
        records = [self.records.model(**row) for row in rows]
        self.session.add_all(records)
        self.session.commit()
        return records

    def clear(self) -> None:
        """Remove all records."""
        _clear(self)

    def close(self) -> None:
        """Forget everything."""
        self._memory.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """Return the repository; leaving the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close."""
        self.close()


class AsyncMockRepository(AsyncRepository[T]):
    """An `AsyncRepository` in memory: `async with AsyncMockRepository(User) as users:`.

    Args:
        model: A model, or any class mapped by SQLAlchemy.
        tenant_id: Whose records it sees.
    """

    def __init__(self, model: type[T], tenant_id: Any = None) -> None:
        """Keep the model; the database is made when the block begins."""
        self._memory = InMemoryDatabase(model, tenant_id=tenant_id)
        self._model = model
        self._tenant_id = tenant_id

    async def __aenter__(self) -> Self:
        """Make the database."""
        session = await self._memory.__aenter__()
        try:
            super().__init__(session, self._model, self._tenant_id)
        except BaseException:
            await self._memory.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        """Forget everything."""
        await self._memory.__aexit__(*error)

    async def add_mock_data(self, rows: Iterable[Mapping[str, Any]]) -> list[T]:
        """Store records with the values given, keys and timestamps included."""
        records = [self._model(**row) for row in rows]
        self.session.add_all(records)
        await self.session.commit()
        return records

    async def clear(self) -> None:
        """Remove all records."""
        await self._run(_clear, self._sync)
