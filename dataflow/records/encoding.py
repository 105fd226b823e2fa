"""Validated rows of one shape, turned into the driver's tuples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import itemgetter, lt
from typing import Any

import sqlalchemy as sa

from dataflow.errors import ParameterError
from dataflow.models.columns import is_made_in_sql
from dataflow.models.spec import FieldSpec, ModelSpec
from dataflow.query.processors import bind_processor

__all__ = [
    "Encoder",
    "Keys",
    "Names",
    "Row",
    "is_uniform",
    "key_values",
    "merge_rows",
    "positions_by_shape",
    "refuse_unknown_keys",
    "refuse_unmade",
]

Names = tuple[str, ...]
Row = dict[str, Any]


class Encoder:
    """Makes tuples of the named fields, followed by values that are the same in each row."""

    def __init__(
        self, spec: ModelSpec, dialect: sa.Dialect, names: Names, constants: Mapping[str, Any]
    ) -> None:
        """Find the conversions that each column needs."""
        fields: list[FieldSpec] = [spec.fields[name] for name in (*names, *constants)]
        self.columns: tuple[sa.Column[Any], ...] = tuple(field.column for field in fields)
        converts = [bind_processor(field.column.type, dialect) for field in fields]
        self._names = names
        self._tail = tuple(
            value if convert is None else convert(value)
            for value, convert in zip(constants.values(), converts[len(names) :], strict=True)
        )
        self._converts = [(n, c) for n, c in enumerate(converts[: len(names)]) if c is not None]

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        """Return a tuple per row, in the order of `columns`."""
        if not self._names:
            return [self._tail for _ in rows]
        get, tail = itemgetter(*self._names), self._tail
        if len(self._names) == 1:
            plain = [(get(row), *tail) for row in rows]
        else:
            plain = [get(row) + tail for row in rows]
        if not self._converts:
            return plain
        return [self._converted(row) for row in plain]

    def _converted(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        values = list(row)
        for place, convert in self._converts:
            values[place] = convert(values[place])
        return tuple(values)


class Keys:
    """Watches the keys of rows that stream by: are some equal, do they ascend?

    Keys that ascend need not be remembered. Where they stop ascending, those that came
    before count as repeated, because nobody knows any more which they were.
    """

    __slots__ = ("_count", "_get", "_last", "_seen", "ascend")

    def __init__(self, names: Names, *, ordered: bool) -> None:
        """Watch fields.

        Args:
            names: The fields that make a key.
            ordered: Whether the database sorts their values as Python does.
        """
        self._get = itemgetter(*names)
        self._seen: set[Any] = set()
        self._count = 0
        self._last: Any = None
        self.ascend = ordered

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        keys = list(map(self._get, rows))
        if self.ascend:
            self.ascend = (self._last is None or self._last < keys[0]) and all(
                map(lt, keys, islice(keys, 1, None))
            )
            self._last = keys[-1]
        if not self.ascend:
            self._seen.update(keys)
        self._count += len(keys)

    @property
    def repeat(self) -> bool:
        """Whether some may be equal."""
        return not self.ascend and len(self._seen) < self._count


def key_values(rows: Sequence[Row], key: Names) -> list[Any]:
    """Return the keys of rows: values, or dicts for composite keys."""
    if len(key) == 1:
        return [row[key[0]] for row in rows]
    return [{name: row[name] for name in key} for row in rows]


def is_uniform(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all rows have the same fields, whatever their order."""
    fields = len(rows[0])
    return set(map(len, rows)) == {fields} and len(set[Any]().union(*rows)) == fields


def refuse_unmade(spec: ModelSpec, names: Names) -> None:
    """Refuse rows for many records that lack a value which only a single INSERT makes.

    Raises:
        ParameterError: Naming the field.
    """
    missing = spec.fields.keys() - names
    for name in filter(missing.__contains__, spec.fields):
        if is_made_in_sql(spec.fields[name].column):
            raise ParameterError(
                problem=f"the default of {spec.name}.{name} is an SQL expression, which bulk "
                "calls do not make.",
                advise="give the value in each row, or let the database have it (server_default)",
            )


def refuse_unknown_keys(spec: ModelSpec, names: Names) -> None:
    """Refuse to return the keys of rows that lack them, where they are not reserved ahead.

    Raises:
        ParameterError: Naming the field.
    """
    missing = [name for name in spec.key if name not in names]
    if missing:
        raise ParameterError(
            problem=f"{spec.name}.{missing[0]} is made by the database in a way that bulk calls "
            "cannot ask for.",
            advise="give the keys in the rows, or leave returning out",
        )


def positions_by_shape(rows: Sequence[Mapping[str, Any]]) -> dict[Names, Sequence[int]]:
    """Group the positions of rows by the fields they have, in order of appearance."""
    if rows and is_uniform(rows):
        return {tuple(rows[0]): range(len(rows))}
    groups: dict[Names, list[int]] = {}
    for position, row in enumerate(rows):
        groups.setdefault(tuple(row), []).append(position)
    return dict(groups)


def merge_rows(
    rows: list[Row], key: Names, shapes: Sequence[Names], *, keep_first: bool = False
) -> tuple[list[Row], list[Names]]:
    """Join rows with the same key, as if they were applied one after the other.

    Args:
        rows: Validated rows.
        key: Fields that decide which rows are the same record.
        shapes: The fields that the caller gave for each row.
        keep_first: Ignore later rows instead of applying them.
    """
    get = itemgetter(*key)
    places: dict[Any, int] = {}
    merged: list[Row] = []
    names: list[Names] = []
    for row, shape in zip(rows, shapes, strict=True):
        place = places.setdefault(get(row), len(merged))
        if place == len(merged):
            merged.append(row)
            names.append(shape)
        elif not keep_first:
            merged[place] = {**merged[place], **{name: row[name] for name in shape}}
            names[place] = tuple(dict.fromkeys((*names[place], *shape)))
    return merged, names
