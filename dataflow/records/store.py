"""`Store`: the verbs of one model as dictionaries on the pool.

Each verb compiles its statement once per shape and then only fills parameters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import sqlalchemy as sa

from dataflow.database.database import Database
from dataflow.database.deadline import in_time
from dataflow.database.transaction import Level
from dataflow.errors import (
    ConnectionLostError,
    DatabaseError,
    MultipleRecordsError,
    ParameterError,
    RecordNotFoundError,
    StaleRecordError,
)
from dataflow.models.spec import ModelSpec
from dataflow.query.filters import Filter, parse_filter
from dataflow.records.compiler import Compiler
from dataflow.records.doubt import Doubt
from dataflow.records.faults import explain_fields
from dataflow.records.listing import ListRequest
from dataflow.records.pages import Pages
from dataflow.records.prepared import Prepared
from dataflow.records.related import Related, root_names
from dataflow.records.scope import Scope
from dataflow.records.statements import select_statement
from dataflow.records.validation import Validator

__all__ = ["Store"]

PrepareSchema = Callable[[], Awaitable[None]]
Record = dict[str, Any]
Records = list[Record]
Names = tuple[str, ...]


class Store:
    """Create, read, update, delete and list records of one model.

    Args:
        database: Where statements run.
        spec: The model.
        stores: Finds the store of another model by name, for links.
        prepare_schema: Awaited once, before the first statement.
    """

    def __init__(
        self,
        database: Database,
        spec: ModelSpec,
        stores: Callable[[str], Store],
        prepare_schema: PrepareSchema,
    ) -> None:
        """Wire the parts; compiles and connects nothing."""
        self.database = database
        self.spec = spec
        self.scope = Scope(spec)
        self.validator = Validator(spec, self.scope.tenant, limits=database.driver.whole_limits)
        self.related = Related(spec, stores)
        self.compiler = Compiler(spec, self.scope, database.driver)
        self.pages = Pages(database, self.compiler, self.validator, self.related)
        self.doubt = Doubt(database, spec, partial(self.read, include_deleted=True))
        self.other = stores
        self._prepare_schema = prepare_schema
        self.prepared = False
        self._all = tuple(spec.fields)

    async def ready(self) -> None:
        """Make sure that a tenant was set, where one is needed, and the schema prepared."""
        if self.scope.tenant is not None:
            self.scope.tenant.require()
        if not self.prepared:
            await in_time("not_applied", self._prepare_schema)
            self.prepared = True

    # --------------------------------------------------------------- criteria

    def where(self, filter: Any, at: str | None = None) -> Filter:
        """Return a checked filter; see `parse_filter` for the errors."""
        return parse_filter(self.spec, filter, self.validator.comparisons, at)

    def where_key(self, key: Any, at: str | None = None) -> Filter:
        """Return the filter for one primary key: a value, or a dict for composite keys."""
        names = self.spec.key
        if len(names) == 1 and not isinstance(key, Mapping):
            value = self.validator.comparisons.value(self.spec.fields[names[0]], key)
            return Filter(("$eq", names[0]), (value,))
        if isinstance(key, tuple | list) and len(key) == len(names):
            key = dict(zip(names, key, strict=True))
        if not isinstance(key, Mapping) or set(key) != set(names):
            problem = (None, ", ".join(names), f"the key has {len(names)} field(s)", key)
            raise self.validator.refuse([problem])
        return self.where(dict(key), at)

    # ------------------------------------------------------------------ verbs

    async def create(self, values: Mapping[str, Any]) -> Record:
        """Insert one record and return it as stored.

        Raises:
            RecordValidationError: If the values do not fit the model.
            UniqueViolationError: If a unique value exists already.
        """
        if not self.prepared:
            await self.ready()
        record = self.scope.created()
        record.update(self.validator.record(values))
        prepared = self.compiler.get(("create", *record), self._insert, tuple(record))
        args = prepared.args({f"v_{name}": value for name, value in record.items()})
        try:
            stored = await self._write(prepared, args)
        except ConnectionLostError as error:
            again = partial(self._write, prepared, args)
            stored = await self.doubt.created(error, again, values, record)
        if self.spec.key_is_generated and self.spec.key[0] in record:
            await self.advance_key(record[self.spec.key[0]])
        return cast("Record", stored)

    async def _write(self, prepared: Prepared, args: Sequence[Any]) -> Record | None:
        try:
            rows = await self.database.fetch(prepared.sql, args, write=True)
        except DatabaseError as error:
            explain_fields(error, self.spec)
            raise
        return prepared.reader.one(rows[0]) if rows else None

    async def advance_key(self, highest: int, level: Level | None = None) -> None:
        """Let generated keys go on above a given one."""
        call = self.database.driver.advance_key
        if highest > 0 and level is not None:
            await level.run(call, self.spec.table, highest)
        elif highest > 0:
            await self.database.run(call, self.spec.table, highest, write=True)

    def _insert(self, names: Names) -> Prepared:
        return self.compiler.compile(self.compiler.insert(names), self._all)

    async def read(
        self,
        where: Filter,
        *,
        fields: Names | None = None,
        include: Names = (),
        include_deleted: bool = False,
    ) -> Record | None:
        """Return the one record that matches, or None.

        Raises:
            MultipleRecordsError: If several match.
        """
        if not self.prepared:
            await self.ready()
        names = self._all if fields is None else self.related.with_keys(fields, include)
        prepared = self.compiler.get(
            ("read", where.shape, names, include_deleted),
            self._select, where, names, include_deleted,
        )  # fmt: skip
        rows = await self.database.fetch(prepared.sql, prepared.args(where.parameters))
        if not rows:
            return None
        if len(rows) > 1:
            raise self._several(where, "Read", "use a List node to get them all")
        record = prepared.reader.one(rows[0])
        if include:
            await self.related.load([record], include)
        if fields is None:
            return record
        return {name: record[name] for name in (*fields, *root_names(include))}

    def _select(self, where: Filter, names: Names, include_deleted: bool) -> Prepared:  # noqa: FBT001 - part of a shape
        conditions = self.compiler.conditions(where, include_deleted=include_deleted)
        statement = select_statement(self.spec, names, conditions)
        if not self.compiler.is_single(where, include_deleted=include_deleted):
            statement = statement.limit(2)
        return self.compiler.compile(statement, names)

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
            ParameterError: If the expected version cannot be one.
            StaleRecordError: If the record is not at the expected version.
        """
        self.scope.refuse_change("Update")
        self.check_changes(changes)
        self.validator.expected_version(expect_version)
        await self.ready()
        record = {**self.scope.updated(), **self.validator.changes(changes)}
        names, checked = tuple(record), expect_version is not None
        prepared = self.compiler.get(
            ("update", where.shape, names, checked, include_deleted),
            self._update, where, names, checked, include_deleted,
        )  # fmt: skip
        values = {f"v_{name}": value for name, value in record.items()}
        values |= where.parameters
        values["expected"] = expect_version
        args = prepared.args(values)
        try:
            changed = await self._write(prepared, args)
        except ConnectionLostError as error:
            again = partial(self._write, prepared, args)
            changed = await self.doubt.updated(error, again, where, (expect_version, record))
        if changed is not None:
            return changed
        await self._explain(
            where, "Update", include_deleted=include_deleted, expected=expect_version
        )
        return None

    def _update(
        self,
        where: Filter,
        names: Names,
        checked: bool,  # noqa: FBT001 - part of a shape
        include_deleted: bool,  # noqa: FBT001 - likewise
    ) -> Prepared:
        conditions = self.compiler.single(where, include_deleted=include_deleted)
        if checked:
            version = self.spec.field("version").column
            conditions.append(version == sa.bindparam("expected", type_=sa.BigInteger()))
        columns = [field.column for field in self.spec.fields.values()]
        statement = self.compiler.update(names, conditions).returning(*columns)
        return self.compiler.compile(statement, self._all)

    def check_changes(self, changes: Mapping[str, Any]) -> None:
        """Refuse an update that changes nothing, or the primary key.

        Raises:
            ParameterError: Saying which.
        """
        if not changes:
            raise ParameterError(problem=f"an update of {self.spec.name!r} needs new values.")
        for name in self.spec.key:
            if name in changes:
                raise ParameterError(
                    problem=f"the primary key {name!r} of {self.spec.name!r} cannot be changed.",
                    advise="create a new record and delete the old one",
                )

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
        prepared = self.compiler.get(
            ("delete", where.shape, soft, include_deleted),
            self._delete, where, soft, include_deleted,
        )  # fmt: skip
        values = {f"v_{name}": value for name, value in self.scope.deleted().items()}
        args = prepared.args({**where.parameters, **values})
        try:
            gone = await self._write(prepared, args)
        except ConnectionLostError as error:
            gone = await self.doubt.deleted(error, partial(self._write, prepared, args), where)
        if gone is not None:
            return gone
        await self._explain(where, "Delete", include_deleted=include_deleted)
        return None

    def _delete(self, where: Filter, soft: bool, include_deleted: bool) -> Prepared:  # noqa: FBT001 - part of a shape
        conditions = self.compiler.single(where, include_deleted=include_deleted)
        key = [self.spec.fields[name].column for name in self.spec.key]
        statement = self.compiler.deletion(conditions, soft=soft).returning(*key)
        return self.compiler.compile(statement, self.spec.key)

    async def all(self, where: Filter) -> Records:
        """Return every match, in the order of the key."""
        page = await self.list(ListRequest(where=where, limit=None))
        records: Records = page["records"]
        return records

    async def count(self, where: Filter, *, include_deleted: bool = False) -> int:
        """Return how many records match."""
        await self.ready()
        return await self.pages.count(where, include_deleted=include_deleted)

    async def list(self, request: ListRequest) -> Record:
        """Return a page; see `Pages.get`."""
        if not self.prepared:
            await self.ready()
        return await self.pages.get(request)

    # ----------------------------------------------------------------- errors

    async def _explain(
        self, where: Filter, verb: str, *, include_deleted: bool, expected: int | None = None
    ) -> None:
        """Raise if a write changed nothing for another reason than that none matches."""
        single = self.compiler.is_single(where, include_deleted=include_deleted)
        if single and expected is None:
            return
        names = self.spec.key if expected is None else ("version",)
        conditions = self.compiler.conditions(where, include_deleted=include_deleted)
        prepared = self.compiler.compile(
            select_statement(self.spec, names, conditions).limit(2), names
        )
        rows = await self.database.fetch(prepared.sql, prepared.args(where.parameters))
        if len(rows) > 1:
            raise self._several(where, verb, f"use a Bulk{verb} node to change them all")
        if rows and expected is not None:
            raise StaleRecordError(
                model=self.spec.name, key=self._criteria(where), found=rows[0][0], expected=expected
            )

    def _several(self, where: Filter, verb: str, instead: str) -> MultipleRecordsError:
        return MultipleRecordsError(
            model=self.spec.name, criteria=self._criteria(where), verb=verb, instead=instead
        )

    def not_found(self, where: Filter) -> RecordNotFoundError:
        """Return the error that no record matches."""
        return RecordNotFoundError(model=self.spec.name, criteria=self._criteria(where))

    def _criteria(self, where: Filter) -> str:
        shape = where.shape
        if len(shape) == 2 and shape[0] == "$eq":
            return f"{shape[1]}={self.validator.shown(shape[1], where.values[0])!r}"
        return f"a filter of {len(where.values)} value(s)"
