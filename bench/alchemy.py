"""The same work with SQLAlchemy Core and ORM, for the comparison columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

CORE, ORM = "SQLAlchemy Core", "SQLAlchemy ORM"
Record = dict[str, Any]


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own convention
        int: sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        str: sa.Text(),
        dt.datetime: sa.DateTime(timezone=True),
    }


class Person(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    email: Mapped[str]
    active: Mapped[bool]
    age: Mapped[int]
    created_at: Mapped[dt.datetime]
    updated_at: Mapped[dt.datetime]


TABLE: sa.Table = Person.__table__  # type: ignore[assignment]


def stamped(record: Record) -> Record:
    """Return a record with both timestamps."""
    now = dt.datetime.now(dt.UTC)
    return {**record, "created_at": now, "updated_at": now}


class Core:
    """Single operations, each on a connection from the engine's pool."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def read(self, key: int) -> Record:
        async with self._engine.connect() as connection:
            result = await connection.execute(sa.select(TABLE).where(TABLE.c.id == key))
            return dict(result.mappings().one())

    async def create(self, record: Record) -> Record:
        statement = sa.insert(TABLE).values(stamped(record)).returning(TABLE)
        return await self._write(statement)

    async def update(self, key: int, age: int) -> Record:
        changes = {"age": age, "updated_at": dt.datetime.now(dt.UTC)}
        statement = sa.update(TABLE).where(TABLE.c.id == key).values(changes)
        return await self._write(statement.returning(TABLE))

    async def _write(self, statement: Any) -> Record:
        async with self._engine.begin() as connection:
            return dict((await connection.execute(statement)).mappings().one())

    async def list(self, count: int) -> list[Record]:
        async with self._engine.connect() as connection:
            statement = sa.select(TABLE).order_by(TABLE.c.id).limit(count)
            return [dict(row) for row in (await connection.execute(statement)).mappings()]

    def bulk_create(self, records: list[Record], *, ids: bool = False) -> Callable[[], Any]:
        """Return a call that inserts with insertmanyvalues (executemany without ids)."""

        async def run() -> None:
            now = dt.datetime.now(dt.UTC)
            rows = [{**record, "created_at": now, "updated_at": now} for record in records]
            statement = sa.insert(TABLE)
            if ids:
                statement = statement.returning(TABLE.c.id, sort_by_parameter_order=True)
            async with self._engine.begin() as connection:
                await connection.execute(statement, rows)

        return run


class Orm:
    """Single operations, each in a session of its own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._session = async_sessionmaker(engine, expire_on_commit=False)

    async def read(self, key: int) -> Person | None:
        async with self._session() as session:
            return await session.get(Person, key)

    async def create(self, record: Record) -> Person:
        async with self._session() as session:
            person = Person(**stamped(record))
            session.add(person)
            await session.commit()
            return person

    async def update(self, key: int, age: int) -> Person:
        async with self._session() as session:
            person = await session.get_one(Person, key)
            person.age = age
            person.updated_at = dt.datetime.now(dt.UTC)
            await session.commit()
            return person

    async def list(self, count: int) -> list[Person]:
        async with self._session() as session:
            statement = sa.select(Person).order_by(Person.id).limit(count)
            return list(await session.scalars(statement))

    def bulk_create(self, records: list[Record]) -> Callable[[], Any]:
        """Return a call that adds one object per record."""

        async def run() -> None:
            async with self._session() as session:
                session.add_all([Person(**stamped(record)) for record in records])
                await session.commit()

        return run
