"""`Store`: the verbs of one model as dictionaries on the pool.

Each verb compiles its statement once per shape and then only fills parameters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_jsonable_python

from dataflow.database.database import Database
from dataflow.errors import MultipleRecordsError, RecordNotFoundError, StaleRecordError
from dataflow.models.spec import ModelSpec
from dataflow.query.cursor import condition_after, decode_cursor, encode_cursor
from dataflow.query.filters import Filter, condition_for, parse_filter
from dataflow.query.sort import Sort, order_for, total_order
from dataflow.records.listing import ListRequest
from dataflow.records.prepared import Prepared, prepare
from dataflow.records.related import Related
from dataflow.records.scope import Scope
from dataflow.records.statements import (
    Condition,
    columns_of,
    count_statement,
    delete_statement,
    insert_statement,
    only_one,
    probe_statement,
    select_statement,
    update_statement,
)
from dataflow.records.validation import Validator

__all__ = ["Store"]

Prepare = Callable[[], Awaitable[None]]
Record = dict[str, Any]


class Store:
    """Create, read, update, delete and list records of one model."""

    def __init__(
        self,
        database: Database,
        spec: ModelSpec,
        stores: Callable[[str], Store],
        prepare_schema: Prepare,
    ) -> None:
        """Wire the parts; compiles and connects nothing.

        Args:
            stores: Finds the store of another model, for links.
            prepare_schema: Awaited once, before the first statement.
        """
        self.database = database
        self.spec = spec
        self.scope = Scope(spec)
        self.validator = Validator(spec)
        self.related = Related(spec, stores)
        self._prepare_schema = prepare_schema
        self._ready = False
        self._statements: dict[Any, Prepared] = {}
        self._unique = [frozenset(names) for names in spec.unique_sets]
        self._all = tuple(spec.fields)
        self._secret = _cursor_secret(database)

    # ------------------------------------------------------------- criteria

    def where(self, filter: Any, at: str | None = None) -> Filter:  # noqa: A002 - the word users write
        """Return a checked filter; see `parse_filter` for the errors."""
        return parse_filter(self.spec, filter, self.validator.value, at)

    def where_key(self, key: Any, at: str | None = None) -> Filter:
        """Return the filter for one primary key: a value, or a dict for composite keys."""
        names = self.spec.key
        if len(names) == 1 and not isinstance(key, Mapping):
            value = self.validator.value(self.spec.fields[names[0]], key)
            return Filter(("$eq", names[0]), (value,))
        if isinstance(key, tuple | list) and len(key) == len(names):
            key = dict(zip(names, key, strict=True))
        if not isinstance(key, Mapping) or set(key) != set(names):
            problem = (None, ", ".join(names), f"the key has {len(names)} fields", key)
            raise self.validator.refuse([problem])
        return self.where(dict(key), at)

    def is_single(self, where: Filter) -> bool:
        """Whether unique constraints let at most one record match."""
        shape = where.shape
        terms = shape[1:] if shape and shape[0] == "and" else (shape,)
        equal = {term[1] for term in terms if term and term[0] == "$eq"}
        return any(names <= equal for names in self._unique)

    # ---------------------------------------------------------------- verbs

    async def ready(self) -> None:
        """Make sure that the schema was prepared."""
        if not self._ready:
            await self._prepare_schema()
            self._ready = True

    async def create(self, values: Mapping[str, Any]) -> Record:
        """Insert one record and return it as stored.

        Raises:
            RecordValidationError: If the values do not fit the model.
            UniqueViolationError: If a unique value exists already.
        """
        if not self._ready:
            await self.ready()
        record = self.scope.created()
        record.update(self.validator.record(values))
        prepared = self._prepared(("create", *record), self._insert, tuple(record))
        args = prepared.args({f"v_{name}": value for name, value in record.items()})
        rows = await self.database.fetch(prepared.sql, args, write=True)
        return _reader(prepared).one(rows[0])

    def _insert(self, names: tuple[str, ...]) -> Prepared:
        return self.compile(insert_statement(self.spec, names), self._all)

    async def read(
        self,
        where: Filter,
        *,
        fields: tuple[str, ...] | None = None,
        include: tuple[str, ...] = (),
        include_deleted: bool = False,
    ) -> Record | None:
        """Return the one record that matches, or None.

        Raises:
            MultipleRecordsError: If several match.
        """
        if not self._ready:
            await self.ready()
        names = self._all if fields is None else self.related.with_keys(fields, include)
        prepared = self._prepared(
            ("read", where.shape, names, include_deleted),
            self._select_one, where, names, include_deleted,
        )  # fmt: skip
        rows = await self.database.fetch(prepared.sql, prepared.args(where.parameters))
        if not rows:
            return None
        if len(rows) > 1:
            raise self._several(where, "Read", "use a List node to get them all")
        record = _reader(prepared).one(rows[0])
        if include:
            await self.related.load([record], include)
        return (
            record
            if fields is None
            else {name: record[name] for name in (*fields, *_roots(include))}
        )

    def _select_one(
        self,
        where: Filter,
        names: tuple[str, ...],
        include_deleted: bool,  # noqa: FBT001 - part of a cache key
    ) -> Prepared:
        statement = select_statement(self.spec, names, self.conditions(where, include_deleted))
        if not self.is_single(where):
            statement = statement.limit(2)
        return self.compile(statement, names)

    async def update(
        self,
        where: Filter,
        changes: Mapping[str, Any],
        *,
        expect_version: int | None = None,
        include_deleted: bool = False,
    ) -> Record | None:
        """Change the one record that matches and return it, or None without a match.

        Raises:
            MultipleRecordsError: If several match; none is changed.
            StaleRecordError: If the record is not at the expected version.
        """
        self.scope.refuse_change("Update")
        await self.ready()
        record = {**self.scope.updated(), **self.validator.changes(changes)}
        names = tuple(record)
        prepared = self._prepared(
            ("update", where.shape, names, expect_version is None, include_deleted),
            self._update_one, where, names, expect_version is not None, include_deleted,
        )  # fmt: skip
        values = {f"v_{name}": value for name, value in record.items()}
        values |= where.parameters
        values["expected"] = expect_version
        rows = await self.database.fetch(prepared.sql, prepared.args(values), write=True)
        if rows:
            return _reader(prepared).one(rows[0])
        await self._explain_no_match(
            where, "Update", include_deleted=include_deleted, expected=expect_version
        )
        return None

    def _update_one(
        self,
        where: Filter,
        names: tuple[str, ...],
        versioned: bool,
        include_deleted: bool,  # noqa: FBT001 - part of a cache key
    ) -> Prepared:
        conditions = self._single(where, include_deleted)
        if versioned:
            conditions.append(self._version == sa.bindparam("expected", type_=sa.BigInteger()))
        statement = update_statement(self.spec, self.scope, names, conditions)
        columns = [self.spec.fields[name].column for name in self._all]
        return self.compile(statement.returning(*columns), self._all)

    @property
    def _version(self) -> sa.Column[Any]:
        return self.spec.field("version").column

    async def delete(
        self, where: Filter, *, hard: bool = False, include_deleted: bool = False
    ) -> Record | None:
        """Delete the one record that matches and return its key, or None without a match.

        Soft-delete models keep the record unless `hard`.

        Raises:
            MultipleRecordsError: If several match; none is deleted.
        """
        self.scope.refuse_change("Delete")
        await self.ready()
        soft = self.scope.live is not None and not hard
        prepared = self._prepared(
            ("delete", where.shape, soft, include_deleted),
            self._delete_one, where, soft, include_deleted,
        )  # fmt: skip
        values = {**where.parameters, **self.deletion_values()}
        rows = await self.database.fetch(prepared.sql, prepared.args(values), write=True)
        if rows:
            return _reader(prepared).one(rows[0])
        await self._explain_no_match(where, "Delete", include_deleted=include_deleted)
        return None

    def _delete_one(self, where: Filter, soft: bool, include_deleted: bool) -> Prepared:  # noqa: FBT001 - part of a cache key
        conditions = self._single(where, include_deleted)
        return self.compile(
            self.deletion(conditions, soft=soft).returning(
                *(self.spec.fields[name].column for name in self.spec.key)
            ),
            self.spec.key,
        )

    def deletion(self, conditions: Sequence[Condition | None], *, soft: bool) -> Any:
        """Return the statement that deletes, or marks as deleted, what matches."""
        if not soft:
            return delete_statement(self.spec, conditions)
        names = ["deleted_at", *self.scope.updated()]
        return update_statement(self.spec, self.scope, names, conditions)

    def deletion_values(self) -> dict[str, Any]:
        created = self.scope.created()
        values = {f"v_{name}": value for name, value in self.scope.updated().items()}
        values["v_deleted_at"] = created.get("updated_at") or next(iter(values.values()), None)
        return values

    async def list(self, request: ListRequest) -> dict[str, Any]:
        """Return a page: `{"records", "count", "total", "next"}`.

        Raises:
            CursorError: If `after` was altered or belongs to another query.
        """
        await self.ready()
        sort = total_order(self.spec, request.sort)
        names = self._all
        if request.fields is not None:
            wanted = self.related.with_keys(request.fields, request.include)
            names = tuple(dict.fromkeys((*wanted, *(name for name, _ in sort))))
        values = dict(request.where.parameters)
        nulls = self._place(request, sort, values)
        limit = None if request.limit is None else request.limit + 1
        values |= {"limit": limit, "offset": request.offset}
        prepared = self._prepared(
            ("list", request.where.shape, sort, names, nulls, limit is None,
             request.offset > 0, request.include_deleted),
            self._select_page, request, sort, names, nulls,
        )  # fmt: skip
        rows = await self.database.fetch(prepared.sql, prepared.args(values))
        more = request.limit is not None and len(rows) > request.limit
        records = _reader(prepared).many(rows[: request.limit] if more else rows)
        return await self._page(request, records, sort, more=more)

    async def _page(
        self, request: ListRequest, records: list[Record], sort: Sort, *, more: bool
    ) -> dict[str, Any]:
        following = self._cursor(request.where, sort, records[-1]) if more and records else None
        if request.include and records:
            await self.related.load(records, request.include)
        if request.fields is not None:
            shown = (*request.fields, *_roots(request.include))
            records = [{name: record[name] for name in shown} for record in records]
        total = None
        if request.count:
            total = await self.count(request.where, include_deleted=request.include_deleted)
        return {"records": records, "count": len(records), "total": total, "next": following}

    def _select_page(
        self,
        request: ListRequest,
        sort: Sort,
        names: tuple[str, ...],
        nulls: tuple[bool, ...] | None,
    ) -> Prepared:
        conditions = self.conditions(request.where, request.include_deleted)
        if nulls is not None:
            places = [f"after_{number}" for number in range(len(sort))]
            conditions.append(condition_after(self.spec, sort, nulls, places))
        statement = select_statement(self.spec, names, conditions)
        statement = statement.order_by(*order_for(self.spec, sort))
        if request.limit is not None:
            statement = statement.limit(sa.bindparam("limit", type_=sa.BigInteger()))
        if request.offset:
            statement = statement.offset(sa.bindparam("offset", type_=sa.BigInteger()))
        return self.compile(statement, names)

    def _place(
        self, request: ListRequest, sort: Sort, values: dict[str, Any]
    ) -> tuple[bool, ...] | None:
        """Decode the cursor into parameters; return which of them are null."""
        if request.after is None:
            return None
        scope = self._cursor_scope(request.where, sort)
        place = decode_cursor(self._secret, scope, request.after, len(sort))
        for number, ((name, _), value) in enumerate(zip(sort, place, strict=True)):
            known = None if value is None else self.validator.value(self.spec.fields[name], value)
            values[f"after_{number}"] = known
        return tuple(value is None for value in place)

    def _cursor(self, where: Filter, sort: Sort, record: Record) -> str:
        values = to_jsonable_python([record[name] for name, _ in sort])
        return encode_cursor(self._secret, self._cursor_scope(where, sort), values)

    def _cursor_scope(self, where: Filter, sort: Sort) -> str:
        return f"{self.spec.table.fullname} {sort!r} {where.shape!r}"

    async def all(self, where: Filter) -> list[Record]:
        """Return every match, in the order of the key."""
        page = await self.list(ListRequest(where=where, limit=None))
        records: list[Record] = page["records"]
        return records

    async def count(self, where: Filter, *, include_deleted: bool = False) -> int:
        """Return how many records match."""
        await self.ready()
        prepared = self._prepared(
            ("count", where.shape, include_deleted), self._count, where, include_deleted
        )
        rows = await self.database.fetch(prepared.sql, prepared.args(where.parameters))
        return int(rows[0][0])

    def _count(self, where: Filter, include_deleted: bool) -> Prepared:  # noqa: FBT001 - part of a cache key
        return self.compile(count_statement(self.spec, self.conditions(where, include_deleted)))

    # ------------------------------------------------------------ inner parts

    def _prepared(self, key: Any, build: Callable[..., Prepared], *args: Any) -> Prepared:
        found = self._statements.get(key)
        if found is None:
            found = self._statements[key] = build(*args)
        return found

    def compile(self, statement: Any, names: Sequence[str] = ()) -> Prepared:
        dialect = self.database.driver.dialect
        return prepare(statement, dialect, columns_of(self.spec, names))

    def conditions(self, where: Filter, include_deleted: bool) -> list[Condition | None]:  # noqa: FBT001 - part of a cache key
        condition = condition_for(self.spec, where.shape) if where.shape else None
        return [self.scope.visible(include_deleted=include_deleted), condition]

    def _single(self, where: Filter, include_deleted: bool) -> list[Condition | None]:  # noqa: FBT001 - part of a cache key
        conditions = self.conditions(where, include_deleted)
        if not self.is_single(where):
            conditions.append(only_one(self.spec, list(conditions)))
        return conditions

    async def _explain_no_match(
        self, where: Filter, verb: str, *, include_deleted: bool, expected: int | None = None
    ) -> None:
        """Raise if there was a reason other than that no record matches."""
        if self.is_single(where) and expected is None:
            return
        names = ("version",) if expected is not None else self.spec.key
        statement = probe_statement(self.spec, self.conditions(where, include_deleted))
        if expected is not None:
            statement = select_statement(
                self.spec, names, self.conditions(where, include_deleted)
            ).limit(2)
        prepared = self.compile(statement, names)
        rows = await self.database.fetch(prepared.sql, prepared.args(where.parameters))
        if len(rows) > 1:
            raise self._several(where, verb, f"use a Bulk{verb} node to change them all")
        if rows and expected is not None:
            raise StaleRecordError(
                model=self.spec.name, key=_criteria(where), found=rows[0][0], expected=expected
            )

    def _several(self, where: Filter, verb: str, instead: str) -> MultipleRecordsError:
        return MultipleRecordsError(
            model=self.spec.name, count="several", criteria=_criteria(where), verb=verb,
            instead=instead,
        )  # fmt: skip

    def not_found(self, where: Filter) -> RecordNotFoundError:
        """Return the error that no record matches."""
        return RecordNotFoundError(model=self.spec.name, criteria=_criteria(where))


def _reader(prepared: Prepared) -> Any:
    return prepared.reader


def _roots(include: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(".")[0] for name in include))


def _criteria(where: Filter) -> str:
    shape = where.shape
    if len(shape) == 2 and shape[0] == "$eq":
        return f"{shape[1]}={where.values[0]!r}"
    return f"a filter of {len(where.values)} value(s)"


def _cursor_secret(database: Database) -> bytes:
    given = database.config.cursor_secret
    text = given.get_secret_value() if given else f"cursor {database.config.database_url}"
    return hashlib.sha256(text.encode()).digest()
