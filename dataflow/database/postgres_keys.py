"""Keys as PostgreSQL's audit log names records: one text for one key, here and there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from dataflow.database.postgres_words import DIALECT, quote

__all__ = ["key_sql", "key_text", "type_name"]

_MICROSECOND = dt.timedelta(microseconds=1)
_LARGE = 1e15
"""From here on PostgreSQL writes floats with an exponent; Python begins ten times later."""
_ENDLESS = {dt.date.min: "-infinity", dt.date.max: "infinity"}
"""What asyncpg stores for the first and the last day."""
_FORMS = {
    "TIMESTAMP": "to_char({0}, 'YYYY-MM-DD HH24:MI:SS.US')",
    "TIMESTAMPTZ": "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')||'+00:00'",
    "TIME": "to_char({0}, 'HH24:MI:SS.US')",
    "INTERVAL": "(extract(epoch FROM {0}) * 1000000)::bigint::text",
    "NUMERIC": "trim_scale({0})::text",
}


def type_name(column: sa.Column[Any]) -> str:
    """Return the first word of a column's type, with TIMESTAMPTZ for instants."""
    name = str(column.type.compile(dialect=DIALECT))
    if name.startswith("TIMESTAMP"):
        return "TIMESTAMPTZ" if "WITH TIME ZONE" in name else "TIMESTAMP"
    return name.replace("(", " ").split()[0]


def key_sql(row: str, columns: Sequence[sa.Column[Any]]) -> str:
    """Return the expression of a row's key as text.

    Args:
        row: The name of the row.
        columns: Those of the key.
    """
    texts = [
        _FORMS.get(type_name(column), "{0}::text").format(f"{row}.{quote(str(column.name))}")
        for column in columns
    ]
    if len(texts) == 1:
        return texts[0]
    return f"array_to_json(ARRAY[{', '.join(texts)}])::text"


def key_text(value: Any) -> str:
    """Return the same text of a value that the driver takes."""
    for kind, text in _TEXTS:
        if isinstance(value, kind):
            return text(value)
    return str(value)


def _instant(value: dt.datetime) -> str:
    utc = value if value.tzinfo is None else value.astimezone(dt.UTC)
    return utc.isoformat(" ", "microseconds")


def _fixed(value: Decimal) -> str:
    if not value.is_finite():
        return str(value) if value.is_infinite() else "NaN"
    return format(value.normalize(), "f") if value else "0"


def _shortest(value: float) -> str:
    text = repr(value).removesuffix(".0")
    special = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}
    if text in special or "e" in text or abs(value) < _LARGE:
        return special.get(text, text)
    sign, digits, exponent = Decimal(text).as_tuple()
    shown = "".join(map(str, digits)).rstrip("0")
    mantissa = f"{shown[0]}.{shown[1:]}".removesuffix(".")
    return f"{'-' * sign}{mantissa}e+{len(digits) + int(exponent) - 1}"


_TEXTS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (bool, lambda value: str(value).lower()),
    (bytes, lambda value: "\\x" + value.hex()),
    (dt.datetime, _instant),
    (dt.date, lambda value: _ENDLESS.get(value, str(value))),
    (dt.time, lambda value: value.isoformat("microseconds")),
    (dt.timedelta, lambda value: str(value // _MICROSECOND)),
    (Decimal, _fixed),
    (float, _shortest),
)
