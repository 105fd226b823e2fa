"""How PostgreSQL's audit writes many records as one entry: as rows of text.

A statement that changes many records writes an entry for each part of some thousand.
Which record is in which part depends on its key alone, so that a record before and
after the change is in the same entry without a join.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import sqlalchemy as sa

from dataflow.database.guard import Guard
from dataflow.database.postgres_keys import is_as_written, type_name
from dataflow.database.postgres_words import quote, text_literal

__all__ = ["PARTS", "PART_FUNCTION", "Batch", "Side"]


PARTS = "dataflow_parts"
"""The variable with the number of parts; 0: each record has an entry of its own."""
PART_FUNCTION = {
    "parts(total bigint, bytes bigint) RETURNS integer LANGUAGE sql IMMUTABLE": """
  SELECT CASE WHEN total < 100 OR total > 1000000 OR bytes > 1 << 28 THEN 0
    ELSE greatest(1, total / 10000, bytes >> 22) END::integer"""
}
"""No part is much longer than 10,000 records or 4 MB: it is read to find one of them."""
_KINDS: Mapping[str, str] = MappingProxyType({
    "BIGINT": "number", "INTEGER": "number", "SMALLINT": "number", "NUMERIC": "number",
    "DOUBLE": "number", "BOOLEAN": "bool", "TEXT": "text", "VARCHAR": "text", "UUID": "text",
    "DATE": "text", "TIMESTAMP": "text", "TIMESTAMPTZ": "text",
})  # fmt: skip
"""How the text of a value is read; values of all other types are written as JSON."""
_COSTLY = ("DATE", "TIMESTAMP", "TIMESTAMPTZ")
"""Types whose text takes longer than all others': written once, if it is the same in all rows."""
_SAME = "dataflow_same"
"""The row of values that all rows have in common."""
_WHOLE = ("BIGINT", "INTEGER", "SMALLINT")


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


class Batch:
    """Writes the query that yields the changed records of one table in parts."""

    def __init__(self, guard: Guard) -> None:
        """Keep what is audited."""
        self._guard = guard
        self._kinds = {
            str(column.name): "text"
            if column.name in guard.masked
            else _KINDS.get(type_name(column), "json")
            for column in guard.columns
        }
        first = guard.key[0]
        numbers = isinstance(first.type, sa.Integer) and type_name(first) in _WHOLE
        self._whole = len(guard.key) == 1 and numbers
        self._costly = [
            str(column.name)
            for column in guard.columns
            if column.name not in (*guard.masked, *(part.name for part in guard.key))
            and type_name(column) in _COSTLY
        ]

    def created(self, side: Side) -> str:
        """Return a query for `action, key, before, after, records, first_key, last_key`."""
        return self._one_sided("create", "NULL::text AS before, lines AS after", side)

    def deleted(self, side: Side) -> str:
        """Return the same of records that are gone."""
        return self._one_sided("delete", "lines AS before, NULL::text AS after", side)

    def _one_sided(self, action: str, lines: str, side: Side) -> str:
        return (
            f"SELECT '{action}' AS action, NULL::text AS key, {lines}, records, first_key, "
            f"last_key FROM ({self._lines(side)}) AS changed"
        )

    def updated(self, before: Side, after: Side) -> str:
        """Return the same of records that were changed."""
        # Sums of hashes tell, at once and nearly always, whether some keys have changed.
        both = " UNION ".join(
            f"SELECT place FROM ({self._placed(side)}) AS placed WHERE part = here"
            for side in (before, after)
        )
        return (
            "SELECT CASE WHEN was.part IS NULL THEN 'create' WHEN now.part IS NULL THEN 'delete' "
            "ELSE 'update' END AS action, NULL::text AS key, was.lines AS before, "
            "now.lines AS after, CASE WHEN (was.records, was.mark) = (now.records, now.mark) "
            f"THEN now.records ELSE (SELECT count(*) FROM ({both}) AS keys) END AS records, "
            "least(was.first_key, now.first_key) AS first_key, "
            "greatest(was.last_key, now.last_key) AS last_key "
            f"FROM ({self._lines(before)}) AS was FULL JOIN ({self._lines(after)}) AS now "
            "ON was.part = now.part, LATERAL coalesce(was.part, now.part) AS here"
        )

    def _lines(self, side: Side) -> str:
        """Return the query for the lines of each part, and what their keys are between."""
        rows = self._placed(side, f"{self._line(side)} AS line")
        lines = f"{self._header()} || string_agg(line, E'\\n')"
        return (
            f"{self._same(side)}SELECT part, {lines} AS lines, count(*) AS records, "
            f"sum(mark) AS mark, {self._bound('min')} AS first_key, "
            f"{self._bound('max')} AS last_key FROM ({rows}) AS placed GROUP BY part"
        )

    def _same(self, side: Side) -> str:
        """Return the CTE of values that all rows have in common; NULL for those that differ."""
        if not self._costly:
            return ""
        values = {f"{side.row}.{quote(name)}": quote(name) for name in self._costly}
        found = ", ".join(
            f"CASE WHEN min({value}) = max({value}) AND count({value}) = count(*) "
            f"THEN min({value}) END AS {name}"
            for value, name in values.items()
        )
        query = f"SELECT {found} FROM {side.rows} AS {side.row}{side.condition}"
        return f"WITH {_SAME} AS MATERIALIZED ({query}) "

    def _placed(self, side: Side, *more: str) -> str:
        """Return the query for each row's key, its hash and its part."""
        place = self._key_value(side) if self._whole else side.key
        mark = f"hashint8({place})" if self._whole else f"hashtext({place})"
        part = f"abs({mark} % {PARTS})"
        found = ", ".join((f"{place} AS place", f"{mark} AS mark", f"{part} AS part", *more))
        same = f", {_SAME}" if more and self._costly else ""
        return f"SELECT {found} FROM {side.rows} AS {side.row}{same}{side.condition}"

    def _bound(self, function: str) -> str:
        """Return the least or greatest key as a text that sorts like the keys."""
        if not self._whole:
            return f'{function}(place COLLATE "C")'
        return f"to_char({function}(place)::numeric + {1 << 63}, 'FM{'0' * 20}')"

    def _key_value(self, side: Side) -> str:
        return f"{side.row}.{quote(self._guard.key[0].name)}::bigint"

    def _header(self) -> str:
        """Return the expression of the line that says how to read the others."""
        shape = {"columns": list(self._kinds.items()), "key": self._key_at()}
        text = json.dumps(shape, ensure_ascii=False)
        if not self._costly:
            return text_literal(f"{text}\n")
        pairs = ", ".join(
            f"{text_literal(name)}, {_SAME}.{quote(name)}::text" for name in self._costly
        )
        same = f"SELECT json_strip_nulls(json_build_object({pairs}))::text FROM {_SAME}"
        return f"""{text_literal(text[:-1])} || ', "same": ' || ({same}) || E'}}\\n'"""

    def _key_at(self) -> int:
        """Return which value is the key's text; one more than the columns have, if none is."""
        key, kinds = self._guard.key, self._kinds
        name = str(key[0].name)
        alone = len(key) == 1 and kinds[name] in ("number", "text") and is_as_written(key[0])
        if not alone or name in self._guard.masked:
            return len(kinds)
        return list(kinds).index(name)

    def _line(self, side: Side) -> str:
        values = [self._value(side.row, name, kind) for name, kind in self._kinds.items()]
        if self._key_at() == len(values):
            values.append(side.key)
        return f"ROW({', '.join(values)})::text"

    def _value(self, row: str, name: str, kind: str) -> str:
        if name in self._guard.masked:
            return text_literal("***")
        value = f"{row}.{quote(name)}"
        if name in self._costly:
            return f"nullif({value}, {_SAME}.{quote(name)})"
        return f"to_json({value})" if kind == "json" else value
