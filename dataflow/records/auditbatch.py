"""Entries of the audit log that hold the changes of many records: a list for each column.

`before` and `after` are JSON objects, here indented:

    {"columns": [name, …], "key": name or null, "keys": […],
     "same": {name: value}, "each": {name: [value, …]}}

`columns` are those of a record, in their order. Values in `same` are those of all records.
The column `key` has the keys as its values. What columns hold that are nowhere has not
changed: it is in `before`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

__all__ = ["Stored", "changed_records", "written"]

Stored = dict[str, Any]
"""A record as the log has it, by column."""


def changed_records(
    before: str | None, after: str | None
) -> Iterator[tuple[str, Stored | None, Stored | None]]:
    """Yield the key of each record, and what it was before the change and after it.

    Args:
        before: The records before; None if there were none.
        after: The records afterwards.
    """
    was = dict(_records(before, {}))
    now = dict(_records(after, was))
    for key in dict.fromkeys((*was, *now)):
        yield key, was.get(key), now.get(key)


def written(key: str) -> str:
    """Return how a key stands in the list of keys, but for quotes around it."""
    return json.dumps(key, ensure_ascii=False)[1:-1]


def _records(text: str | None, former: Mapping[str, Stored]) -> Iterator[tuple[str, Stored]]:
    """Yield each key with its record.

    Args:
        text: The records as they are written.
        former: What they were before, for values that are not written again.
    """
    if text is None:
        return
    shape = json.loads(text, parse_float=Decimal)
    keys, same = shape["keys"], shape["same"]
    lists = {shape["key"]: keys, **shape["each"]}
    for place, key in enumerate(keys):
        before = former.get(str(key), {})
        yield str(key), {
            name: same[name] if name in same
            else lists[name][place] if name in lists
            else before[name]
            for name in shape["columns"]
        }  # fmt: skip
