"""Statements as the reference shows them: in one line, with values, without passing columns on."""

from __future__ import annotations

import re
from itertools import count
from typing import Any, NamedTuple

__all__ = ["condition_of", "select_list", "shortened"]

_LONGEST = 300
_SUBQUERY = re.compile(r"(?:WITH )?(s\d+) AS \(")
_PASSES_ON = re.compile(r"SELECT (?P<columns>.*) FROM (?P<source>\w+)")
_COLUMN_END = re.compile(r" AS c\d+(?:, |$)")
_ALL_COLUMNS = "id, city, amount, placed, tags, data"


class _Parts(NamedTuple):
    subqueries: dict[str, str]
    select: str


def shortened(text: str, args: tuple[Any, ...]) -> str:
    """Return a statement without subqueries that only pass columns on, and not too long."""
    short = re.sub(r" AS c\d+\b", "", _folded(_plain(text, args)))
    return _elided(short.replace(f"SELECT {_ALL_COLUMNS}", "SELECT …"))


def condition_of(text: str, args: tuple[Any, ...]) -> str:
    """Return what follows WHERE."""
    return _plain(text, args).partition(" WHERE ")[2].rpartition(" ORDER BY ")[0]


def select_list(text: str, args: tuple[Any, ...]) -> str:
    """Return what is selected, from a statement of one field."""
    whole = _folded(_plain(text, args)).removeprefix("SELECT ")
    body, *_ = re.split(r" FROM sales| HAVING ", whole)
    return _elided(_columns(body)[-1])


def _plain(text: str, args: tuple[Any, ...]) -> str:
    """Return a statement in one line, without quotes, with its values in place."""
    text = " ".join(text.split())
    text = re.sub(r'"?sales"?\."?(\w+)"?', r"\1", text)
    text = re.sub(r'"(\w+)"', r"\1", text)
    text = re.sub(r"CAST\((\$\d+)::\w+ AS \w+\)", r"\1", text)
    numbers = count()

    def value(found: re.Match[str]) -> str:
        return _literal(args[int(found[1]) - 1 if found[1] else next(numbers)])

    text = re.sub(r"\$(\d+)(?:::\w+(?:\[\])?)?|\?", value, text)
    return re.sub(r"CAST\(('[^']*') AS (?:jsonpath|text|TEXT)\)", r"\1", text)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


# --------------------------------------------------------------------------- folding


def _folded(text: str) -> str:
    """Return a statement with subqueries that only choose columns folded into what uses them."""
    parts = _parts(text)
    columns: dict[str, list[str]] = {}
    sources: dict[str, str] = {}
    kept: dict[str, str] = {}
    for name, body in parts.subqueries.items():
        filled = _filled(body, columns, sources)
        found = _PASSES_ON.fullmatch(filled)
        if found is not None and found["source"] not in kept:
            columns[name] = _columns(found["columns"])
            sources[name] = found["source"]
        else:
            kept[name] = filled
    select = _filled(parts.select, columns, sources)
    if len(kept) == 1:
        return _merged(*kept.items(), select)
    return ", ".join(f"{name} AS ({body})" for name, body in kept.items()) + f" {select}".lstrip()


def _merged(kept: tuple[str, str], select: str) -> str:
    """Return the only subquery with the order of the statement that selects from it."""
    name, body = kept
    chosen, found, order = select.partition(f" FROM {name}")
    inner = re.match(r"SELECT (.*?) AS c\d+ (?=FROM )", body)
    if not found or inner is None:
        return f"WITH {name} AS ({body}) {select}"
    columns = {name: _columns(f"{inner[1]} AS c0")}
    wanted = _filled(chosen, columns, {})
    return f"{wanted} {body[inner.end() :]}{_filled(order, columns, {})}"


def _filled(text: str, columns: dict[str, list[str]], sources: dict[str, str]) -> str:
    def column(found: re.Match[str]) -> str:
        known = columns.get(found[1])
        return found[0] if known is None else known[int(found[2])]

    text = re.sub(r"\b(s\d+)\.c(\d+)\b", column, text)
    return re.sub(r"\bFROM (s\d+)\b", lambda found: f"FROM {sources.get(found[1], found[1])}", text)


def _columns(text: str) -> list[str]:
    found = [column for column in _COLUMN_END.split(text) if column]
    return ["place" if column.startswith("row_number()") else column for column in found]


def _parts(text: str) -> _Parts:
    """Return the subqueries of WITH by name, and the SELECT that follows them."""
    found: dict[str, str] = {}
    start = 0
    while (head := _SUBQUERY.match(text, start)) is not None:
        end = _closing(text, head.end() - 1)
        found[head[1]] = text[head.end() : end]
        start = end + (3 if text.startswith("), ", end) else 2)
    return _Parts(found, text[start:])


def _closing(text: str, start: int) -> int:
    """Return the place of the parenthesis that closes the one at the start."""
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError(text)


# --------------------------------------------------------------------------- leaving out


def _elided(text: str) -> str:
    """Return a text with `…` for its longest calls, as long as it is too long."""
    text = re.sub(r"CASE u0\.type WHEN .*? END(?=,| AS)", "CASE u0.type … END", text)
    while len(text) > _LONGEST:
        opened = [place for place, mark in enumerate(text) if mark == "("]
        inner = [text[start + 1 : _closing(text, start)] for start in opened]
        calls = [call for call in inner if len(call) > 30 and "SELECT" not in call]
        if not calls:
            break
        text = text.replace(f"({max(calls, key=len)})", "(…)")
    return text
