"""Which records of SQLite's tables have given values in some columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from types import NoneType
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import PydanticSerializationError, to_json

from dataflow.database.driver import Columns
from dataflow.database.sqlite_triggers import DIALECT, quoted
from dataflow.models.columntypes import is_bytes

__all__ = ["Matched", "Source", "compact", "matching"]

_SAMPLE = 40
"""About so many records are looked at before."""


class Source(NamedTuple):
    """What stands after SELECT …, where records are `t`, and its arguments.

    Attributes:
        ascending: Whether they come in the order of their keys, which are row numbers.
    """

    sql: str
    arguments: tuple[Any, ...]
    ascending: bool = False


@dataclass(frozen=True)
class Matched:
    """The records that have one of some values in some columns, and meet a condition.

    Attributes:
        columns: The columns.
        values: The values, or for several columns tuples of them.
        every: How many records each of some stands for.
        span: The first value and the last, if they are all whole numbers between them, in order.
    """

    table: sa.Table
    columns: Columns
    values: Sequence[Any]
    every: int
    span: tuple[int, int] | None = None
    condition: str = ""
    more: tuple[Any, ...] = ()

    def but(self, condition: str, *arguments: Any) -> Matched:
        """Return those of them that meet a condition, too."""
        condition = f"{self.condition} AND {condition}"
        return replace(self, condition=condition, more=(*self.more, *arguments))

    @cached_property
    def given(self) -> str:
        """The values, as a JSON list."""
        return compact(self.values, {int} if self.span else None)

    @property
    def source(self) -> Source:
        """The records, in the order of the values."""
        return self._found(self.given)

    @property
    def sampled(self) -> Source:
        """Some of them."""
        return self._found(compact(self.values[:: self.every]))

    def between(self, first: int, last: int) -> Source:
        """Return those whose one column is in between, at less than half the price."""
        (column,) = self.columns
        match = f"t.{quoted(column.name)} BETWEEN ? AND ?{self.condition}"
        name = quoted(str(self.table.name))
        return Source(f"FROM {name} AS t NOT INDEXED WHERE {match}", (first, last, *self.more))

    def _found(self, given: str) -> Source:
        alone = len(self.columns) == 1
        match = " AND ".join(
            f"t.{quoted(column.name)} = {_member(column, None if alone else number)}"
            for number, column in enumerate(self.columns)
        )
        values = f"json_each(?) AS j CROSS JOIN {quoted(str(self.table.name))} AS t"
        return Source(f"FROM {values} WHERE {match}{self.condition}", (given, *self.more))


def matching(table: sa.Table, columns: Columns, keys: Sequence[Any]) -> Matched:
    """Return the records that have one of some values in some columns.

    Args:
        table: Where they are.
        columns: The columns.
        keys: A value for each record, or a tuple of values for several columns.
    """
    every, whole = max(1, len(keys) // _SAMPLE), _in_between(keys)
    span = (whole[0], whole[-1]) if whole else None
    return Matched(table, columns, whole or keys, every, span)


def _in_between(keys: Sequence[Any]) -> list[int] | None:
    """Return keys that are all whole numbers between the first and the last, in order."""
    if not keys or type(keys[0]) is not int or type(keys[-1]) is not int:
        return None
    if keys[-1] - keys[0] != len(keys) - 1:
        return None
    whole = list(range(keys[0], keys[-1] + 1))
    return whole if keys == whole else None


def _member(column: sa.Column[Any], number: int | None) -> str:
    """Return the expression of a key, or of its part, that JSON carries; it carries no bytes."""
    value = "j.value" if number is None else f"(j.value ->> {number})"
    return f"dataflow_unhex({value})" if is_bytes(column.type, DIALECT) else value


_PLAIN = frozenset({int, str, NoneType})
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=bytes.hex).encode


def compact(values: Sequence[Any], types: Collection[type] | None = None) -> str:
    """Return a JSON list as SQLite would write it.

    Args:
        values: Its values.
        types: Theirs, if they are known.
    """
    if _PLAIN.issuperset(map(type, values) if types is None else types):
        with suppress(PydanticSerializationError):  # SQLite refuses such texts itself
            return to_json(values).decode()  # in a third of the time
    return _encode(values)
