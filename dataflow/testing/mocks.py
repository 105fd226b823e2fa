"""Repositories without a database to set up, for unit tests of what uses them.

They are no imitations: the records are in a database in memory of their own, so that
filters, pages, tenants and soft delete do what they do in production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self, TypeVar

from sqlalchemy.orm import class_mapper

from dataflow.errors import ParameterError, UnknownFieldError, shown
from dataflow.query.filters import EMPTY
from dataflow.repositories.async_repository import AsyncRepository
from dataflow.repositories.repository import Repository
from dataflow.testing.memory import InMemoryDatabase

__all__ = ["AsyncMockRepository", "MockRepository"]

T = TypeVar("T")


def _made(model: type[T], rows: Any) -> list[T]:
    """Return objects of a model, whose fields the rows name."""
    if isinstance(rows, Mapping | str) or not isinstance(rows, Iterable):
        raise ParameterError(problem=f"add_mock_data takes a list of dicts, not {shown(rows)}.")
    known = tuple(class_mapper(model).attrs.keys())
    made = list[T]()
    for row in rows:
        if not isinstance(row, Mapping):
            problem = f"a {model.__name__!r} is values by name, not {shown(row)}."
            raise ParameterError(problem=problem, advise="pass a dict")
        for name in row:
            if name not in known:
                raise UnknownFieldError(model=model.__name__, name=str(name), known=known)
        made.append(model(**row))
    return made


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
        """Store records with the values given, keys and timestamps included.

        Raises:
            ParameterError: If they are no dicts.
            UnknownFieldError: For a name that is no field of the model.
        """
        records = _made(self.records.model, rows)
        self.session.add_all(records)
        try:
            self.session.commit()
        except BaseException:
            self.session.rollback()
            raise
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

    def __getattr__(self, name: str) -> Any:
        """Say what has to be done first.

        Raises:
            ParameterError: Before the block has begun.
        """
        if name in {"_sync", "session"}:
            raise ParameterError(
                problem="this repository's block has not begun.",
                advise="write `async with AsyncMockRepository(Model) as records:`",
            )
        raise AttributeError(name)

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
        """Store records with the values given; see `MockRepository.add_mock_data`."""
        records = _made(self._model, rows)
        self.session.add_all(records)
        try:
            await self.session.commit()
        except BaseException:
            await self.session.rollback()
            raise
        return records

    async def clear(self) -> None:
        """Remove all records."""
        await self._run(_clear, self._sync)
