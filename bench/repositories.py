"""Repositories against the same work written by hand with SQLAlchemy's ORM.

Every call is a request: it opens a session, does one thing, commits what it wrote.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.data import Sizes, record, records
from bench.harness import BASELINE, OURS, Contest, Contestant, Measure
from bench.postgres import database
from dataflow import DataFlow
from dataflow.repositories import AsyncRepository, PaginationParams, QueryFilter, QueryOptions

SEEDED = 10_000
TARGET = 1.15
OVER_PLAIN = "repository over a plain session"
Session = Callable[[], AbstractAsyncContextManager[AsyncSession]]
"""Opens a session."""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own convention
        dt.datetime: sa.DateTime(timezone=True)
    }


class Member(Base):
    __tablename__ = "members"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    active: Mapped[bool]
    age: Mapped[int]
    created_at: Mapped[dt.datetime] = mapped_column(default=_now)
    updated_at: Mapped[dt.datetime] = mapped_column(default=_now, onupdate=_now)


class RepositoryBench:
    """A plain engine and a DataFlow on one database."""

    def __init__(self, runner: asyncio.Runner, url: str, driver: str, sizes: Sizes) -> None:
        self.runner = runner
        self.sizes = sizes
        self.db = DataFlow(url, pool_size=10, max_overflow=0)
        self.db.adopt(Member)
        self.engine = create_async_engine(driver + url.partition(":")[2], pool_size=10)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine.sync_engine, "connect", _as_ours)
        self.plain = async_sessionmaker(self.engine, expire_on_commit=False)
        runner.run(self._seed())

    async def _seed(self) -> None:
        await self.db.aio.create_tables()
        async with self.plain() as session:
            session.add_all(Member(**row) for row in records(SEEDED))
            await session.commit()

    def versions(self) -> list[str]:
        return []

    def close(self) -> None:
        self.runner.run(self.engine.dispose())
        self.runner.run(self.db.aclose())


def _as_ours(connection: Any, record: Any) -> None:
    """Set the pragmas that decide how long a commit takes."""
    del record
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


@contextmanager
def _opened(
    runner: asyncio.Runner, url: str, driver: str, sizes: Sizes
) -> Iterator[RepositoryBench]:
    bench = RepositoryBench(runner, url, driver, sizes)
    try:
        yield bench
    finally:
        bench.close()


@contextmanager
def open_sqlite(runner: asyncio.Runner, sizes: Sizes) -> Iterator[RepositoryBench]:
    """Make a file for the time of the measurements."""
    with (
        tempfile.TemporaryDirectory(prefix="dataflow-bench-") as folder,
        _opened(runner, f"sqlite:///{folder}/bench.db", "sqlite+aiosqlite:", sizes) as bench,
    ):
        yield bench


@contextmanager
def open_postgres(runner: asyncio.Runner, server: str, sizes: Sizes) -> Iterator[RepositoryBench]:
    """Make a database for the time of the measurements."""
    with (
        database(runner, server, "repositories") as url,
        _opened(runner, url, "postgresql+asyncpg:", sizes) as bench,
    ):
        yield bench


Work = Callable[[AsyncSession, int], Awaitable[Any]]
Own = Callable[[AsyncRepository[Member], int], Awaitable[Any]]


def _key(number: int) -> int:
    return number % SEEDED + 1


def _contest(bench: RepositoryBench, by_hand: Work, own: Own, *, writes: bool) -> Contest:
    numbers = count()  # shared: nobody finds a record that someone else has just changed

    def call(session_of: Session, work: Work) -> Callable[[], Any]:
        async def run() -> None:
            async with session_of() as session:
                await work(session, next(numbers))
                if writes:
                    await session.commit()

        return run

    async def repository(session: AsyncSession, number: int) -> None:
        await own(AsyncRepository(session, Member), number)

    contestants = (
        Contestant(BASELINE, call(bench.plain, by_hand)),
        Contestant(OURS, call(bench.db.aio.session, repository)),
        Contestant(OVER_PLAIN, call(bench.plain, repository)),
    )
    # Both sides do nearly the same, so that the difference is small beside the machine's
    # noise: short rounds are measured closer together, and more of them.
    return Contest(contestants, calls=max(1, bench.sizes.calls // 5), rounds=5 * bench.sizes.single)


def create(bench: RepositoryBench) -> Contest:
    async def by_hand(session: AsyncSession, number: int) -> None:
        session.add(Member(**record(number)))
        await session.flush()

    async def own(members: AsyncRepository[Member], number: int) -> None:
        await members.create(record(number))

    return _contest(bench, by_hand, own, writes=True)


def get(bench: RepositoryBench) -> Contest:
    async def by_hand(session: AsyncSession, number: int) -> None:
        await session.get(Member, _key(number))

    async def own(members: AsyncRepository[Member], number: int) -> None:
        await members.get_by_id(_key(number))

    return _contest(bench, by_hand, own, writes=False)


def list_100(bench: RepositoryBench) -> Contest:
    async def by_hand(session: AsyncSession, number: int) -> None:
        statement = sa.select(Member).where(Member.id > _key(number)).order_by(Member.id).limit(100)
        (await session.scalars(statement)).all()

    async def own(members: AsyncRepository[Member], number: int) -> None:
        await members.list(QueryOptions({"id": {"$gt": _key(number)}}, limit=100))

    return _contest(bench, by_hand, own, writes=False)


def update(bench: RepositoryBench) -> Contest:
    async def by_hand(session: AsyncSession, number: int) -> None:
        member = await session.get(Member, _key(number))
        assert member is not None
        member.age = number
        await session.flush()

    async def own(members: AsyncRepository[Member], number: int) -> None:
        await members.update(_key(number), {"age": number})

    return _contest(bench, by_hand, own, writes=True)


def paginate(bench: RepositoryBench) -> Contest:
    async def by_hand(session: AsyncSession, number: int) -> None:
        where = Member.age >= number % 50
        statement = sa.select(Member).where(where).order_by(Member.id).offset(40).limit(20)
        (await session.scalars(statement)).all()
        await session.scalar(sa.select(sa.func.count()).select_from(Member).where(where))

    async def own(members: AsyncRepository[Member], number: int) -> None:
        filters = [QueryFilter("age", "gte", number % 50)]
        await members.list_paginated(QueryOptions(filters, pagination=PaginationParams(3, 20)))

    return _contest(bench, by_hand, own, writes=False)


MEASURES = (
    Measure("repository_create", "create and commit (ORM by hand = 1)", TARGET, create),
    Measure("repository_get", "get by key (ORM by hand = 1)", TARGET, get),
    Measure("repository_list", "list 100 records (ORM by hand = 1)", TARGET, list_100),
    Measure("repository_update", "get, change, commit (ORM by hand = 1)", TARGET, update),
    Measure("repository_page", "a filtered page and its total (ORM by hand = 1)", TARGET, paginate),
)
