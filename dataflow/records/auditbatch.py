"""Entries of the audit log that hold the changes of many records, as lines of text.

The first line is JSON: `{"columns": [[name, kind], …], "key": position}`, with the kinds
`number`, `bool`, `text` and `json`. Each further line is a record, as PostgreSQL writes
rows (see "Composite Type Input and Output Syntax" in its manual): `(1,"with space",,t)`.
The value at `key` is the record's key; if there are no more columns, it stands alone.
Values by column in `"same"`, if any, are those of all records, and empty in their lines.
With `"rows": "json"`, as SQLite's audit has it, each record is a JSON list instead.
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
    was, now = _records(before), _records(after)
    for key in dict.fromkeys((*was, *now)):
        yield key, was.get(key), now.get(key)


def written(key: str) -> set[str]:
    """Return the ways in which a key may stand in the lines, but for quotes around it."""
    doubled = key.replace("\\", "\\\\").replace('"', '""')
    return {doubled, json.dumps(key, ensure_ascii=False)[1:-1]}


def _records(lines: str | None) -> dict[str, Stored]:
    if lines is None:
        return {}
    header, _, body = lines.partition("\n")
    shape = json.loads(header)
    columns, key_at = [(name, _READ[kind]) for name, kind in shape["columns"]], shape["key"]
    same = {
        name: read(shape["same"][name]) for name, read in columns if name in shape.get("same", ())
    }
    found: dict[str, Stored] = {}
    if shape.get("rows") == "json":
        for line in body.split("\n"):
            *values, key = json.loads(line, parse_float=Decimal)
            found[key] = dict(zip((name for name, _ in columns), values, strict=True))
        return found
    for values in _rows(body):
        pairs = zip(columns, values, strict=False)
        found[values[key_at] or ""] = {
            name: None if value is None else read(value) for (name, read), value in pairs
        } | same
    return found


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
