"""Entries of the audit log that hold the changes of many records, as lines of text.

The first line is JSON: `{"columns": [[name, kind], …], "key": position}`, with the kinds
`number`, `bool`, `text` and `json`. Each further line is a record, as PostgreSQL writes
rows (see "Composite Type Input and Output Syntax" in its manual): `(1,"with space",,t)`.
The value at `key` is the record's key; if there are no more columns, it stands alone.
Values by column in `"same"`, if any, are those of all records, and empty in their lines.

As SQLite's audit has it, the whole is one JSON object, with a list of values for each column:
`{"columns": [name, …], "key": name or null, "keys": […], "same": {…}, "each": {name: […]}}`.
Values of the column `key` are the keys; those of columns that are nowhere did not change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["Stored", "changed_records", "written"]

Stored = dict[str, Any]
"""A record as the log has it, by column."""

_VALUE = re.compile(r'(?:"((?:[^"\\]|""|\\.)*)"|([^",()\\]*))([,)])', re.DOTALL)
_DOUBLED = re.compile(r'["\\](["\\])')


def _number(text: str) -> Any:
    """Return a number as JSON would yield it; NaN and infinities as text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return number if number.is_finite() else text


_READ: Mapping[str, Callable[[str], Any]] = {
    "number": _number,
    "bool": lambda text: text == "t",
    "text": str,
    "json": lambda text: json.loads(text, parse_float=Decimal),
}


def changed_records(
    before: str | None, after: str | None
) -> Iterator[tuple[str, Stored | None, Stored | None]]:
    """Yield the key of each record, and what it was before the change and after it.

    Args:
        before: The lines of the records before; None if there were none.
        after: The lines of the records afterwards.
    """
    was = _records(before, {})
    now = _records(after, was)
    for key in dict.fromkeys((*was, *now)):
        yield key, was.get(key), now.get(key)


def written(key: str) -> set[str]:
    """Return the ways in which a key may stand in the lines, but for quotes around it."""
    doubled = key.replace("\\", "\\\\").replace('"', '""')
    return {doubled, json.dumps(key, ensure_ascii=False)[1:-1]}


def _records(text: str | None, former: Mapping[str, Stored]) -> dict[str, Stored]:
    """Return records by key.

    Args:
        text: The records as they are written.
        former: What they were before, for values that are not written again.
    """
    if text is None:
        return {}
    header, _, lines = text.partition("\n")
    shape = json.loads(header, parse_float=Decimal)
    return dict(_by_line(shape, lines) if lines else _by_column(shape, former))


def _by_line(shape: Mapping[str, Any], lines: str) -> Iterator[tuple[str, Stored]]:
    columns, key_at = [(name, _READ[kind]) for name, kind in shape["columns"]], shape["key"]
    texts = shape.get("same", {})
    same = {name: read(texts[name]) for name, read in columns if name in texts}
    for values in _rows(lines):
        pairs = zip(columns, values, strict=False)
        record = {name: None if value is None else read(value) for (name, read), value in pairs}
        yield values[key_at] or "", record | same


def _by_column(
    shape: Mapping[str, Any], former: Mapping[str, Stored]
) -> Iterator[tuple[str, Stored]]:
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


def _rows(body: str) -> Iterator[list[str | None]]:
    """Yield the values of each row; an empty one without quotes is NULL."""
    place, scan = 0, _VALUE.match
    while place < len(body):
        values: list[str | None] = []
        place += 1  # the parenthesis
        end = ","
        while end == ",":
            found = scan(body, place)
            if found is None:
                raise ValueError(f"the entry's lines cannot be read at character {place}")
            quoted, plain, end = found.groups()
            values.append(plain or None if quoted is None else _DOUBLED.sub(r"\1", quoted))
            place = found.end()
        yield values
        place += 1  # the end of the line
