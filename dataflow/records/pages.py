"""Lists of records: filtered, sorted, page by page."""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_jsonable_python

from dataflow.database.database import Database
from dataflow.models.columntypes import is_bytes
from dataflow.models.spec import ModelSpec
from dataflow.query.cursor import condition_after, decode_cursor, encode_cursor
from dataflow.query.filters import Filter
from dataflow.query.sort import Sort, order_for, total_order
from dataflow.records.compiler import Compiler
from dataflow.records.listing import ListRequest
from dataflow.records.prepared import Prepared
from dataflow.records.related import Related, root_names
from dataflow.records.statements import count_statement, select_statement
from dataflow.records.validation import Validator

__all__ = ["Pages"]

Record = dict[str, Any]


class Pages:
    """The list verb of one model."""

    def __init__(
        self, database: Database, compiler: Compiler, validator: Validator, related: Related
    ) -> None:
        """Share the parts of a store."""
        self._database = database
        self._compiler = compiler
        self._validator = validator
        self._related = related
        self._spec: ModelSpec = compiler.spec
        self._secret = _cursor_secret(database)

    async def get(self, request: ListRequest) -> Record:
        """Return a page: `{"records", "count", "total", "next"}`.

        Raises:
            CursorError: If `after` was altered or belongs to another query.
        """
        sort = self._order(request)
        prepared, args = self.statement(request, sort)
        rows = await self._database.fetch(prepared.sql, args)
        more = request.limit is not None and len(rows) > request.limit
        records = prepared.reader.many(rows[: request.limit] if more else rows)
        return await self._page(request, records, sort, more=more)

    def _order(self, request: ListRequest) -> Sort:
        return request.sort if request.distinct else total_order(self._spec, request.sort)

    def statement(
        self, request: ListRequest, sort: Sort | None = None
    ) -> tuple[Prepared, list[Any]]:
        """Return the statement of a list call and its arguments."""
        sort = self._order(request) if sort is None else sort
        names = self._names(request, sort)
        values = dict(request.where.parameters)
        nulls = self._place(request, sort, values)
        limit = request.limit
        if limit is not None and request.lock is None:
            limit += 1  # one more than asked for tells whether there is a next page
        values |= {"limit": limit, "offset": request.offset}
        prepared = self._compiler.get(
            ("list", request.where.shape, sort, names, nulls, limit is None, request.offset > 0,
             request.include_deleted, request.distinct, request.lock),
            self._select, request, sort, names, nulls,
        )  # fmt: skip
        return prepared, prepared.args(values)

    def _names(self, request: ListRequest, sort: Sort) -> tuple[str, ...]:
        if request.fields is None:
            return tuple(self._spec.fields)
        wanted = self._related.with_keys(request.fields, request.include)
        return tuple(dict.fromkeys((*wanted, *(name for name, _ in sort))))

    async def _page(
        self, request: ListRequest, records: list[Record], sort: Sort, *, more: bool
    ) -> Record:
        following = None
        if more and records and not request.distinct:
            following = self._cursor(request.where, sort, records[-1])
        if request.include and records:
            await self._related.load(records, request.include)
        if request.fields is not None:
            shown = (*request.fields, *root_names(request.include))
            records = [{name: record[name] for name in shown} for record in records]
        total = None
        if request.count:
            counting = self.estimate if request.count == "estimate" else self.count
            total = await counting(request.where, include_deleted=request.include_deleted)
        return {"records": records, "count": len(records), "total": total, "next": following}

    def _select(
        self,
        request: ListRequest,
        sort: Sort,
        names: tuple[str, ...],
        nulls: tuple[bool, ...] | None,
    ) -> Prepared:
        conditions = self._compiler.conditions(
            request.where, include_deleted=request.include_deleted
        )
        if nulls is not None:
            places = [f"after_{number}" for number in range(len(sort))]
            conditions.append(condition_after(self._spec, sort, nulls, places))
        statement = select_statement(self._spec, names, conditions)
        statement = statement.order_by(*order_for(self._spec, sort))
        if request.limit is not None:
            statement = statement.limit(sa.bindparam("limit", type_=sa.BigInteger()))
        if request.offset:
            statement = statement.offset(sa.bindparam("offset", type_=sa.BigInteger()))
        if request.distinct:
            statement = statement.distinct()
        if request.lock is not None:
            statement = statement.with_for_update(
                nowait=request.lock == "nowait", skip_locked=request.lock == "skip locked"
            )
        return self._compiler.compile(statement, names)

    def _place(
        self, request: ListRequest, sort: Sort, values: dict[str, Any]
    ) -> tuple[bool, ...] | None:
        """Decode the cursor into parameters; return which of them are null."""
        if request.after is None:
            return None
        scope = self._cursor_scope(request.where, sort)
        place = decode_cursor(self._secret, scope, request.after, len(sort))
        for number, ((name, _), value) in enumerate(zip(sort, place, strict=True)):
            field = self._spec.fields[name]
            if isinstance(value, str) and is_bytes(field.column.type):
                value = bytes.fromhex(value)  # noqa: PLW2901 - the same value, restored
            known = None if value is None else self._validator.comparisons.value(field, value)
            values[f"after_{number}"] = known
        return tuple(value is None for value in place)

    def _cursor(self, where: Filter, sort: Sort, record: Record) -> str:
        place = [record[name] for name, _ in sort]
        values = to_jsonable_python([v.hex() if isinstance(v, bytes) else v for v in place])
        return encode_cursor(self._secret, self._cursor_scope(where, sort), values)

    def _cursor_scope(self, where: Filter, sort: Sort) -> str:
        return f"{self._spec.table.fullname} {sort!r} {where!r}"

    async def count(self, where: Filter, *, include_deleted: bool = False) -> int:
        """Return how many records match."""
        prepared = self.counting(where, include_deleted=include_deleted)
        rows = await self._database.fetch(prepared.sql, prepared.args(where.parameters))
        return int(rows[0][0])

    def counting(self, where: Filter, *, include_deleted: bool = False) -> Prepared:
        """Return the statement that counts what matches."""

        def build() -> Prepared:
            conditions = self._compiler.conditions(where, include_deleted=include_deleted)
            return self._compiler.compile(count_statement(self._spec, conditions))

        return self._compiler.get(("count", where.shape, include_deleted), build)

    async def estimate(self, where: Filter, *, include_deleted: bool = False) -> int:
        """Return about how many records match, from the planner's statistics.

        Exact where the database estimates nothing, as SQLite.
        """
        if not self._database.driver.estimates:
            return await self.count(where, include_deleted=include_deleted)
        request = ListRequest(
            where, limit=None, fields=self._spec.key, include_deleted=include_deleted
        )
        prepared, args = self.statement(request, ())
        estimate = self._database.driver.estimate
        return int(await self._database.run(estimate, prepared.sql, args, write=False))


def _cursor_secret(database: Database) -> bytes:
    given = database.config.cursor_secret
    text = given.get_secret_value() if given else f"cursor {database.config.database_url}"
    return hashlib.sha256(text.encode()).digest()
