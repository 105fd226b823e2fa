"""How PostgreSQL's audit writes many records as one entry: a JSON list per column.

A statement that changes many records writes an entry for each part of some thousand.
Which record is in which part depends on its key alone, so that a record before and
after the change is in the same entry without a join. Lists by column take two thirds of
the time of a text per record, and those that a change leaves as they were are written once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from dataflow.database.guard import Guard
from dataflow.database.postgres_keys import type_name
from dataflow.database.postgres_words import quote, text_literal

__all__ = ["PARTS", "PART_FUNCTION", "Batch", "Side", "size_sql"]


PARTS = "dataflow_parts"
"""The variable with the number of parts; 0: each record has an entry of its own."""
PART_FUNCTION = {
    "parts(total bigint, bytes bigint) RETURNS integer LANGUAGE sql IMMUTABLE": """
  SELECT CASE WHEN total < 100 OR total > 1000000 OR bytes > 1 << 28 THEN 0
    ELSE 1 << ceil(log(2, greatest(1, total / 10000, bytes >> 22)))::integer END"""
}
"""A power of two: no part is much longer than 10,000 records or 4 MB, for it is read to find
one of them."""
_MOMENTS = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")
"""Types whose text takes longer than all others': not even made, if all rows have the same."""
_WHOLE = ("BIGINT", "INTEGER", "SMALLINT")
_PLAIN_KEYS = ("TEXT", "VARCHAR", "UUID")
"""Types whose JSON holds the text of a key, so that the list of keys is the column's, too."""
_WORD = 8
_AT_ONCE = 50
"""Arguments of a call: functions take a hundred."""
_FIXED = (*_WHOLE, *_MOMENTS, "DOUBLE", "REAL", "BOOLEAN", "UUID", "TIME", "INTERVAL")
"""Types whose values are about as long as two words: there is no need to measure them."""


class Side(NamedTuple):
    """The rows before a change, or after it.

    Attributes:
        row: The name of one of them.
        rows: Where they are.
        key: The expression of a row's key as text.
        condition: Which of them belong to the chain, as a WHERE clause.
    """

    row: str
    rows: str
    key: str
    condition: str


class _List(NamedTuple):
    """A column whose values are written.

    Attributes:
        column: The column.
        each: What the list of its values is called.
        same: What the value is called that all rows have; None: that is not looked for.
    """

    column: sa.Column[object]
    each: str
    same: str | None


def size_sql(row: str, guard: Guard) -> str:
    """Return the expression of about how many bytes a row has; measuring all of it is slow."""
    measured = [
        f"coalesce(pg_column_size({row}.{quote(column.name)}), 0)"
        for column in guard.columns
        if type_name(column) not in _FIXED
    ]
    return " + ".join([str(_WORD * len(guard.columns)), *measured])


class Batch:
    """Writes the query that yields the changed records of one table in parts."""

    def __init__(self, guard: Guard) -> None:
        """Keep what is audited."""
        first, *more = guard.key
        kind = "" if more else type_name(first)
        self._whole = isinstance(first.type, sa.Integer) and kind in _WHOLE
        plain = (self._whole or kind in _PLAIN_KEYS) and first.name not in guard.masked
        self._key_name = str(first.name) if plain else None
        self._columns = [str(column.name) for column in guard.columns]
        self._masked = [name for name in self._columns if name in guard.masked]
        self._lists = [
            _List(
                column, f"each_{place}", f"same_{place}" if type_name(column) in _MOMENTS else None
            )
            for place, column in enumerate(guard.columns)
            if str(column.name) not in (self._key_name, *self._masked)
        ]

    def created(self, side: Side) -> str:
        """Return a query for `action, key, before, after, records, first_key, last_key`."""
        return self._one_sided(
            "create", f"NULL::text AS before, {self._document('t')} AS after", side
        )

    def deleted(self, side: Side) -> str:
        """Return the same of records that are gone."""
        return self._one_sided(
            "delete", f"{self._document('t')} AS before, NULL::text AS after", side
        )

    def _one_sided(self, action: str, images: str, side: Side) -> str:
        return (
            f"SELECT '{action}' AS action, NULL::text AS key, {images}, records, first_key, "
            f"last_key FROM ({self._image(side)}) AS t OFFSET 0"
        )

    def updated(self, before: Side, after: Side) -> str:
        """Return the same of records that were changed."""
        both = " UNION ".join(
            f"SELECT place FROM ({self._placed(side)}) AS placed WHERE part = here"
            for side in (before, after)
        )
        # Without OFFSET 0, here and above, PostgreSQL makes each text anew wherever it stands.
        return (
            "SELECT CASE WHEN was.part IS NULL THEN 'create' WHEN now.part IS NULL THEN 'delete' "
            f"ELSE 'update' END AS action, NULL::text AS key, {self._document('was')} AS before, "
            f"{self._document('now', former='was')} AS after, "
            f"CASE WHEN kept THEN now.records ELSE (SELECT count(*) FROM ({both}) AS keys) END "
            "AS records, least(was.first_key, now.first_key) AS first_key, "
            "greatest(was.last_key, now.last_key) AS last_key "
            f"FROM ({self._image(before)}) AS was FULL JOIN ({self._image(after)}) AS now "
            "ON was.part = now.part, LATERAL (SELECT coalesce(was.part, now.part) AS here, "
            "coalesce(was.keys = now.keys, false) AS kept) AS known OFFSET 0"
        )

    def _image(self, side: Side) -> str:
        """Return the query for the lists of each part, and what its keys are between."""
        found = (
            "part",
            "count(*) AS records",
            f"{self._bound('min')} AS first_key",
            f"{self._bound('max')} AS last_key",
            "json_agg(place)::text AS keys",
            *self._aggregates(),
        )
        rows = self._placed(side, *self._values(side))
        return f"SELECT {', '.join(found)} FROM ({rows}) AS placed GROUP BY part"

    def _values(self, side: Side) -> Iterator[str]:
        for column, each, _ in self._lists:
            yield f"{side.row}.{quote(column.name)} AS {each}"

    def _aggregates(self) -> Iterator[str]:
        for column, each, same in self._lists:
            if same is None:
                yield f"json_agg({each})::text AS {each}"
                continue
            one = f"min({each}) = max({each})"
            if column.nullable:
                one += f" AND count({each}) = count(*)"
            values = f"array_to_json(array_agg({each}))::text"
            yield f"CASE WHEN {one} THEN to_json(min({each}))::text END AS {same}"
            yield f"CASE WHEN {one} THEN NULL ELSE {values} END AS {each}"

    def _placed(self, side: Side, *more: str) -> str:
        """Return the query for each row's key and its part."""
        place = self._key_value(side) if self._whole else side.key
        mark = f"hashint8({place})" if self._whole else f"hashtext({place})"
        found = ", ".join((f"{place} AS place", f"{mark} & ({PARTS} - 1) AS part", *more))
        return f"SELECT {found} FROM {side.rows} AS {side.row}{side.condition}"

    def _bound(self, function: str) -> str:
        """Return the least or greatest key as a text that sorts like the keys."""
        if not self._whole:
            return f'{function}(place COLLATE "C")'
        return f"to_char({function}(place)::numeric + {1 << 63}, 'FM{'0' * 20}')"

    def _key_value(self, side: Side) -> str:
        return f"{side.row}.{quote(self._key_name or '')}::bigint"

    def _document(self, image: str, *, former: str | None = None) -> str:
        """Return the expression of an image as JSON; see `dataflow.records.auditbatch`.

        Args:
            image: The name of its row; all is NULL where there is none.
            former: That of the image before: what is the same in both is left out.
        """
        same = [text_literal(f'{_json(name)}: "***"') for name in self._masked]
        same += [
            self._member(image, entry, entry.same, former) for entry in self._lists if entry.same
        ]
        each = [self._member(image, entry, entry.each, former) for entry in self._lists]
        start = f'{{"columns": {_json(self._columns)}, "key": {_json(self._key_name)}, '
        keys = f"'\"keys\": ' || {image}.keys || ', '"
        if former is not None:
            keys = f"CASE WHEN kept THEN '' ELSE {keys} END"
        return (
            f"{text_literal(start)} || {keys} || '\"same\": {{' || {_joined(same)} "
            f"|| '}}, \"each\": {{' || {_joined(each)} || '}}}}'"
        )

    def _member(self, image: str, entry: _List, name: str, former: str | None) -> str:
        value = f"{image}.{name}"
        if former is not None:
            value = f"nullif({value}, CASE WHEN kept THEN {former}.{name} END)"
        return f"{text_literal(f'{_json(entry.column.name)}: ')} || {value}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _joined(members: list[str]) -> str:
    """Return the expression of a JSON object's members; those that are NULL are left out."""
    if not members:
        return "''"
    parts = [
        f"nullif(concat_ws(', ', {', '.join(members[first : first + _AT_ONCE])}), '')"
        for first in range(0, len(members), _AT_ONCE)
    ]
    return f"concat_ws(', ', {', '.join(parts)})"
