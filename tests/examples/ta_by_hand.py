"""What `ta_generator` takes from DataFlow, written by hand on SQLAlchemy and pydantic.

It has no more than that application needs, on SQLite and PostgreSQL. The tests of the
application run with it, too, and its lines are what the README counts.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, get_args

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    declared_attr,
    mapped_column,
    selectinload,
)
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.types import TypeDecorator

T = TypeVar("T")


class RecordNotFoundError(Exception):
    """There is no record with that key."""


class RecordValidationError(Exception):
    """Values do not fit the model."""


class AppendOnlyError(Exception):
    """Records of the model are never changed or deleted."""


StaleRecordError = StaleDataError


# ----------------------------------------------------------------- columns


class EnumValue(TypeDecorator[Any]):
    """A member, stored as its value."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, members: Any) -> None:
        super().__init__()
        self.members = members

    @property
    def python_type(self) -> Any:
        return self.members

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else self.members(value).value

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else self.members(value)


class UtcDateTime(TypeDecorator[dt.datetime]):
    """An instant; SQLite keeps no offset, so that all are in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value.astimezone(dt.UTC)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return value.replace(tzinfo=dt.UTC) if value and value.tzinfo is None else value


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def plural(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower() + "s"


class BaseModel(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dt.datetime: UtcDateTime(),
        dict[str, Any]: sa.JSON().with_variant(JSONB(), "postgresql"),
    }

    @declared_attr.directive
    @classmethod
    def __tablename__(cls) -> str:
        return plural(cls.__name__)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    updated_at: Mapped[dt.datetime] = mapped_column(default=now, onupdate=now)


correlation: ContextVar[str | None] = ContextVar("correlation", default=None)


class CorrelationMixin:
    correlation_id: Mapped[str | None] = mapped_column(index=True, default=correlation.get)


class VersionMixin:
    version: Mapped[int] = mapped_column(default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


class AppendOnlyMixin:
    """Records that are never changed or deleted."""


@event.listens_for(Session, "before_flush")
def refuse_changes(session: Session, context: Any, objects: Any) -> None:
    for record in (*session.dirty, *session.deleted):
        if isinstance(record, AppendOnlyMixin):
            raise AppendOnlyError(f"{type(record).__name__} is append-only")


# ------------------------------------------------------------ repositories


@dataclass(frozen=True)
class QueryOptions:
    filters: Mapping[str, Any]
    sorts: Iterable[str] = ()
    skip: int = 0
    limit: int | None = None


def checked(model: Any, data: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return values in the types of their columns.

    Raises:
        RecordValidationError: For an unknown or missing field, or a value that does not fit.
    """
    columns = {item.key: item.columns[0] for item in sa.inspect(model).column_attrs}
    for name in data:
        if name not in columns:
            raise RecordValidationError(f"{model.__name__} has no field {name!r}")
    values = {}
    for name, column in columns.items():
        if name in data:
            values[name] = fitting(name, column, data[name])
        elif whole and not column.nullable and column.default is None:
            raise RecordValidationError(f"{name}: a value is required")
    return values


def fitting(name: str, column: Any, value: Any) -> Any:
    if value is None and column.nullable:
        return None
    try:
        kind = getattr(column.type, "python_type", object)
        value = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise RecordValidationError(f"{name}: {error.errors()[0]['msg']}") from None
    longest = getattr(column.type, "length", None)
    if longest and isinstance(value, str) and len(value) > longest:
        raise RecordValidationError(f"{name}: at most {longest} characters")
    return value


def condition(column: Any, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return column == value
    ((operator, given),) = value.items()
    if operator == "$gte":
        return column >= given
    return column.is_(None) if given else column.is_not(None)


class AsyncRepository(Generic[T]):
    def __init__(self, session: AsyncSession, model: type[T] | None = None) -> None:
        self.session = session
        self.model: Any = model or get_args(type(self).__orig_bases__[0])[0]  # type: ignore[attr-defined]

    async def create(self, data: Mapping[str, Any]) -> T:
        (record,) = await self.bulk_create([data])
        return record

    async def bulk_create(self, rows: Iterable[Mapping[str, Any]]) -> list[T]:
        records = [self.model(**checked(self.model, row, whole=True)) for row in rows]
        self.session.add_all(records)
        await self.session.flush()
        return records

    async def get_by_id(self, key: Any, include: Iterable[str] = ()) -> T | None:
        links = [selectinload(getattr(self.model, name)) for name in include]
        return await self.session.get(self.model, key, options=links, populate_existing=bool(links))

    async def get(self, key: Any) -> T:
        found = await self.get_by_id(key)
        if found is None:
            raise RecordNotFoundError(f"there is no {self.model.__name__} {key}")
        return found

    async def get_by_field(self, field: str, value: Any) -> T | None:
        found: T | None = await self.session.scalar(self._select({field: value}))
        return found

    def _select(self, filters: Mapping[str, Any] | None) -> Any:
        conditions = [
            condition(getattr(self.model, field), value) for field, value in (filters or {}).items()
        ]
        return sa.select(self.model).where(*conditions)

    async def _page(self, statement: Any, asked: QueryOptions) -> list[T]:
        for name in (*asked.sorts, "id"):
            column = getattr(self.model, name.removeprefix("-"))
            statement = statement.order_by(column.desc() if name.startswith("-") else column)
        return list(await self.session.scalars(statement.offset(asked.skip).limit(asked.limit)))

    async def list(self, options: QueryOptions | Mapping[str, Any] | None = None) -> list[T]:
        asked = options if isinstance(options, QueryOptions) else QueryOptions(options or {})
        return await self._page(self._select(asked.filters), asked)

    async def get_all(self, skip: int = 0, limit: int = 100) -> list[T]:
        return await self.list(QueryOptions({}, skip=skip, limit=limit))

    async def search(
        self,
        text: str,
        fields: Iterable[str],
        skip: int = 0,
        limit: int = 100,
        options: QueryOptions | None = None,
    ) -> list[T]:
        asked = replace(options or QueryOptions({}), skip=skip, limit=limit)
        found = [getattr(self.model, name).icontains(text, autoescape=True) for name in fields]
        return await self._page(self._select(asked.filters).where(sa.or_(*found)), asked)

    async def count_by(self, field: str) -> dict[Any, int]:
        column = getattr(self.model, field)
        counts = sa.select(column, sa.func.count()).group_by(column)
        rows = await self.session.execute(counts)
        return {value: count for value, count in rows}  # noqa: C416 - dict() takes it for a mapping

    async def count(self, filters: Mapping[str, Any] | None = None) -> int:
        inner = self._select(filters).subquery()
        return await self.session.scalar(sa.select(sa.func.count()).select_from(inner)) or 0

    async def update(self, key: Any, data: Mapping[str, Any]) -> T:
        record = await self.get(key)
        for name, value in checked(self.model, data, whole=False).items():
            setattr(record, name, value)
        await self.session.flush()
        return record

    async def delete(self, key: Any) -> None:
        await self.session.delete(await self.get(key))
        await self.session.flush()


# ---------------------------------------------------------------- sessions


class DatabaseManager:
    def __init__(self, url: str | None, base: type[DeclarativeBase]) -> None:
        given = url or os.environ.get("DATABASE_URL", "sqlite+aiosqlite://")
        given = re.sub("^sqlite:", "sqlite+aiosqlite:", given)
        given = re.sub("^postgresql:", "postgresql+asyncpg:", given)
        self.engine = make_engine(given)
        self.metadata = base.metadata
        self.factory = async_sessionmaker(self.engine, expire_on_commit=False)


def make_engine(url: str) -> AsyncEngine:
    if not url.startswith("sqlite"):
        size = int(os.environ.get("DATABASE_POOL_SIZE", "10"))
        overflow = int(os.environ.get("DATABASE_MAX_OVERFLOW", "10"))
        return create_async_engine(url, pool_size=size, max_overflow=overflow, pool_pre_ping=True)
    engine = create_async_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE"
        )  # so that nobody reads what is about to change

    return engine


_used: list[DatabaseManager] = []


def use_database(manager: DatabaseManager) -> DatabaseManager:
    _used[:] = [manager]
    return manager


def shared_database() -> DatabaseManager | None:
    return _used[0] if _used else None


def get_session(*, read_only: bool = False) -> AsyncSession:
    engine = _used[0].engine.execution_options(read_only=read_only)
    return _used[0].factory(bind=engine)


def async_session_factory() -> AsyncSession:
    return get_session()


async def get_db() -> AsyncIterator[AsyncSession]:
    async with async_session_factory() as session:
        yield session


async def create_tables() -> None:
    async with _used[0].engine.begin() as connection:
        await connection.run_sync(_used[0].metadata.create_all)


async def check_db_connection() -> bool:
    try:
        async with _used[0].engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))
    except (sa.exc.SQLAlchemyError, OSError):
        return False
    return True


async def dispose_engine() -> None:
    while _used:
        await _used.pop().engine.dispose()
