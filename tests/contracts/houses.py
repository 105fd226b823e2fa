"""Every kind of repository behind one face, and the models that they keep.

A house gives repositories whose methods are called without `await`; each repository
has a session of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import enum
import inspect
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Optional

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dataflow import DataFlow, Field, Relationship
from dataflow.repositories import (
    AsyncRepository,
    PerCallRepository,
    create_async_repository,
    create_repository,
)
from dataflow.testing import AsyncMockRepository, MockRepository

__all__ = [
    "HOUSES",
    "MODELS",
    "Author",
    "Book",
    "Color",
    "Country",
    "Event",
    "House",
    "Note",
    "PerCall",
    "Sample",
    "Seat",
]

home = DataFlow("sqlite:///:memory:")
home.nodes.close()  # the databases that adopt the models have the nodes


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@home.model(timestamps=False)
class Author:
    id: int
    name: str
    email: str | None = Field(default=None, unique=True)
    books: list[Book] = Relationship(back_populates="author")


@home.model(versioned=True, soft_delete=True, actors=True)
class Book:
    id: int
    title: str = Field(max_length=40)
    pages: int | None = None
    author_id: int | None = Field(default=None, foreign_key=Author)
    author: Optional[Author] = Relationship(back_populates="books")  # noqa: UP045 - a forward name in both


@home.model(timestamps=False)
class Sample:
    id: uuid.UUID = Field(primary_key=True, default_factory=uuid.uuid4)
    name: str
    price: Decimal | None = None
    at: dt.datetime | None = None
    data: dict[str, Any] | None = None
    color: Color | None = None


@home.model(timestamps=False)
class Country:
    code: str = Field(primary_key=True)
    name: str


@home.model(timestamps=False)
class Seat:
    line: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    taken: bool = False


@home.model(multi_tenant=True, soft_delete=True)
class Note:
    id: int
    text: str


@home.model(append_only=True)
class Event:
    id: int
    what: str


MODELS: tuple[type, ...] = (Author, Book, Sample, Country, Seat, Note, Event)
NewUrl = Callable[[str], str]


class Runner:
    """Runs coroutines on one loop, each in the caller's context."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.close = self._runner.close

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine, context=contextvars.copy_context())


class House(ABC):
    """A database, and repositories of one kind on it."""

    database = "sqlite"
    shared = True
    """Whether two sessions can see the same database."""
    scoped = True
    """Whether sessions know their tenant themselves."""

    def __init__(self, new_url: NewUrl) -> None:
        self.db: Any = None
        self.url = "" if not self.shared else new_url(self.database)
        self._opened: list[Any] = []
        self.prepare()

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables."""

    @abstractmethod
    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        """Return a repository in a new session."""

    def commit(self, repository: Any) -> None:
        repository.session.commit()

    def rollback(self, repository: Any) -> None:
        repository.session.rollback()

    def close(self) -> None:
        for item in self._opened:
            item.close()


class Sync(House):
    """`Repository` in sessions of ours."""

    def prepare(self) -> None:
        self.db = DataFlow(self.url)
        self.db.adopt(*MODELS)
        self.db.create_tables()

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        session = self.db.session(session_tenant)
        self._opened.append(session)
        return create_repository(session, model, tenant_id)

    def close(self) -> None:
        super().close()
        self.db.close()


class SyncPostgres(Sync):
    database = "postgres"


class Awaited:
    """A repository for coroutines, called without `await`."""

    def __init__(self, target: Any, run: Callable[[Any], Any], *first: Any) -> None:
        self._target = target
        self._run = run
        self._first = first

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value
        return partial(self._call, value)

    def _call(self, method: Any, *args: Any, **options: Any) -> Any:
        result = method(*self._first, *args, **options)
        return self._run(result) if inspect.isawaitable(result) else result


class Async(Sync):
    """`AsyncRepository` in sessions of ours."""

    def prepare(self) -> None:
        self._runner = Runner()
        super().prepare()

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        session = self._runner.run(self.db.aio.session(session_tenant).__aenter__())
        self._opened.append(session)
        return Awaited(create_async_repository(session, model, tenant_id), self._runner.run)

    def commit(self, repository: Any) -> None:
        self._runner.run(repository.session.commit())

    def rollback(self, repository: Any) -> None:
        self._runner.run(repository.session.rollback())

    def close(self) -> None:
        for session in self._opened:
            self._runner.run(session.close())
        self._runner.run(self.db.aclose())
        self._runner.close()


class AsyncPostgres(Async):
    database = "postgres"


class PerCall(Async):
    """`PerCallRepository`, whose session is each call's first argument."""

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        chosen = tenant_id if session_tenant is None else session_tenant
        session = self._runner.run(self.db.aio.session(chosen).__aenter__())
        self._opened.append(session)
        found = Awaited(PerCallRepository(model), self._runner.run, session)
        found.session = session
        return found


class ForeignSync(House):
    """`Repository` in a plain `Session` of an engine that SQLAlchemy made."""

    scoped = False

    def prepare(self) -> None:
        self.engine = sa.create_engine(self.url)
        home.metadata.create_all(self.engine)

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        session = Session(self.engine, info={"tenant": session_tenant})
        self._opened.append(session)
        return create_repository(session, model, tenant_id)

    def close(self) -> None:
        super().close()
        self.engine.dispose()


class ForeignAsync(House):
    """`AsyncRepository` in a plain `AsyncSession` of an engine that SQLAlchemy made."""

    scoped = False
    driver = "sqlite+aiosqlite:"

    def prepare(self) -> None:
        self._runner = Runner()
        self.engine = create_async_engine(f"{self.driver}{self.url.partition(':')[2]}")
        self._runner.run(self._create())

    async def _create(self) -> None:
        async with self.engine.begin() as connection:
            await connection.run_sync(home.metadata.create_all)

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        info = {"tenant": session_tenant}
        session = AsyncSession(self.engine, info=info, expire_on_commit=False)
        self._opened.append(session)
        return Awaited(create_async_repository(session, model, tenant_id), self._runner.run)

    def commit(self, repository: Any) -> None:
        self._runner.run(repository.session.commit())

    def rollback(self, repository: Any) -> None:
        self._runner.run(repository.session.rollback())

    def close(self) -> None:
        for session in self._opened:
            self._runner.run(session.close())
        self._runner.run(self.engine.dispose())
        self._runner.close()


class ForeignAsyncPostgres(ForeignAsync):
    database = "postgres"
    driver = "postgresql+asyncpg:"


class Mock(House):
    """`MockRepository`: each has a database of its own."""

    shared = False

    def prepare(self) -> None:
        return

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        chosen = session_tenant if tenant_id is None else tenant_id
        found = MockRepository(model, chosen)
        self._opened.append(found)
        return found


class AsyncMock(Mock):
    """`AsyncMockRepository`."""

    def prepare(self) -> None:
        self._runner = Runner()

    def repository(self, model: type, tenant_id: Any = None, *, session_tenant: Any = None) -> Any:
        chosen = session_tenant if tenant_id is None else tenant_id
        found: AsyncRepository[Any] = AsyncMockRepository(model, chosen)
        self._runner.run(found.__aenter__())
        self._opened.append(found)
        return Awaited(found, self._runner.run)

    def commit(self, repository: Any) -> None:
        self._runner.run(repository.session.commit())

    def rollback(self, repository: Any) -> None:
        self._runner.run(repository.session.rollback())

    def close(self) -> None:
        for found in self._opened:
            self._runner.run(found.__aexit__(None, None, None))
        self._runner.close()


HOUSES: dict[str, type[House]] = {
    "sync-sqlite": Sync,
    "sync-postgres": SyncPostgres,
    "async-sqlite": Async,
    "async-postgres": AsyncPostgres,
    "percall": PerCall,
    "foreign-sqlite3": ForeignSync,
    "foreign-aiosqlite": ForeignAsync,
    "foreign-asyncpg": ForeignAsyncPostgres,
    "mock": Mock,
    "async-mock": AsyncMock,
}
