"""The verbs as methods: `db.create(...)` waits, `await db.aio.create(...)` does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict, Unpack

from dataflow.database.database import Database
from dataflow.errors import ParameterError
from dataflow.portal import sync_call
from dataflow.query.builder import QueryBuilder
from dataflow.query.filters import Filter
from dataflow.records.bulk import Bulk
from dataflow.records.bulkwhere import BulkWhere
from dataflow.records.given import values_of
from dataflow.records.query import AsyncQuery, Query, query_parts
from dataflow.records.requests import (
    check_bulk_create,
    check_options,
    conflict_fields,
    field_names,
    link_names,
    list_request,
    where_many,
    where_some,
)
from dataflow.records.store import Store

__all__ = ["AsyncVerbs", "BulkCreateOptions", "BulkUpsertOptions", "ListOptions", "Verbs"]

Record = dict[str, Any]


class ReadOptions(TypedDict, total=False):
    """Options of `read`."""

    filter: Mapping[str, Any] | None
    fields: list[str] | None
    include: list[str] | str | None
    raise_on_not_found: bool
    include_deleted: bool


class ListOptions(TypedDict, total=False):
    """Options of `list`."""

    sort: Any
    limit: int | None
    offset: int
    after: str | None
    fields: list[str] | None
    include: list[str] | str | None
    count: bool | Literal["estimate"]
    include_deleted: bool


class BulkCreateOptions(TypedDict, total=False):
    """Options of `bulk_create`."""

    on_conflict: Literal["error", "skip"]
    on_error: Literal["abort", "collect"]
    returning: Literal["ids", "records"] | None
    batch_size: int | None


class BulkUpdateOptions(TypedDict, total=False):
    """Options of `bulk_update`."""

    all: bool
    batch_size: int | None
    include_deleted: bool


class BulkDeleteOptions(TypedDict, total=False):
    """Options of `bulk_delete`."""

    ids: Any
    all: bool
    hard: bool
    include_deleted: bool


class BulkUpsertOptions(TypedDict, total=False):
    """Options of `bulk_upsert`."""

    conflict_on: list[str] | str | None
    update_fields: list[str] | None
    on_conflict: Literal["update", "ignore"]
    batch_size: int | None


class AsyncVerbs:
    """The nine verbs and `count` as coroutines; models by class, name or table name."""

    def __init__(self, store_of: Callable[[Any], Store], database: Database) -> None:
        """Keep the way to a model's store."""
        self._store_of = store_of
        self._database = database

    def query(self, model: Any) -> AsyncQuery:
        """Return a lazy query for all records of a model; see `AsyncQuery`."""
        return AsyncQuery(query_parts(self._store_of(model)))

    def query_builder(self, model: Any) -> QueryBuilder:
        """Return a builder that collects the inputs of a model's List node."""
        store = self._store_of(model)
        return QueryBuilder(lambda params: list_request(store, params))

    async def create(self, model: Any, data: Any = None, /, **fields: Any) -> Record:
        """Insert one record and return it as stored.

        Args:
            model: Class, name or table name.
            data: The values: a dict, a pydantic model, a dataclass or an object of the class.
            **fields: The values by keywords instead.

        Raises:
            RecordValidationError: If the values do not fit the model.
            UniqueViolationError: If a unique value exists already.
        """
        if data is not None and fields:
            raise ParameterError(problem="give the fields as a dict or by keywords, not both.")
        store = self._store_of(model)
        return await store.create(fields if data is None else values_of(data, store.spec))

    async def read(
        self, model: Any, key: Any = None, **options: Unpack[ReadOptions]
    ) -> Record | None:
        """Return the record with a key, or the one that a filter matches, or None.

        Raises:
            MultipleRecordsError: If several match.
            RecordNotFoundError: If none matches and `raise_on_not_found` is True.
        """
        check_options(options, ReadOptions, "read")
        store = self._store_of(model)
        where = _selected(store, key, options.get("filter"), "read")
        record = await store.read(
            where,
            fields=field_names(store.spec, options.get("fields")),
            include=link_names(store, options.get("include")),
            include_deleted=options.get("include_deleted", False),
        )
        if record is None and options.get("raise_on_not_found"):
            raise store.not_found(where)
        return record

    async def update(
        self,
        model: Any,
        selector: Any,
        changes: Any,
        *,
        expect_version: int | None = None,
        include_deleted: bool = False,
        raise_on_not_found: bool = False,
    ) -> Record | None:
        """Change the record with a key, or the one that a filter matches, and return it.

        Args:
            model: Class, name or table name.
            selector: The key, or a filter.
            changes: A dict; or a pydantic model, of which the fields that were set count.
            expect_version: The version that was read.
            include_deleted: Whether a soft-deleted record may be the one.
            raise_on_not_found: Whether it is an error if there is none.

        Returns:
            The record after the change; None if there is none.

        Raises:
            MultipleRecordsError: If several match.
            RecordNotFoundError: If none matches and `raise_on_not_found` is True.
            StaleRecordError: If it is not at the expected version.
        """
        store = self._store_of(model)
        where = _selected(store, selector, None, "update")
        changed = await store.update(
            where,
            values_of(changes, store.spec, changes=True),
            expect_version=expect_version,
            include_deleted=include_deleted,
        )
        if changed is None and raise_on_not_found:
            raise store.not_found(where)
        return changed

    async def delete(
        self, model: Any, selector: Any, *, hard: bool = False, include_deleted: bool = False
    ) -> bool:
        """Delete the record with a key, or the one that a filter matches.

        Returns:
            Whether there was one.
        """
        store = self._store_of(model)
        where = _selected(store, selector, None, "delete")
        gone = await store.delete(where, hard=hard, include_deleted=include_deleted)
        return gone is not None

    async def list(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        **options: Unpack[ListOptions],
    ) -> Record:
        """Return a page: `{"records", "count", "total", "next"}`."""
        check_options(options, ListOptions, "list")
        store = self._store_of(model)
        return await store.list(list_request(store, {**options, "filter": filter}))

    async def count(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        *,
        include_deleted: bool = False,
    ) -> int:
        """Return how many records match; with `include_deleted` also those marked as deleted."""
        store = self._store_of(model)
        return await store.count(store.where(filter), include_deleted=include_deleted)

    async def bulk_create(
        self, model: Any, data: Any, **options: Unpack[BulkCreateOptions]
    ) -> Record:
        """Insert many records in one transaction; see the BulkCreate node."""
        check_options(options, BulkCreateOptions, "bulk_create")
        check_bulk_create(options)
        return await Bulk(self._store_of(model)).create(data, **options)

    async def bulk_update(
        self,
        model: Any,
        target: Any = None,
        changes: Mapping[str, Any] | None = None,
        **options: Unpack[BulkUpdateOptions],
    ) -> Record:
        """Give all matches of a filter the same values, or each row of a list its own.

        Args:
            model: Class, name or table name.
            target: A filter, with `changes`; or rows that hold their key.
            changes: New values of every match.
            **options: `all` allows an empty filter, `include_deleted` matches deleted
                records too; `batch_size` is that of rows.
        """
        check_options(options, BulkUpdateOptions, "bulk_update")
        store = self._store_of(model)
        hidden = options.get("include_deleted", False)
        if changes is None:
            size = options.get("batch_size")
            return await Bulk(store).update_rows(target, batch_size=size, include_deleted=hidden)
        selected = {"filter": target, "all": options.get("all", False)}
        where = where_many(store, selected, "BulkUpdate")
        changed = values_of(changes, store.spec, changes=True)
        return await BulkWhere(store).update(where, changed, include_deleted=hidden)

    async def bulk_delete(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        **options: Unpack[BulkDeleteOptions],
    ) -> Record:
        """Delete all matches of a filter, or the records with the given keys.

        Args:
            model: Class, name or table name.
            filter: Which records; or name them by `ids`.
            **options: `all` allows an empty filter, `include_deleted` matches deleted
                records too; `hard` deletes for good.
        """
        check_options(options, BulkDeleteOptions, "bulk_delete")
        store = self._store_of(model)
        selected = {"filter": filter, "ids": options.get("ids"), "all": options.get("all", False)}
        where = where_many(store, selected, "BulkDelete")
        hard, hidden = options.get("hard", False), options.get("include_deleted", False)
        return await BulkWhere(store).delete(where, hard=hard, include_deleted=hidden)

    async def bulk_upsert(
        self, model: Any, data: Any, **options: Unpack[BulkUpsertOptions]
    ) -> Record:
        """Insert records or change those that exist; see the BulkUpsert node."""
        check_options(options, BulkUpsertOptions, "bulk_upsert")
        store = self._store_of(model)
        return await Bulk(store).upsert(data, **conflict_fields(store.spec, options))


def _selected(store: Store, key: Any, filter: Any, verb: str) -> Filter:
    """Return the filter for a key, a dict or the `filter` option."""
    if key is not None and filter is not None:
        raise ParameterError(problem=f"{verb} takes a key or a filter, not both.")
    if isinstance(key, Mapping):
        key, filter = None, key  # noqa: A001 - the word users write
    if key is not None:
        return store.where_key(key)
    if verb == "read" and not filter:
        raise ParameterError(
            problem=f"read of {store.spec.name!r} needs its key or a filter.",
        )
    return where_some(store, filter, verb)


class Verbs:
    """The verbs for sync callers; each waits for its twin in `aio`."""

    def __init__(self, aio: AsyncVerbs) -> None:
        """Keep the coroutines."""
        self.aio = aio

    def query(self, model: Any) -> Query:
        """Return a lazy query for all records of a model; see `Query`."""
        return Query(self.aio.query(model).parts)

    def create(self, model: Any, data: Any = None, /, **fields: Any) -> Record:
        """Insert one record and return it; see `AsyncVerbs.create`."""
        return sync_call("db.create", "db.aio.create", self.aio.create, model, data, **fields)

    def read(self, model: Any, key: Any = None, **options: Unpack[ReadOptions]) -> Record | None:
        """Return one record or None; see `AsyncVerbs.read`."""
        return sync_call("db.read", "db.aio.read", self.aio.read, model, key, **options)

    def update(
        self,
        model: Any,
        selector: Any,
        changes: Any,
        *,
        expect_version: int | None = None,
        include_deleted: bool = False,
        raise_on_not_found: bool = False,
    ) -> Record | None:
        """Change one record and return it; see `AsyncVerbs.update`."""
        return sync_call(
            "db.update", "db.aio.update", self.aio.update, model, selector, changes,
            expect_version=expect_version, include_deleted=include_deleted,
            raise_on_not_found=raise_on_not_found,
        )  # fmt: skip

    def delete(
        self, model: Any, selector: Any, *, hard: bool = False, include_deleted: bool = False
    ) -> bool:
        """Delete one record; see `AsyncVerbs.delete`."""
        return sync_call(
            "db.delete", "db.aio.delete", self.aio.delete, model, selector,
            hard=hard, include_deleted=include_deleted,
        )  # fmt: skip

    def list(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        **options: Unpack[ListOptions],
    ) -> Record:
        """Return a page of records; see `AsyncVerbs.list`."""
        return sync_call("db.list", "db.aio.list", self.aio.list, model, filter, **options)

    def count(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        *,
        include_deleted: bool = False,
    ) -> int:
        """Return how many records match; see `AsyncVerbs.count`."""
        return sync_call(
            "db.count",
            "db.aio.count",
            self.aio.count,
            model,
            filter,
            include_deleted=include_deleted,
        )

    def bulk_create(self, model: Any, data: Any, **options: Unpack[BulkCreateOptions]) -> Record:
        """Insert many records; see `AsyncVerbs.bulk_create`."""
        return sync_call(
            "db.bulk_create", "db.aio.bulk_create", self.aio.bulk_create, model, data, **options
        )

    def bulk_update(
        self,
        model: Any,
        target: Any = None,
        changes: Mapping[str, Any] | None = None,
        **options: Unpack[BulkUpdateOptions],
    ) -> Record:
        """Change many records; see `AsyncVerbs.bulk_update`."""
        return sync_call(
            "db.bulk_update", "db.aio.bulk_update", self.aio.bulk_update, model, target, changes,
            **options,
        )  # fmt: skip

    def bulk_delete(
        self,
        model: Any,
        filter: Mapping[str, Any] | None = None,
        **options: Unpack[BulkDeleteOptions],
    ) -> Record:
        """Delete many records; see `AsyncVerbs.bulk_delete`."""
        return sync_call(
            "db.bulk_delete", "db.aio.bulk_delete", self.aio.bulk_delete, model, filter, **options
        )

    def bulk_upsert(self, model: Any, data: Any, **options: Unpack[BulkUpsertOptions]) -> Record:
        """Insert or change many records; see `AsyncVerbs.bulk_upsert`."""
        return sync_call(
            "db.bulk_upsert", "db.aio.bulk_upsert", self.aio.bulk_upsert, model, data, **options
        )
