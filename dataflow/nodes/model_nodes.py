"""The nine nodes of a model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

from dataflow.models.spec import ModelSpec
from dataflow.nodes.effects import Effects
from dataflow.nodes.model_node import FILTER, INCLUDE_DELETED, ModelNode, option
from dataflow.nodes.parameter import REQUIRED, NodeParameter
from dataflow.records.bulk import Bulk
from dataflow.records.bulkwhere import BulkWhere
from dataflow.records.requests import (
    check_bulk_create,
    conflict_fields,
    field_names,
    link_names,
    list_request,
    where_many,
)
from dataflow.records.store import Store

__all__ = ["MODEL_NODES", "nodes_for_model"]

Inputs = Mapping[str, Any]
Names = tuple[str, ...]
_FIELDS = option("fields", dict[str, Any] | None, None, "updates", "data")
_BATCH = option("batch_size", int | None, None, about="records per batch; default: the setting")


class CreateNode(ModelNode):
    """Insert one record; inputs are the model's fields, the output is the stored record.

    Fields that the database generates (primary key, timestamps) are optional
    inputs and always present in the output.
    """

    suffix = "CreateNode"
    takes_fields = True
    writes = True
    options = (option("data", dict[str, Any] | None), INCLUDE_DELETED)

    @classmethod
    def _field_parameters(cls) -> list[NodeParameter]:
        return [
            NodeParameter(
                name,
                field.annotation,
                REQUIRED if field.required else None if field.generated else field.default,
                field.info.description,
            )
            for name, field in cls.spec.fields.items()
        ]

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return the model's fields."""
        return cls.record_outputs()

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check `data` like flat fields."""
        values = cls._values(fields, options)
        super().check_values(values, key, {}, connected)

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Return required fields that are not given, unless `data` may hold them."""
        if cls._names.get("data") == "option:data" and "data" in given:
            return []
        return super(ModelNode, cls).check_missing(given)

    @classmethod
    def _values(cls, fields: Inputs, options: Inputs) -> Inputs:
        data = options.get("data")
        if data is None:
            return fields
        if not isinstance(data, Mapping):
            raise cls.refuse(f"data must be a dict of fields, not {type(data).__name__}.")
        if fields:
            raise cls.refuse("give the fields flat or as data, not both.")
        return data

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Insert and return the record."""
        fields, _, options = self.sort_inputs(inputs)
        return await self.store.create(self._values(fields, options))


class ReadNode(ModelNode):
    """Find one record by key or filter; output: the record, and `found`."""

    suffix = "ReadNode"
    takes_key = True
    options = (
        FILTER,
        option("fields", list[str] | None),
        option("include", list[str] | str | None),
        option("raise_on_not_found", bool, False),
        INCLUDE_DELETED,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return the model's fields, its links, and `found`."""
        return {**cls.record_outputs("found"), **dict.fromkeys(cls.spec.relationships, Any)}

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check names of fields and links too."""
        super().check_values(fields, key, options, connected)
        field_names(cls.spec, options.get("fields"))
        link_names(cls.store, options.get("include"))

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Something must say which record."""
        return _missing_selector(cls, given)

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Return the record and `found: True`, or `{"found": False}`."""
        _, key, options = self.sort_inputs(inputs)
        where = self.select(key, options)
        record = await self.store.read(
            where,
            fields=field_names(self.spec, options.get("fields")),
            include=link_names(self.store, options.get("include")),
            include_deleted=options.get("include_deleted", False),
        )
        if record is None:
            if options.get("raise_on_not_found"):
                raise self.store.not_found(where)
            return {self.flag("found"): False}
        record[self.flag("found")] = True
        return record


def _missing_selector(cls: type[ModelNode], given: Collection[str]) -> list[str]:
    kinds = {cls._names.get(name, "") for name in given}
    keys = {f"key:{name}" for name in cls.spec.key}
    if "option:filter" in kinds or keys <= kinds:
        return []
    return [f"nothing says which record: give {' and '.join(cls.spec.key)}, or a filter"]


class UpdateNode(ModelNode):
    """Change one record, found by key or filter; output: the record, and `updated`.

    New values are given flat beside the key, or as `fields`.
    """

    suffix = "UpdateNode"
    takes_key = True
    takes_fields = True
    writes = True
    options = (FILTER, _FIELDS, option("expect_version", int | None), INCLUDE_DELETED)

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return the model's fields and `updated`."""
        return cls.record_outputs("updated")

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check the new values, flat or not."""
        changes = cls._changes(fields, options)
        super().check_values(changes, key, options, connected)
        cls.store.validator.expected_version(options.get("expect_version"))

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Something must say which record, and what changes."""
        problems = _missing_selector(cls, given)
        kinds = [cls._names.get(name, "") for name in given]
        if not any(kind.startswith("field:") or kind == "option:fields" for kind in kinds):
            problems.append("nothing says what to change: give fields")
        return problems

    @classmethod
    def _changes(cls, fields: Inputs, options: Inputs) -> Inputs:
        given = options.get("fields")
        if given is None:
            return fields
        if not isinstance(given, Mapping):
            raise cls.refuse(f"fields must be a dict, not {type(given).__name__}.")
        if fields:
            raise cls.refuse("give the new values flat or as fields, not both.")
        for name in cls.spec.key:
            if name in given:
                raise cls.refuse(f"the primary key {name!r} cannot be changed.")
        return given

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Return the record after the change and `updated: True`, or `{"updated": False}`."""
        fields, key, options = self.sort_inputs(inputs)
        where = self.select(key, options)
        changes = self._changes(fields, options)
        if not changes:
            raise self.refuse("nothing says what to change: give fields.")
        record = await self.store.update(
            where,
            changes,
            expect_version=options.get("expect_version"),
            include_deleted=options.get("include_deleted", False),
        )
        if record is None:
            return {self.flag("updated"): False}
        record[self.flag("updated")] = True
        return record


class DeleteNode(ModelNode):
    """Delete one record, found by key or filter; output: its `id`, and `deleted`."""

    suffix = "DeleteNode"
    takes_key = True
    writes = True
    options = (FILTER, option("hard", bool, False), INCLUDE_DELETED)

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return `id` and `deleted`."""
        return {"id": cls.spec.fields[cls.spec.key[0]].annotation, "deleted": bool}

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Something must say which record."""
        return _missing_selector(cls, given)

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Return `{"id": key, "deleted": True}`, or the given key and False."""
        _, key, options = self.sort_inputs(inputs)
        where = self.select(key, options)
        gone = await self.store.delete(
            where,
            hard=options.get("hard", False),
            include_deleted=options.get("include_deleted", False),
        )
        found = dict(key) if gone is None else gone
        single = len(self.spec.key) == 1
        identity = found.get(self.spec.key[0]) if single else found or None
        return {"id": identity, "deleted": gone is not None}


class ListNode(ModelNode):
    """Find records; output: `records`, their `count`, `total` and the `next` cursor."""

    suffix = "ListNode"
    options = (
        FILTER,
        option("sort", Any, None, "order_by"),
        option("limit", int | None, 100),
        option("offset", int, 0),
        option("after", str | None),
        option("fields", list[str] | None),
        option("include", list[str] | str | None),
        option("count", bool | Literal["estimate"], False),
        INCLUDE_DELETED,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return the parts of a page."""
        return {"records": list[Any], "count": int, "total": int | None, "next": str | None}

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check filter, order and names together."""
        super().check_values(fields, key, options, connected)
        list_request(cls.store, options)

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Return a page of records."""
        return await self.store.list(list_request(self.store, self.sort_inputs(inputs)[2]))


class BulkCreateNode(ModelNode):
    """Insert many records in one transaction; `data` is a list, iterable or Arrow stream.

    Output: counts, `rejected` (with `on_error="collect"`), and what `returning` asks.
    """

    suffix = "BulkCreateNode"
    writes = True
    options = (
        option("data", Any, REQUIRED, "records"),
        option("on_conflict", Literal["error", "skip"], "error"),
        option("on_error", Literal["abort", "collect"], "abort"),
        option("returning", Literal["ids", "records"] | None),
        _BATCH,
        INCLUDE_DELETED,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return counts and lists."""
        return {
            "processed": int, "inserted": int, "skipped": int, "rejected": list[Any],
            "ids": list[Any], "records": list[Any], "success": bool,
        }  # fmt: skip

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Data must come from somewhere."""
        return _missing_option(cls, given, "data")

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check that the options go together."""
        super().check_values(fields, key, options, connected)
        check_bulk_create(options)

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Insert and count."""
        options = self.sort_inputs(inputs)[2]
        check_bulk_create(options)
        options.pop("include_deleted", None)
        return await self.bulk.create(**options)


def _missing_option(cls: type[ModelNode], given: Collection[str], name: str) -> list[str]:
    kinds = {cls._names.get(item) for item in given}
    return [] if f"option:{name}" in kinds else [f"input {name!r} is neither given nor connected"]


def _check_given(cls: type[ModelNode], options: Inputs, connected: Collection[str]) -> None:
    """Refuse a given but empty choice; an absent one may still be connected."""
    chosen = {cls._names.get(name) for name in connected}
    if {"option:filter", "option:ids", "option:all"} & chosen:
        return
    if "filter" in options or "ids" in options:
        where_many(cls.store, options, cls.suffix.removesuffix("Node"))


def _missing_choice(cls: type[ModelNode], given: Collection[str], other: str) -> list[str]:
    kinds = {cls._names.get(name) for name in given}
    if {"option:filter", "option:all", "option:data", f"option:{other}"} & kinds:
        return []
    return [
        "nothing says which records, so it would change every record: "
        "give a filter, or all=True if every record is meant"
    ]


class BulkUpdateNode(ModelNode):
    """Change many records: one dict for all matches of a filter, or a row for each.

    With `filter` and `fields`, every match gets the same values. With `data`, a list
    of dicts that each hold the key, every record gets its own.
    """

    suffix = "BulkUpdateNode"
    writes = True
    options = (
        FILTER,
        option("fields", dict[str, Any] | None, None, "update", "updates"),
        option("data", Any, None, "records"),
        option("all", bool, False),
        INCLUDE_DELETED,
        _BATCH,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return counts."""
        return {"processed": int, "updated": int, "success": bool}

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check the way in which new values are given."""
        super().check_values(fields, key, options, connected)
        rows, changes = cls._changes(options)
        if changes is not None:
            cls._check_field_values(changes)
            _check_given(cls, options, connected)
        elif rows is not None and options.get("filter") is not None:
            raise cls.refuse("a filter goes with fields; rows in data carry their own key.")

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """New values must come from somewhere."""
        kinds = {cls._names.get(item) for item in given}
        if "option:data" in kinds:
            return []
        if "option:fields" not in kinds:
            return ["nothing says what to change: give filter and fields, or data"]
        return _missing_choice(cls, given, "filter")

    @classmethod
    def _changes(cls, options: Inputs) -> tuple[Any, Mapping[str, Any] | None]:
        """Return the rows of `data`, or the one dict for all matches."""
        data, fields = options.get("data"), options.get("fields")
        if data is not None and fields is not None:
            raise cls.refuse("give fields or data, not both.")
        changes = data if isinstance(data, Mapping) else fields
        if changes is None:
            return data, None
        for name in cls.spec.key:
            if name in changes:
                raise cls.refuse(f"the primary key {name!r} cannot be changed.")
        return None, changes

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Change and count."""
        options = self.sort_inputs(inputs)[2]
        rows, changes = self._changes(options)
        hidden = options.get("include_deleted", False)
        if changes:
            where = where_many(self.store, options, "BulkUpdate")
            return await BulkWhere(self.store).update(where, changes, include_deleted=hidden)
        if rows is None:
            raise self.refuse("nothing says what to change: give filter and fields, or data.")
        size = options.get("batch_size")
        return await self.bulk.update_rows(rows, batch_size=size, include_deleted=hidden)


class BulkDeleteNode(ModelNode):
    """Delete all matches of a filter, or the records with the given `ids`."""

    suffix = "BulkDeleteNode"
    writes = True
    options = (
        FILTER,
        option("ids", list[Any] | None),
        option("all", bool, False),
        option("hard", bool, False),
        INCLUDE_DELETED,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return counts."""
        return {"processed": int, "deleted": int, "success": bool}

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Refuse a delete of everything that does not say so."""
        super().check_values(fields, key, options, connected)
        _check_given(cls, options, connected)

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Something must say which records."""
        return _missing_choice(cls, given, "ids")

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Delete and count."""
        options = self.sort_inputs(inputs)[2]
        where = where_many(self.store, options, "BulkDelete")
        return await BulkWhere(self.store).delete(
            where,
            hard=options.get("hard", False),
            include_deleted=options.get("include_deleted", False),
        )


class BulkUpsertNode(ModelNode):
    """Insert records, or change those that exist, in one transaction.

    `conflict_on` names the unique fields that decide whether a record exists
    (default: the primary key). A row later in `data` wins over an earlier one.
    """

    suffix = "BulkUpsertNode"
    writes = True
    options = (
        option("data", Any, REQUIRED, "records"),
        option("conflict_on", list[str] | str | None),
        option("update_fields", list[str] | None),
        option("on_conflict", Literal["update", "ignore"], "update"),
        _BATCH,
        INCLUDE_DELETED,
    )

    @classmethod
    def outputs(cls) -> dict[str, Any]:
        """Return counts."""
        return {"processed": int, "inserted": int, "updated": int, "skipped": int, "success": bool}

    @classmethod
    def check_missing(cls, given: Collection[str]) -> list[str]:
        """Data must come from somewhere."""
        return _missing_option(cls, given, "data")

    @classmethod
    def check_values(
        cls, fields: Inputs, key: Inputs, options: Inputs, connected: Collection[str]
    ) -> None:
        """Check that conflicts are decided by unique fields."""
        super().check_values(fields, key, options, connected)
        conflict_fields(cls.spec, options)

    async def run(self, /, **inputs: Any) -> dict[str, Any]:
        """Write and count."""
        options = self.sort_inputs(inputs)[2]
        options.pop("include_deleted", None)
        return await self.bulk.upsert(**conflict_fields(self.spec, options))


MODEL_NODES: tuple[type[ModelNode], ...] = (
    CreateNode, ReadNode, UpdateNode, DeleteNode, ListNode,
    BulkCreateNode, BulkUpdateNode, BulkDeleteNode, BulkUpsertNode,
)  # fmt: skip


def nodes_for_model(store: Store, bulk: Bulk) -> list[type[ModelNode]]:
    """Return the nine node classes of a model."""
    return [verb.bind(store, bulk, _effects(store.spec, store, verb)) for verb in MODEL_NODES]


def _effects(spec: ModelSpec, store: Store, verb: type[ModelNode]) -> Effects:
    """Return what a verb touches: links are known by the name of their model."""
    database = store.database
    table, model = (database, spec.table.fullname), (database, f"model {spec.name}")
    referred = {(database, name) for name in spec.referred_tables}
    if verb.writes:
        return Effects(reads=frozenset(referred), writes=frozenset({table, model}))
    links = {(database, f"model {link.target}") for link in spec.relationships.values()}
    # Deleting a referred record may cascade to this table.
    return Effects(reads=frozenset({table} | referred | links))
