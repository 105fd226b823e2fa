"""What records of SQLite's audit are at a moment: JSON texts, by column.

What is known is not read again: values as they were given, keys that are all numbers in
between, and values that all records share.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType, NoneType
from typing import Any, NamedTuple

import sqlalchemy as sa

from dataflow.database.driver import Columns, Row
from dataflow.database.guard import Guard
from dataflow.database.sqlite_matching import Matched, Source, compact
from dataflow.database.sqlite_triggers import ROWIDS, key_of, quoted, value_of
from dataflow.models.auditlog import key_order

__all__ = ["LARGE", "Found", "Image", "Images", "Shared"]

_AS_GIVEN: Mapping[str, frozenset[type]] = MappingProxyType({
    "BOOLEAN": frozenset({bool, NoneType}),
    **dict.fromkeys(("INTEGER", "BIGINT", "SMALLINT"), frozenset({int, NoneType})),
    **dict.fromkeys(("TEXT", "VARCHAR", "CHAR", "DATETIME", "DATE"), frozenset({str, NoneType})),
})  # fmt: skip
"""Types of columns, and of values that no affinity turns into others there."""
_AS_NUMBER = MappingProxyType({False: 0, True: 1})

LARGE = 1 << 24
"""Above about this, records have entries of their own: an entry is read as a whole."""

Shared = Mapping[str, Any]
"""Values that all records seem to have, by column."""
Span = tuple[int, int]
"""The first and the last of keys that are all numbers in between, in order."""


class Value(NamedTuple):
    """What a column has: the JSON of one value of all records, or of a list of theirs."""

    text: str
    shared: bool


class Image(NamedTuple):
    """Records of one chain at a moment.

    Attributes:
        keys: A JSON list of their keys, or what `all_between` returns.
        values: What columns have, by name.
        records: How many they are.
        first: The least key, as a text that sorts like the keys.
        last: The greatest one.
    """

    keys: str
    values: dict[str, Value]
    records: int
    first: str
    last: str


Found = dict[str, Image]
"""Records by chain."""


class Images:
    """Reads records of one table, in the connection's thread.

    Attributes:
        key_name: The column that has the keys as its values, if these are whole numbers.
    """

    def __init__(self, connection: Any, guard: Guard, types: Mapping[str, str]) -> None:
        """Keep where records are read.

        Args:
            connection: The writer's.
            guard: What is audited.
            types: The types of the table's columns, as the database has them.
        """
        self._connection = connection
        self._guard = guard
        self._types = types
        (key, *more) = guard.key
        self._whole = not more and isinstance(key.type, sa.Integer)
        self.key_name = str(key.name) if self._whole else None
        self._hidden = (*guard.masked, self.key_name)
        name = f"t.{quoted(key.name)}"
        self._key = name if self._whole else f"({key_of(guard, 't')} || '')"  # not JSON in JSON
        self._tenant = None if guard.tenant is None else str(guard.tenant.name)
        self._values = {column: value_of(column, "t") for column in guard.columns}

    def survey(self, matched: Matched) -> Shared | None:
        """Return the values that records share, as far as some of them show it.

        Returns:
            None if all together are too large, or SQLite cannot read the list of their keys.
        """
        if matched.span is None and "\\u0000" in matched.given:
            return None  # its JSON ends a text there
        columns = self.shown()
        source = matched.sampled
        select = ", ".join(self._values[column] for column in columns)
        rows = self._connection.execute(f"SELECT {select or 1} {source.sql}", source.arguments)
        seen: list[Row] = []
        size = 0
        for row in rows:
            size += matched.every * sum(len(value) for value in row if type(value) is str)
            if size > LARGE:
                rows.close()
                return None
            seen.append(row)
        if len(seen) < 2:
            return {}
        values = {
            str(c.name): set(of_all)
            for c, of_all in zip(columns, zip(*seen, strict=True), strict=False)
        }
        return {name: value for name, (value, *more) in values.items() if not more}

    @property
    def known(self) -> str:
        """The condition of records whose keys are in a JSON list."""
        return f"{self._key} IN (SELECT value FROM json_each(?))"

    def found(self, matched: Matched, shared: Shared, columns: Columns | None = None) -> Found:
        """Return records as they are now.

        Args:
            matched: Which.
            shared: Values that they seem to share.
            columns: Those that are wanted; default: all of them.
        """
        found = self._supposed(matched, shared, columns)
        return self.read(matched.source, columns) if found is None else found

    def read(self, source: Source, columns: Columns | None = None) -> Found:
        """Return records as they are now, of which nothing is known.

        Args:
            source: Which.
            columns: Those that are wanted; default: all of them.
        """
        shown = self.shown(columns)
        tenant = "NULL" if self._tenant is None else f"t.{quoted(self._tenant)}"
        chain = f"coalesce(CAST({tenant} AS TEXT), '')"
        if self._tenant is not None:
            source = Source(f"{source.sql} GROUP BY 1", source.arguments)
        rows = self._rows((chain, "count(*)", *self._keys(), *self._lists(shown)), source)
        return {
            chain: self._image((records, *found[:3]), _named(shown, found[3:], records))
            for chain, records, *found in rows
            if records
        }

    def _supposed(self, matched: Matched, shared: Shared, columns: Columns | None) -> Found | None:
        """Return records that are what they seem; None if they are not."""
        if self._tenant is not None and self._tenant not in shared:
            return None
        shown = self.shown(columns)
        same = [column for column in shown if column.name in shared]
        listed = [column for column in shown if column.name not in shared]
        values = [shared[str(column.name)] for column in same]
        for column, value in zip(same, values, strict=True):
            matched = matched.but(f"{self._values[column]} COLLATE BINARY IS ?", value)
        span = self._span(matched)
        source = matched.source if span is None else matched.between(*span)
        select = ("count(*)", *self._keys(span), *self._lists(listed))
        ((records, *found),) = self._rows(select, source)
        if records != len(matched.values):
            return None
        keys, first, last, *texts = found if span is None else (all_between(*span), *span, *found)
        known = {str(c.name): _of_all(value) for c, value in zip(same, values, strict=True)}
        image = self._image((records, keys, first, last), known | _named(listed, texts, records))
        return {_chain(self._tenant and shared[self._tenant]): image}

    def given(
        self, columns: Iterable[tuple[int, sa.Column[Any]]], rows: Sequence[Row]
    ) -> dict[str, Value]:
        """Return what columns have that store values as they are given, by name.

        Args:
            columns: Which, and their places in the rows.
            rows: What is stored.
        """
        given = {
            str(column.name): self._given(column, list(map(itemgetter(place), rows)))
            for place, column in columns
        }
        return {name: value for name, value in given.items() if value is not None}

    def _given(self, column: sa.Column[Any], values: list[Any]) -> Value | None:
        """Return what a column has; None if it is hidden or may store something else."""
        alike = values[0] == values[-1] and values.count(values[0]) == len(values)
        some = values[:1] if alike else values
        types = set(map(type, some))
        kind = self._types.get(str(column.name), "").upper().partition("(")[0]
        stays = _AS_GIVEN.get(kind, frozenset()).issuperset(types)
        if not stays or column.name in self._hidden:
            return None
        stored = some
        if bool in types:
            stored, types = list(map(_AS_NUMBER.get, some)), {int, NoneType}
        return _of_all(stored[0]) if alike else Value(compact(stored, types), shared=False)

    def behind(self) -> Source:
        """Return the records that will be added behind all others, in order."""
        names = {str(column.name).lower() for column in self._guard.columns}
        rowid = next(name for name in ROWIDS if name not in names)
        name = quoted(str(self._guard.table.name))
        ((last,),) = self._rows((f"max({rowid})",), Source(f"FROM {name}", ()))
        least = -(2**63) if last is None else last
        sql = f"FROM {name} AS t NOT INDEXED WHERE t.{rowid} > ?"
        return Source(sql, (least,), ascending=self._is_rowid(self._guard.key))

    def created(self, columns: Columns, rows: Sequence[Row], source: Source) -> Found:
        """Return records that have just been inserted.

        Args:
            columns: Those of the rows.
            rows: What was inserted.
            source: The records, in the order of the rows.
        """
        first, last = rows[0], rows[-1]  # where these differ, reading is as fast
        alike = [(n, column) for n, column in enumerate(columns) if first[n] == last[n]]
        values = self.given(alike, rows)
        chain = self._chain_of(values)
        if chain is None:
            return self.read(source)
        missing = [column for column in self.shown() if column.name not in values]
        head = self._keys()[1:] if source.ascending else self._keys()
        ((records, *found),) = self._rows(("count(*)", *head, *self._lists(missing)), source)
        found, texts = found[: len(head)], found[len(head) :]
        if source.ascending:
            found = [self._ascending(source, records, *found), *found]
        return {chain: self._image((records, *found), values | _named(missing, texts, records))}

    def _ascending(self, source: Source, records: int, first: int, last: int) -> str:
        """Return the keys of records that are in their order."""
        if last - first == records - 1:
            return all_between(first, last)
        ((keys,),) = self._rows((f"json_group_array({self._key})",), source)
        return str(keys)

    def _chain_of(self, values: Mapping[str, Value]) -> str | None:
        """Return the one chain of records that have some values; None if there are several."""
        if self._tenant is None:
            return ""
        value = values.get(self._tenant)
        return _chain(json.loads(value.text)) if value is not None and value.shared else None

    def shown(self, columns: Columns | None = None) -> list[sa.Column[Any]]:
        """Return the columns that images have, of some or of all."""
        wanted = self._guard.columns if columns is None else columns
        return [column for column in wanted if column.name not in self._hidden]

    def keys_of(self, matched: Matched) -> str:
        """Return the keys of records as their image has them, if it is of all, in order."""
        span = self._span(matched)
        return matched.given if span is None else all_between(*span)

    def _span(self, matched: Matched) -> Span | None:
        return matched.span if self._is_rowid(matched.columns) else None

    def _is_rowid(self, columns: Columns) -> bool:
        """Whether a column is the number of the row, which nothing but whole numbers is."""
        return list(columns) == list(self._guard.key) and (
            self._types.get(self.key_name or "", "").upper() == "INTEGER"
        )

    def _keys(self, span: Span | None = None) -> tuple[str, ...]:
        """Return what yields the keys, the least and the greatest; nothing for known ones."""
        key = self._key
        return (
            () if span is not None else (f"json_group_array({key})", f"min({key})", f"max({key})")
        )

    def _lists(self, columns: Columns) -> list[str]:
        return [f"json_group_array({self._values[column]})" for column in columns]

    def _rows(self, select: Sequence[str], source: Source) -> list[Any]:
        sql = f"SELECT {', '.join(select)} {source.sql}"
        rows: list[Any] = self._connection.execute(sql, source.arguments).fetchall()
        return rows

    def _image(self, head: Sequence[Any], values: dict[str, Value]) -> Image:
        records, keys, first, last = head
        return Image(keys, values, records, self._bound(first), self._bound(last))

    def _bound(self, key: Any) -> str:
        return key_order(str(key), whole=self._whole)


def all_between(first: int, last: int) -> str:
    """Return what stands for a list of keys that are all whole numbers in between, in order."""
    return f'{{"from": {first}, "to": {last}}}'


def _named(columns: Columns, texts: Sequence[str], records: int) -> dict[str, Value]:
    """Return the values of JSON lists by column."""
    names = (str(column.name) for column in columns)
    return {name: _of_text(text, records) for name, text in zip(names, texts, strict=True)}


def _of_text(text: str, records: int) -> Value:
    """Return the one value that a JSON list has again and again, or the list."""
    length, rest = divmod(len(text) - 1 - records, records)
    value = text[1 : 1 + length]
    if rest or not text.endswith(f"{value}]") or text != f"[{','.join([value] * records)}]":
        return Value(text, shared=False)
    try:
        json.loads(value)
    except ValueError:
        return Value(text, shared=False)  # pieces of values repeat
    return Value(value, shared=True)


def _of_all(value: Any) -> Value:
    return Value(compact([value])[1:-1], shared=True)


def _chain(tenant: Any) -> str:
    return "" if tenant is None else str(tenant)
