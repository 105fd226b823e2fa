"""Instants in filters: `{"$date": "today"}`, `{"$date": "-5m"}`, `{"$date": "2024-01-31"}`."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from dataflow.errors import FilterError, shown

__all__ = ["instant_of", "is_date"]

_OFFSET = re.compile(r"([+-])(\d{1,9})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PLAIN = frozenset({str, int, float, bool, type(None), list, tuple, dt.datetime, dt.date})
_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}


def is_date(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is spelled `{"$date": …}`."""
    if type(value) in _PLAIN:  # asking for a Mapping costs more than the rest of a filter
        return False
    return isinstance(value, Mapping) and len(value) == 1 and "$date" in value


def instant_of(value: Mapping[str, Any], at: str | None = None) -> dt.datetime:
    """Return the instant, in UTC, that `{"$date": …}` means now.

    `"now"`; `"today"`, `"yesterday"` and `"tomorrow"`: midnight UTC; `"-5m"`: before now,
    in seconds, minutes, hours, days or weeks; else ISO 8601, taken as UTC without a zone.

    Raises:
        FilterError: For another text, or an instant out of range.
    """
    text = value["$date"]
    if isinstance(text, dt.datetime):
        return text if text.tzinfo else text.replace(tzinfo=dt.UTC)
    try:
        return _parse(text)
    except (TypeError, ValueError, OverflowError):
        raise FilterError(
            problem=f"$date cannot be {shown(text)}.",
            advise='write "today", "now", "-5m" (s, m, h, d, w) or an ISO date',
            at=at,
        ) from None


def _parse(text: Any) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    if text == "now":
        return now
    if text in _DAYS:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + dt.timedelta(days=_DAYS[text])
    offset = _OFFSET.fullmatch(text)
    if offset is not None:
        span = dt.timedelta(**{_UNITS[offset[3]]: int(offset[2])})
        return now + span if offset[1] == "+" else now - span
    instant = dt.datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=dt.UTC)
