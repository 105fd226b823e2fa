"""`Repository`: the records of one model over a SQLAlchemy session, for threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar, get_args

from sqlalchemy.orm import Session

from dataflow.errors import ParameterError, TenantRequiredError
from dataflow.models.spec import ModelSpec
from dataflow.records.related import parse_names
from dataflow.repositories.matching import Matching
from dataflow.repositories.operations import Operations
from dataflow.repositories.options import (
    CursorResult,
    Filters,
    PaginationResult,
    QueryOptions,
    checked_name,
)
from dataflow.repositories.pages import cursor_page, numbered_page, ordered

__all__ = ["BaseRepository", "BaseTenantRepository", "Repository", "model_of"]

T = TypeVar("T")
Data = Any
"""Values by name: a dict, a pydantic model, a dataclass or an object of the model."""
Many: TypeAlias = list[T]  # the classes have a method of the name list


def model_of(repository: type, given: Any) -> Any:
    """Return the model that a repository is for: given, or written as `Repository[User]`.

    Raises:
        ParameterError: If neither names one.
    """
    if given is not None:
        return given
    for kind in repository.__mro__:
        if isinstance(kind.__dict__.get("model"), type):
            return kind.__dict__["model"]
        for base in kind.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type):
                    return argument
    raise ParameterError(
        problem=f"{repository.__name__} does not know its model.",
        advise=f"write class {repository.__name__}(Repository[User]), or give the model",
    )


def _asked(options: QueryOptions | Filters) -> QueryOptions:
    return options if isinstance(options, QueryOptions) else QueryOptions(options)


class Repository(Matching[T]):
    """Creates, finds, changes and deletes records of one model; never commits.

    Every method sees one tenant's records, where tenants share the model, and no deleted
    ones, where it has soft delete. `user_id` is who acts, for `created_by`, `updated_by`,
    `deleted_by` and the audit trail.

    Args:
        session: Any SQLAlchemy session; its owner commits.
        model: The model; None where the class says it: `class Users(Repository[User])`.
        tenant_id: Whose records; None: the tenant of the session, else of the call.

    Raises:
        ParameterError: If the model is not known.
    """

    def __init__(
        self, session: Session, model: type[T] | None = None, tenant_id: Any = None
    ) -> None:
        """Keep the session; nothing is read."""
        self.session = session
        self.records: Operations[T] = Operations(session, model_of(type(self), model), tenant_id)

    @property
    def spec(self) -> ModelSpec:
        """The model's specification."""
        return self.records.spec

    # ----------------------------------------------------------------- create

    def create(self, data: Data | None = None, /, user_id: Any = None, **fields: Any) -> T:
        """Add a record and write it, so that it has its key; the owner commits.

        Args:
            data: The values; or give them as keywords.
            user_id: Who creates it.
            **fields: The values, where they are not in `data`.

        Raises:
            RecordValidationError: Naming every field that does not fit.
        """
        who = self.records.who(user_id)
        given = {} if data is None else self.records.values(data)
        return self.records.add({**given, **fields}, who)

    def bulk_create(self, rows: Iterable[Data], user_id: Any = None) -> Many[T]:
        """Add many records and write them together; returns them in the order given.

        Raises:
            RecordValidationError: Naming every field that does not fit; none is added.
        """
        who = self.records.who(user_id)
        records = [self.records.new(row) for row in self.records.rows(rows)]
        self.session.add_all(records)
        self.records.flush(who)
        return records

    # ------------------------------------------------------------------- find

    def get(self, entity_id: Any, *, include: Sequence[str] = ()) -> T:
        """Return a record by its key.

        Args:
            entity_id: The key; a dict where it has several fields.
            include: Names of links to load.

        Raises:
            RecordNotFoundError: If there is none.
        """
        return self.records.get(entity_id, include=include)

    def get_by_id(
        self,
        entity_id: Any,
        tenant_id: Any = None,
        *,
        include: Sequence[str] = (),
        include_deleted: bool = False,
    ) -> T | None:
        """Return a record by its key, or None.

        Args:
            entity_id: The key; a dict where it has several fields.
            tenant_id: Whose records, where the repository does not know.
            include: Names of links to load.
            include_deleted: Whether a deleted record is found.
        """
        records = self.records.of(tenant_id)
        where = records.where_key(entity_id)
        return records.one(where, include=include, include_deleted=include_deleted)

    def get_by_field(self, field: str, value: Any) -> T | None:
        """Return the one record with a value in a field, or None.

        Raises:
            MultipleRecordsError: If several have it.
        """
        return self.records.one(self.records.where({checked_name(field): value}))

    def find_by_tenant(self, tenant_id: Any, options: QueryOptions | Filters = None) -> Many[T]:
        """Return a tenant's records, in the order of their keys."""
        return self._list(self.records.of(tenant_id), options)

    def list(self, options: QueryOptions | Filters = None) -> Many[T]:
        """Return what matches: all of it, or the page that the options ask for."""
        return self._list(self.records, options)

    def get_all(self, skip: int = 0, limit: int = 100) -> Many[T]:
        """Return records in the order of their keys.

        Args:
            skip: How many to pass over.
            limit: How many to return at most.
        """
        return self._list(self.records, QueryOptions(skip=skip, limit=limit))

    def search(
        self,
        text: str,
        fields: Sequence[str] = (),
        skip: int = 0,
        limit: int = 100,
        *,
        options: QueryOptions | Filters = None,
    ) -> Many[T]:
        """Return records with a text in one of their fields, whatever its case.

        Args:
            text: What to look for; `%` and `_` stand for themselves.
            fields: Where; empty: all texts of the model.
            skip: How many to pass over.
            limit: How many to return at most.
            options: Further filters, the order, and links to load.
        """
        asked = _asked(options)
        named = parse_names(fields, "fields") or [
            name
            for name, field in self.spec.fields.items()
            if field.declared is str and field.generated is None and not field.info.secret
        ]
        found = {"$or": [{name: {"$icontains": text}} for name in named]}
        both = {"$and": [found, asked.document()]}
        wanted = replace(asked, filters=both, skip=skip, limit=limit, pagination=None)
        if asked.after is not None:  # which has a limit of its own
            wanted = replace(asked, filters=both)
        return self._list(self.records, wanted)

    def list_paginated(self, options: QueryOptions | None = None) -> PaginationResult[T]:
        """Return a page by number, with the total.

        Raises:
            ParameterError: If the options have `skip` or `limit`: a page has its own numbers.
        """
        return numbered_page(self.records, _asked(options))

    def cursor_paginate(self, options: QueryOptions | None = None) -> CursorResult[T]:
        """Return a page by cursor: as fast on the last page as on the first.

        Raises:
            CursorError: If the cursor was altered or belongs to another query.
            ParameterError: If the options have `sorts`, `skip` or `limit`: a cursor has its own.
        """
        return cursor_page(self.records, _asked(options))

    def count(self, filters: Filters = None) -> int:
        """Return how many records match."""
        return self.records.count(filters)

    def count_by(self, field: str, filters: Filters = None) -> dict[Any, int]:
        """Return `{value of a field: how many records have it}`, the most frequent first."""
        return self.records.count_by(field, filters)

    def exists(self, filters: Filters = None) -> bool:
        """Return whether a record matches."""
        return self.records.exists(filters)

    # ----------------------------------------------------------------- change

    def update(
        self,
        entity_id: Any,
        data: Data | None = None,
        user_id: Any = None,
        *,
        expect_version: int | None = None,
    ) -> T:
        """Change a record and write it.

        Args:
            entity_id: The record or its key; a record without `data` is written as it is.
            data: New values.
            user_id: Who changes it.
            expect_version: The version that it was read at, for versioned models.

        Raises:
            RecordNotFoundError: If there is none with that key.
            StaleRecordError: If it was changed since.
        """
        who = self.records.who(user_id)
        record = self.records.record(entity_id)
        self.records.check_version(record, expect_version)
        self.records.refuse_change("update")
        if data is not None:
            self.records.change(record, data)
        self.records.flush(who)
        return record

    def bulk_update(self, rows: Iterable[Data], user_id: Any = None) -> int:
        """Change many records, each named by its key in its own row; returns how many.

        Raises:
            RecordNotFoundError: If a key does not exist.
        """
        who = self.records.who(user_id)
        found = []
        for row in self.records.rows(rows):
            values = self.records.values(row, changes=True)
            key = {name: values[name] for name in self.spec.key if name in values}
            found.append((self.records.get(key), row))  # all first: reading writes what is changed
        for record, row in found:
            self.records.change(record, row)
        self.records.flush(who)
        return len(found)

    def delete(self, entity_id: Any, soft_delete: bool = True, user_id: Any = None) -> bool:  # noqa: FBT001, FBT002 - reads well by name
        """Delete a record, or hide it where the model has soft delete.

        Args:
            entity_id: The record or its key.
            soft_delete: False deletes for good.
            user_id: Who deletes it.

        Returns:
            Whether there was one.

        Raises:
            StaleRecordError: If it was changed since it was read, for versioned models.
        """
        who = self.records.who(user_id)
        record = self.records.found(entity_id, include_deleted=not soft_delete)
        if record is None:
            return False
        if soft_delete and self.spec.options.soft_delete:
            self.records.mark_deleted(record, who)
            self.records.flush(who)
        else:
            self.records.remove(record, who)
        return True

    def soft_delete(self, entity_id: Any, user_id: Any = None) -> T:
        """Hide a record from now on.

        Raises:
            RecordNotFoundError: If there is none.
            ParameterError: If the model has no soft delete.
        """
        who = self.records.who(user_id)
        record = self.records.record(entity_id)
        self.records.mark_deleted(record, who)
        self.records.flush(who)
        return record

    def restore(self, entity_id: Any, user_id: Any = None) -> T:
        """Show a deleted record again.

        Raises:
            RecordNotFoundError: If there is none.
        """
        who = self.records.who(user_id)
        record = self.records.record(entity_id, include_deleted=True)
        self.records.mark_restored(record)
        self.records.flush(who)
        return record

    def bulk_delete(self, entities: Iterable[Any], user_id: Any = None) -> int:
        """Delete or hide many records, each given or named by its key; returns how many."""
        who = self.records.who(user_id)
        given = self.records.rows(entities, "records or keys")
        return sum(self.delete(entity, user_id=who) for entity in given)

    # ------------------------------------------------------------------ parts

    def _list(self, records: Operations[T], options: QueryOptions | Filters) -> Many[T]:
        asked = _asked(options)
        if asked.after is not None:
            return cursor_page(records, asked).items
        where = records.where(asked.filters)
        statement = records.select(where, include_deleted=asked.include_deleted)
        statement = ordered(records, statement, asked.order())
        skip, limit = asked.window()
        statement = statement.offset(skip) if skip else statement
        statement = statement if limit is None else statement.limit(limit)
        statement = records.loading(statement, asked.include)
        return records.fetched(statement, where.parameters)


class BaseTenantRepository(Repository[T]):
    """A repository that is always of one tenant.

    Raises:
        TenantRequiredError: If no tenant is given.
    """

    def __init__(
        self, session: Session, model: type[T] | None = None, tenant_id: Any = None
    ) -> None:
        """Keep the session and the tenant."""
        super().__init__(session, model, tenant_id)
        if tenant_id is None:
            raise TenantRequiredError(model=self.spec.name)


BaseRepository = Repository
