"""Entries of the audit log that hold the changes of many records: a list for each column.

`before` and `after` are JSON objects, here indented:

    {"columns": [name, …], "key": name or null, "keys": […] or {"from": first, "to": last},
     "same": {name: value}, "each": {name: [value, …]}}

`columns` are those of a record, in their order. Keys from one to another are all whole
numbers in between. Values in `same` are those of all records.
The column `key` has the keys as its values. What columns hold that are nowhere has not
changed: it is in `before`, as are the keys where `after` has none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

__all__ = ["BETWEEN", "Batch", "Stored", "written"]

Stored = dict[str, Any]
"""A record as the log has it, by column."""


class Batch:
    """The changes of one entry, record by record as they are asked for."""

    def __init__(self, before: str | None, after: str | None) -> None:
        """Read an entry.

        Args:
            before: The records before; None if there were none.
            after: The records afterwards.
        """
        self._was = _Image(before, [])
        self._now = _Image(after, self._was.keys)
        self.keys = tuple(dict.fromkeys((*self._was.places, *self._now.places)))
        """The keys of all, in the order in which they are written."""

    @property
    def created(self) -> list[str]:
        """The keys of records that were not there before."""
        return [key for key in self._now.places if key not in self._was.places]

    def change(self, key: str) -> tuple[Stored | None, Stored | None]:
        """Return what a record was before the change, and after it."""
        was = self._was.record(key, {})
        return was, self._now.record(key, was or {})


BETWEEN = '"keys": {'
"""What an image has whose keys are not listed."""


def written(key: str) -> str:
    """Return how a key stands in the list of keys, but for quotes around it."""
    return json.dumps(key, ensure_ascii=False)[1:-1]


class _Image:
    """The records of an entry at one moment."""

    def __init__(self, text: str | None, keys: Sequence[Any]) -> None:
        nothing: dict[str, Any] = {"keys": []}
        shape = nothing if text is None else json.loads(text, parse_float=Decimal)
        told = shape.get("keys", keys)
        if isinstance(told, dict):
            told = range(told["from"], told["to"] + 1)
        self.keys: Sequence[Any] = told
        self.places = {str(key): place for place, key in enumerate(self.keys)}
        self._columns: list[str] = shape.get("columns", [])
        self._same: Stored = shape.get("same", {})
        self._lists: dict[str | None, Sequence[Any]] = {
            shape.get("key"): self.keys,
            **shape.get("each", {}),
        }

    def record(self, key: str, former: Stored) -> Stored | None:
        """Return a record; None if it is not there.

        Args:
            key: Its key.
            former: What it was before, for values that are not written again.
        """
        place = self.places.get(key)
        if place is None:
            return None
        same, lists = self._same, self._lists
        return {
            name: same[name] if name in same
            else lists[name][place] if name in lists
            else former[name]
            for name in self._columns
        }  # fmt: skip
