"""`Query`: what to find, as a value; nothing runs until a result is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from dataflow.errors import MultipleRecordsError, ParameterError, RecordNotFoundError
from dataflow.portal import sync_call
from dataflow.query.filters import Filter
from dataflow.query.sort import parse_sort
from dataflow.records.aggregates import run_aggregate
from dataflow.records.bulkwhere import BulkWhere
from dataflow.records.inspection import Sql, explain, sql_of
from dataflow.records.listing import ListRequest, Lock
from dataflow.records.requests import (
    check_count,
    field_names,
    link_names,
    list_request,
    where_some,
)
from dataflow.records.store import Store

__all__ = ["AsyncQuery", "Query", "Record", "query_parts"]


class Record(dict[str, Any]):
    """A record of a query: a dict whose fields also read as attributes."""

    def __getattr__(self, name: str) -> Any:
        """Return a field; one that is called like a method of dict, as `record["items"]`."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the record has no field {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse: a record is what was read, and changing it would change nothing else."""
        raise AttributeError(f"a record is a value; write record[{name!r}], or db.update(…)")


@dataclass(frozen=True, slots=True)
class _Parts:
    store: Store
    filters: tuple[Mapping[str, Any], ...] = ()
    sort: Any = None
    limit: int | None = None
    offset: int = 0
    fields: tuple[str, ...] | None = None
    include: tuple[str, ...] = ()
    distinct: bool = False
    lock: Lock | None = None
    deleted: bool = False

    @property
    def filter(self) -> Mapping[str, Any] | None:
        if len(self.filters) < 2:
            return self.filters[0] if self.filters else None
        return {"$and": list(self.filters)}

    @property
    def where(self) -> Filter:
        return self.store.where(self.filter)

    def with_stages(self, pipeline: Any) -> Any:
        """Return a pipeline that begins with this query's sort, offset and limit."""
        unused = {
            "fields()": self.fields, "include()": self.include, "for_update()": self.lock,
            "distinct()": self.distinct,
        }  # fmt: skip
        for name, value in unused.items():
            if value:
                advise = "fields are chosen by $project, links joined by $lookup"
                raise ParameterError(problem=f"a pipeline has no use for {name}.", advise=advise)
        if not isinstance(pipeline, list | tuple):
            return pipeline
        found: list[Any] = []
        if self.sort is not None:
            order = parse_sort(self.store.spec, self.sort)
            found.append({"$sort": {name: -1 if down else 1 for name, down in order}})
        if self.offset:
            found.append({"$skip": self.offset})
        if self.limit is not None:
            found.append({"$limit": self.limit})
        return [*found, *pipeline]

    def for_write(self, verb: str) -> Filter:
        if self.distinct or self.lock is not None or self.deleted:
            what = "distinct(), for_update() and include_deleted()"
            raise ParameterError(problem=f"{verb} has no use for {what}.")
        if self.limit is not None or self.offset:
            raise ParameterError(
                problem=f"{verb} changes every match; it takes no limit and no offset.",
                advise="read the keys first, and filter by them: {'id': {'$in': [...]}}",
            )
        return where_some(self.store, self.filter, verb)

    def request(self, **changes: Any) -> ListRequest:
        options: dict[str, Any] = {
            "filter": self.filter, "sort": self.sort, "limit": self.limit,
            "offset": self.offset, "fields": self.fields, "include": self.include,
            "include_deleted": self.deleted,
        }  # fmt: skip
        request = list_request(self.store, options | changes)
        if not self.distinct and self.lock is None:
            return request
        return replace(request, distinct=self.distinct, lock=self.lock)

    def check(self) -> Self:
        """Refuse combinations that have no meaning.

        Raises:
            ParameterError: Naming them.
        """
        if not self.distinct:
            return self
        if self.fields is None or self.include:
            raise ParameterError(
                problem="distinct() needs fields(...), and no include.",
                advise='write .fields("city").distinct()',
            )
        outside = [n for n, _ in parse_sort(self.store.spec, self.sort) if n not in self.fields]
        if outside or self.lock is not None:
            problem = "a distinct query cannot lock records."
            if outside:
                problem = f"a distinct query sorts by its fields, and {outside[0]!r} is none."
            raise ParameterError(problem=problem)
        return self


def _check_changes(changes: Any) -> None:
    """Refuse what is no dict of fields.

    Raises:
        ParameterError: Saying how to write it.
    """
    if not isinstance(changes, Mapping):
        raise ParameterError(problem=f"update() takes a dict of fields, not {changes!r}.")
    operators = [name for name in changes if str(name).startswith("$")]
    if operators:
        raise ParameterError(
            problem=f"update() takes fields with their new values, not {operators[0]!r}.",
            advise='write update({"status": "paid"})',
        )


class _Chain:
    """The steps that both faces share; each returns a new query."""

    def __init__(self, parts: _Parts) -> None:
        """Keep the parts."""
        self._parts = parts

    @property
    def parts(self) -> _Parts:
        """What both faces of a query share."""
        return self._parts

    def _with(self, **changes: Any) -> Self:
        return type(self)(replace(self._parts, **changes))

    async def _list(self, **changes: Any) -> dict[str, Any]:
        parts = self._parts.check()
        if parts.lock is not None and parts.store.database.current() is None:
            raise ParameterError(
                problem="for_update() locks until the transaction ends, and there is none.",
                advise="run the query inside `with db.transaction():`",
            )
        return await parts.store.list(parts.request(**changes))

    def where(self, filter: Mapping[str, Any] | None) -> Self:
        """Add a filter, joined to the others with AND; None adds none.

        Raises:
            UnknownFieldError: For a field that the model lacks.
            FilterError: For an unknown operator or a wrong shape.
        """
        self._parts.store.where(filter)
        if filter is None:
            return self
        return self._with(filters=(*self._parts.filters, dict(filter)))

    def sort(self, sort: Any) -> Self:
        """Set the order: `{"created_at": -1}` or `["-created_at"]`."""
        parse_sort(self._parts.store.spec, sort)
        return self._with(sort=sort)

    def limit(self, limit: int | None) -> Self:
        """Set how many records there may be; None: all."""
        self._parts.request(limit=limit)
        return self._with(limit=limit)

    def offset(self, offset: int) -> Self:
        """Set how many records are passed over."""
        self._parts.request(offset=offset)
        return self._with(offset=offset)

    def fields(self, *names: str | Sequence[str]) -> Self:
        """Set which fields are returned; without names, all."""
        chosen = names[0] if len(names) == 1 and not isinstance(names[0], str) else names
        return self._with(fields=field_names(self._parts.store.spec, chosen or None))

    def include(self, *names: str) -> Self:
        """Set which links are loaded, each with one statement."""
        return self._with(include=link_names(self._parts.store, names))

    def distinct(self, *names: str) -> Self:
        """Return equal records once; takes the chosen `fields` only, or these.

        Raises:
            ParameterError: Without fields, or with a sort by another field.
        """
        spec = self._parts.store.spec
        fields = field_names(spec, names) if names else self._parts.fields
        return self._with(distinct=True, fields=fields)

    def include_deleted(self) -> Self:
        """Find records that are marked as deleted too, in models with soft delete."""
        return self._with(deleted=True)

    def for_update(self, *, skip_locked: bool = False, nowait: bool = False) -> Self:
        """Lock the records until the transaction ends; SQLite locks its only writer anyway.

        Args:
            skip_locked: Leave out records that others hold.
            nowait: Fail at once if others hold one.

        Raises:
            ParameterError: For both at once; when run, outside a transaction.
        """
        if skip_locked and nowait:
            raise ParameterError(problem="for_update() takes skip_locked or nowait, not both.")
        lock: Lock = "skip locked" if skip_locked else "nowait" if nowait else "wait"
        return self._with(lock=lock)

    def sql(self, pipeline: Sequence[Mapping[str, Any]] | None = None) -> Sql:
        """Return the statement and its arguments, `(text, args)`, without running it.

        Args:
            pipeline: Show what `aggregate(pipeline)` runs.
        """
        parts = self._parts.check()
        stages = None if pipeline is None else parts.with_stages(pipeline)
        return sql_of(parts.store, parts.request(), stages)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Return the query itself: it never changes."""
        return self

    def __reduce__(self) -> Any:
        """Refuse to be pickled: the query belongs to a live DataFlow."""
        raise ParameterError(
            problem="a query cannot be pickled, because it belongs to a live DataFlow.",
            advise="pickle the filter, and build the query where it is needed",
        )

    def __repr__(self) -> str:
        """Return model and filter."""
        return f"{type(self).__name__}({self._parts.store.spec.name}, {self._parts.filter!r})"


class AsyncQuery(_Chain):
    """A lazy query whose results are awaited; see `Query`."""

    def __aiter__(self) -> AsyncIterator[Record]:
        """Iterate over every record, in batches; see `iterate`."""
        return self.iterate()

    async def all(self) -> list[Record]:
        """Return every record."""
        page = await self._list()
        return [Record(record) for record in page["records"]]

    async def page(
        self,
        limit: int | None = None,
        after: str | None = None,
        *,
        count: bool | Literal["estimate"] = False,
    ) -> dict[str, Any]:
        """Return `{"records", "count", "total", "next"}`; pass `next` as `after`.

        Args:
            limit: Records per page; None: the query's limit, else 100.
            after: The `next` of the page before.
            count: Count all matches into `total`; `"estimate"`: by the planner's statistics.
        """
        if self._parts.distinct:
            raise ParameterError(
                problem="a distinct query has no pages.",
                advise="use limit() and offset(), or all()",
            )
        options: dict[str, Any] = {"after": after, "count": count}
        options["limit"] = limit or self._parts.limit or 100
        if after is not None:
            options["offset"] = 0  # the cursor tells where to go on
        page = await self._list(**options)
        return {**page, "records": [Record(record) for record in page["records"]]}

    async def first(self) -> Record | None:
        """Return the first record, or None."""
        page = await self._list(limit=1)
        return Record(page["records"][0]) if page["records"] else None

    async def one(self) -> Record:
        """Return the only record.

        Raises:
            RecordNotFoundError: If there is none.
            MultipleRecordsError: If there are several.
        """
        name, criteria = self._parts.store.spec.name, repr(self._parts.filter or {})
        limit = self._parts.limit
        page = await self._list(limit=2 if limit is None else min(2, limit))
        if not page["records"]:
            raise RecordNotFoundError(model=name, criteria=criteria)
        if len(page["records"]) > 1:
            raise MultipleRecordsError(
                model=name, criteria=criteria, verb="one()", instead="use all() or first()"
            )
        return Record(page["records"][0])

    async def count(self, *, estimate: bool = False) -> int:
        """Return how many records match, whatever limit and offset are.

        Args:
            estimate: Ask the planner's statistics, which takes no longer for more records;
                exact on SQLite, which keeps none.
        """
        store, where = self._parts.store, self._parts.where
        if self._parts.distinct:
            fields = list(self._parts.check().fields or ())
            counted = [{"$distinct": fields}, {"$count": "n"}]
            found = await run_aggregate(store, where, counted, include_deleted=self._parts.deleted)
            return int(found[0]["n"]) if found else 0
        if not estimate:
            return await store.count(where, include_deleted=self._parts.deleted)
        await store.ready()
        return await store.pages.estimate(where, include_deleted=self._parts.deleted)

    async def exists(self) -> bool:
        """Return whether a record matches."""
        key = self._parts.store.spec.key
        request = replace(self._parts.request(limit=1, fields=key, include=()), distinct=False)
        page = await self._parts.store.list(request)
        return bool(page["records"])

    async def iterate(self, batch: int = 2_000) -> AsyncIterator[Record]:
        """Yield every record, holding one batch in memory; stable while others write."""
        check_count("batch", batch, least=1)
        if self._parts.distinct or self._parts.lock is not None:
            for record in await self.all():  # there are no cursors for these
                yield record
            return
        after, left = None, self._parts.limit
        offset = self._parts.offset
        while left is None or left > 0:
            size = batch if left is None else min(batch, left)
            request = {"limit": size, "after": after, "offset": offset}
            page = await self._list(**request)
            for record in page["records"]:
                yield Record(record)
            after, offset = page["next"], 0
            left = None if left is None else left - len(page["records"])
            if after is None:
                return

    async def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> Any:
        """Return the records of a pipeline over the matches, or one value.

        Args:
            pipeline: MongoDB's stages, compiled to one statement. A last stage that is a
                bare accumulator, such as `{"$sum": "$amount"}`, makes the result a value.

        Raises:
            FilterError: For an unknown stage, operator or shape.
            UnknownFieldError: For a field that a stage lacks.
        """
        parts = self._parts
        stages = parts.with_stages(pipeline)
        found = await run_aggregate(parts.store, parts.where, stages, include_deleted=parts.deleted)
        return [Record(record) for record in found] if isinstance(found, list) else found

    async def explain(
        self, pipeline: Sequence[Mapping[str, Any]] | None = None, *, analyze: bool = False
    ) -> list[str]:
        """Return the lines of the database's plan for the query.

        Args:
            pipeline: Explain what `aggregate(pipeline)` runs.
            analyze: Run the query and show what it took; PostgreSQL only.
        """
        return await explain(self._parts.store, self.sql(pipeline), analyze=analyze)

    async def update(self, changes: Mapping[str, Any]) -> int:
        """Give every match the same values; return how many there are.

        Raises:
            UnfilteredWriteError: Without a filter.
        """
        where = self._parts.for_write("update()")
        _check_changes(changes)
        result = await BulkWhere(self._parts.store).update(where, changes)
        return int(result["updated"])

    async def delete(self) -> int:
        """Delete every match; return how many there were.

        Raises:
            UnfilteredWriteError: Without a filter.
        """
        where = self._parts.for_write("delete()")
        result = await BulkWhere(self._parts.store).delete(where)
        return int(result["deleted"])


class Query(_Chain):
    """A lazy, immutable query: each step returns a new one, results wait for the database.

    db.query("users").where({"age": {"$gt": 18}}).sort("-age").limit(10).all()
    """

    def _wait(self, name: str, call: Callable[[AsyncQuery], Any]) -> Any:
        twin = f"db.aio.query(…).{name}"
        return sync_call(f"db.query(…).{name}", twin, call, AsyncQuery(self._parts))

    def __iter__(self) -> Iterator[Record]:
        """Iterate over every record, in batches; see `iterate`."""
        return self.iterate()

    def all(self) -> list[Record]:
        """Return every record."""
        found: list[Record] = self._wait("all", AsyncQuery.all)
        return found

    def page(
        self,
        limit: int | None = None,
        after: str | None = None,
        *,
        count: bool | Literal["estimate"] = False,
    ) -> dict[str, Any]:
        """Return `{"records", "count", "total", "next"}`; see `AsyncQuery.page`."""
        page: dict[str, Any] = self._wait(
            "page", lambda query: query.page(limit, after, count=count)
        )
        return page

    def first(self) -> Record | None:
        """Return the first record, or None."""
        found: Record | None = self._wait("first", AsyncQuery.first)
        return found

    def one(self) -> Record:
        """Return the only record; see `AsyncQuery.one` for the errors."""
        found: Record = self._wait("one", AsyncQuery.one)
        return found

    def count(self, *, estimate: bool = False) -> int:
        """Return how many records match; see `AsyncQuery.count`."""
        return int(self._wait("count", lambda query: query.count(estimate=estimate)))

    def exists(self) -> bool:
        """Return whether a record matches."""
        return bool(self._wait("exists", AsyncQuery.exists))

    def iterate(self, batch: int = 2_000) -> Iterator[Record]:
        """Yield every record, holding one batch in memory; stable while others write."""
        check_count("batch", batch, least=1)
        records = AsyncQuery(self._parts).iterate(batch)

        async def take() -> list[Record]:
            taken: list[Record] = []
            async for record in records:
                taken.append(record)
                if len(taken) == batch:
                    break
            return taken

        while taken := self._wait("iterate", lambda _: take()):
            yield from taken

    def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> Any:
        """Return the records of a pipeline, or one value; see `AsyncQuery.aggregate`."""
        return self._wait("aggregate", lambda query: query.aggregate(pipeline))

    def explain(
        self, pipeline: Sequence[Mapping[str, Any]] | None = None, *, analyze: bool = False
    ) -> list[str]:
        """Return the lines of the database's plan; see `AsyncQuery.explain`."""
        lines: list[str] = self._wait(
            "explain", lambda query: query.explain(pipeline, analyze=analyze)
        )
        return lines

    def update(self, changes: Mapping[str, Any]) -> int:
        """Give every match the same values; return how many there are."""
        return int(self._wait("update", lambda query: query.update(changes)))

    def delete(self) -> int:
        """Delete every match; return how many there were."""
        return int(self._wait("delete", AsyncQuery.delete))


def query_parts(store: Store) -> _Parts:
    """Return the parts of a query for everything."""
    return _Parts(store)
