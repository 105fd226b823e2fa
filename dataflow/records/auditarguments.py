"""What callers give to the audit log, checked before it is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from dataflow.errors import DataValueError, ParameterError, shown
from dataflow.models.columns import utc_now
from dataflow.models.columntypes import document_of
from dataflow.models.plaintext import checked_text

__all__ = ["checked_action", "checked_origin", "details_of", "hours_ago", "noted_heads"]

Heads = dict[tuple[str, int], tuple[int, bytes]]
_ORIGIN = ("ip_address", "user_agent")


def checked_action(action: Any) -> str:
    """Return an action's name.

    Raises:
        ParameterError: If it is no text, or an empty one.
    """
    if not isinstance(action, str) or not action:
        raise ParameterError(problem=f"action must be a text, such as 'approve', not {action!r}.")
    return checked_text("action", action)


def checked_origin(origin: Mapping[str, Any]) -> dict[str, str | None]:
    """Return whence an action came: address and program, as texts.

    Raises:
        ParameterError: If an argument is unknown, or its text cannot be stored.
    """
    unknown = set(origin) - set(_ORIGIN)
    if unknown:
        raise ParameterError(problem=f"audit.record has no argument {unknown.pop()!r}.")
    given = {name: origin.get(name) for name in _ORIGIN}
    return {
        name: None if value is None else checked_text(name, value) for name, value in given.items()
    }


def details_of(details: Any) -> str | None:
    """Return details as JSON.

    Raises:
        ParameterError: If JSON cannot carry them.
    """
    if details is None:
        return None
    try:
        return document_of(details)
    except DataValueError as error:
        raise ParameterError(problem=f"details cannot be recorded: {error.detail}.") from error


def hours_ago(hours: Any) -> dt.datetime:
    """Return the instant some hours ago.

    Raises:
        ParameterError: If that is no number from 0, or before all dates.
    """
    if isinstance(hours, int | float) and not isinstance(hours, bool) and hours >= 0:
        with suppress(OverflowError):
            return utc_now() - dt.timedelta(hours=hours)
    raise ParameterError(
        problem=f"hours must be from 0 to the first of all dates, not {shown(hours)}."
    )


def noted_heads(anchor: Iterable[Mapping[str, Any]]) -> Heads:
    """Return `{(chain, partition): (sequence, hash)}` of what `anchor()` returned.

    Raises:
        ParameterError: If it is anything else.
    """
    try:
        return dict(_noted(item) for item in anchor)
    except (TypeError, KeyError, ValueError) as error:
        raise ParameterError(
            problem=f"verify takes what anchor() has returned, not {shown(anchor)}.",
            advise="give the whole list; each item has chain, partition, sequence and hash",
        ) from error


def _noted(item: Mapping[str, Any]) -> tuple[tuple[str, int], tuple[int, bytes]]:
    chain, partition, sequence = item["chain"], item["partition"], item["sequence"]
    kinds = ((chain, str), (partition, int), (sequence, int))
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise TypeError
    return (chain, partition), (sequence, bytes.fromhex(item["hash"]))
