"""`AsyncRepository`: the same as `Repository`, for coroutines.

Each method runs that of `Repository` on the session's sync side, as SQLAlchemy's own
`AsyncSession` does; so there is one implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dataflow.errors import ParameterError, TenantRequiredError, shown
from dataflow.models.spec import ModelSpec
from dataflow.repositories.options import (
    CursorResult,
    Filters,
    PaginationResult,
    QueryOptions,
)
from dataflow.repositories.repository import Repository, model_of

__all__ = ["AsyncRepository", "AsyncTenantRepository"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
Data = Any
"""Values by name: a dict, a pydantic model, a dataclass or an object of the model."""
Many: TypeAlias = list[T]  # the classes have a method of the name list


class AsyncRepository(Generic[T]):
    """Creates, finds, changes and deletes records of one model; never commits.

    See `Repository` for the methods: the names, arguments and errors are the same.

    Args:
        session: Any SQLAlchemy `AsyncSession`; its owner commits.
        model: The model; None where the class says it: `class Users(AsyncRepository[User])`.
        tenant_id: Whose records; None: the tenant of the session, else of the call.

    Raises:
        ParameterError: If the model is not known.
    """

    def __init__(
        self, session: AsyncSession, model: type[T] | None = None, tenant_id: Any = None
    ) -> None:
        """Keep the session; nothing is read."""
        if isinstance(session, Session):
            raise ParameterError(
                problem="a Session needs a Repository; this one is for coroutines."
            )
        if not hasattr(session, "sync_session"):
            raise ParameterError(
                problem=f"an AsyncRepository needs an AsyncSession, not {shown(session)}."
            )
        self.session = session
        self._sync: Repository[T] = Repository(
            session.sync_session, model_of(type(self), model), tenant_id
        )

    @property
    def spec(self) -> ModelSpec:
        """The model's specification."""
        return self._sync.spec

    async def _run(self, call: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        return await self.session.run_sync(lambda _: call(*args, **options))

    async def create(self, data: Data | None = None, /, user_id: Any = None, **fields: Any) -> T:
        """Add a record and write it, so that it has its key; the owner commits."""
        return await self._run(self._sync.create, data, user_id, **fields)

    async def bulk_create(self, rows: Iterable[Data], user_id: Any = None) -> Many[T]:
        """Add many records and write them together; returns them in the order given."""
        return await self._run(self._sync.bulk_create, rows, user_id)

    async def get_or_create(
        self, match: Mapping[str, Any], defaults: Data | None = None, user_id: Any = None
    ) -> tuple[T, bool]:
        """Return the record with some values, and whether it had to be created."""
        return await self._run(self._sync.get_or_create, match, defaults, user_id)

    async def update_or_create(
        self, match: Mapping[str, Any], data: Data, user_id: Any = None
    ) -> tuple[T, bool]:
        """Change the record with some values, or create it; returns it and whether it is new."""
        return await self._run(self._sync.update_or_create, match, data, user_id)

    async def get(self, entity_id: Any, *, include: Sequence[str] = ()) -> T:
        """Return a record by its key, or raise `RecordNotFoundError`."""
        return await self._run(self._sync.get, entity_id, include=include)

    async def get_by_id(
        self,
        entity_id: Any,
        tenant_id: Any = None,
        *,
        include: Sequence[str] = (),
        include_deleted: bool = False,
    ) -> T | None:
        """Return a record by its key, or None."""
        return await self._run(
            self._sync.get_by_id,
            entity_id,
            tenant_id,
            include=include,
            include_deleted=include_deleted,
        )

    async def get_by_field(self, field: str, value: Any) -> T | None:
        """Return the one record with a value in a field, or None."""
        return await self._run(self._sync.get_by_field, field, value)

    async def find_by_tenant(
        self, tenant_id: Any, options: QueryOptions | Filters = None
    ) -> Many[T]:
        """Return a tenant's records, in the order of their keys."""
        return await self._run(self._sync.find_by_tenant, tenant_id, options)

    async def list(self, options: QueryOptions | Filters = None) -> Many[T]:
        """Return what matches: all of it, or the page that the options ask for."""
        return await self._run(self._sync.list, options)

    async def get_all(self, skip: int = 0, limit: int = 100) -> Many[T]:
        """Return records in the order of their keys."""
        return await self._run(self._sync.get_all, skip, limit)

    async def search(
        self,
        text: str,
        fields: Sequence[str] = (),
        skip: int = 0,
        limit: int = 100,
        *,
        options: QueryOptions | Filters = None,
    ) -> Many[T]:
        """Return records with a text in one of their fields, whatever its case."""
        return await self._run(self._sync.search, text, fields, skip, limit, options=options)

    async def list_paginated(self, options: QueryOptions | None = None) -> PaginationResult[T]:
        """Return a page by number, with the total."""
        return await self._run(self._sync.list_paginated, options)

    async def cursor_paginate(self, options: QueryOptions | None = None) -> CursorResult[T]:
        """Return a page by cursor: as fast on the last page as on the first."""
        return await self._run(self._sync.cursor_paginate, options)

    async def count(self, filters: Filters = None) -> int:
        """Return how many records match."""
        return await self._run(self._sync.count, filters)

    async def count_by(self, field: str, filters: Filters = None) -> dict[Any, int]:
        """Return `{value of a field: how many records have it}`, the most frequent first."""
        return await self._run(self._sync.count_by, field, filters)

    async def exists(self, filters: Filters = None) -> bool:
        """Return whether a record matches."""
        return await self._run(self._sync.exists, filters)

    async def update(
        self,
        entity_id: Any,
        data: Data | None = None,
        user_id: Any = None,
        *,
        expect_version: int | None = None,
    ) -> T:
        """Change a record, given or named by its key, and write it."""
        return await self._run(
            self._sync.update, entity_id, data, user_id, expect_version=expect_version
        )

    async def bulk_update(self, rows: Iterable[Data], user_id: Any = None) -> int:
        """Change many records, each named by its key in its own row; returns how many."""
        return await self._run(self._sync.bulk_update, rows, user_id)

    async def delete(self, entity_id: Any, soft_delete: bool = True, user_id: Any = None) -> bool:  # noqa: FBT001, FBT002 - reads well by name
        """Delete a record, or hide it where the model has soft delete."""
        return await self._run(self._sync.delete, entity_id, soft_delete, user_id)

    async def soft_delete(self, entity_id: Any, user_id: Any = None) -> T:
        """Hide a record from now on."""
        return await self._run(self._sync.soft_delete, entity_id, user_id)

    async def restore(self, entity_id: Any, user_id: Any = None) -> T:
        """Show a deleted record again."""
        return await self._run(self._sync.restore, entity_id, user_id)

    async def bulk_delete(self, entities: Iterable[Any], user_id: Any = None) -> int:
        """Delete or hide many records, each given or named by its key; returns how many."""
        return await self._run(self._sync.bulk_delete, entities, user_id)


class AsyncTenantRepository(AsyncRepository[T]):
    """A repository that is always of one tenant.

    Raises:
        TenantRequiredError: If no tenant is given.
    """

    def __init__(
        self, session: AsyncSession, model: type[T] | None = None, tenant_id: Any = None
    ) -> None:
        """Keep the session and the tenant."""
        super().__init__(session, model, tenant_id)
        if tenant_id is None:
            raise TenantRequiredError(model=self.spec.name)
