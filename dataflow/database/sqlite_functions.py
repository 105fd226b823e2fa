"""The SQL functions that SQLite lacks, registered on every connection."""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any

from dataflow.database.sqlite_aggregates import canonical, quotient
from dataflow.database.sqlite_json import compare_json, matches_json
from dataflow.database.sqlite_text import one_to_one, regexp

__all__ = ["FUNCTIONS"]

_WIDE = Context(prec=150_000)
_UNITS = ("year", "month", "day", "hour", "minute", "second")
Function = Callable[..., Any]


def _null_safe(function: Function) -> Function:
    def wrapped(*args: Any) -> Any:
        return None if None in args else function(*args)

    return wrapped


# ------------------------------------------------------------------------- JSON


def _json_map(document: str, key: str) -> str:
    """Return the values of a key in the objects of an array."""
    items = json.loads(document)
    found = [item[key] for item in items if isinstance(item, dict) and key in item]
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=500)
def _tree(text: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(text)
    return tree


def _json_keep(document: str | None, tree: str) -> str | None:
    """Return the parts of a document that a tree of keys names; None for single values."""
    if document is None or document[:1] not in "{[":
        return None
    return json.dumps(_kept(json.loads(document), _tree(tree)), ensure_ascii=False)


def _kept(value: Any, tree: dict[str, Any]) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_kept(item, tree) for item in value if isinstance(item, dict)]
    return {
        key: _kept(value[key], inner)
        for key, inner in tree.items()
        if key in value and (not inner or isinstance(value[key], dict | list))
    }


def _json_step(document: str | None, key: str) -> str | None:
    """Return the value of a key, or its values in the objects of an array."""
    if document is None or document[:1] not in "{[":
        return None
    if document[0] == "[":
        return _json_map(document, key)
    value = json.loads(document)
    return json.dumps(value[key], ensure_ascii=False) if key in value else None


def _json_array(*values: str | None) -> str:
    return f"[{','.join('null' if value is None else value for value in values)}]"


def _object(*parts: str | None) -> str:
    """Return an object of keys and values in turn; what is missing has no key."""
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in pairs if v is not None) + "}"


def _object_part(key: str, value: str | None) -> str:
    return "{}" if value is None else f"{{{json.dumps(key, ensure_ascii=False)}:{value}}}"


def _object_join(left: str, right: str) -> str:
    if left == "{}" or right == "{}":
        return right if left == "{}" else left
    return f"{left[:-1]},{right[1:]}"


def _json_compare(left: str | None, right: str | None, left_rank: int, right_rank: int) -> int:
    if left is None or right is None or left_rank != right_rank:
        return (left_rank > right_rank) - (left_rank < right_rank)
    return compare_json(json.loads(left), json.loads(right))


def _json_contains(value: str | None, array: str | None) -> bool:
    if value is None or array is None or not array.startswith("["):
        return False
    wanted = json.loads(value)
    return any(compare_json(wanted, item) == 0 for item in json.loads(array))


def _json_of_float(value: float | None) -> str:
    return "null" if value is None else repr(float(value))


def _json_of_number(value: float | None) -> str:
    return "null" if value is None else repr(value)


# ------------------------------------------------------------------------ texts


def _upper(text: str) -> str:
    """Map letters one to one, as the other databases do."""
    return "".join(up if len(up := letter.upper()) == 1 else letter for letter in text)


# ---------------------------------------------------------------------- numbers


def _decimal(value: Any) -> str:
    return format(Decimal(value if isinstance(value, str | int) else repr(value)), "f")


def _on_decimals(name: str, context: Context = _WIDE) -> Function:
    method: Callable[[Decimal, Decimal], Decimal] = getattr(context, name)
    return _null_safe(lambda a, b: format(method(Decimal(a), Decimal(b)), "f"))


def _decimal_divide(a: str, b: str) -> str | None:
    divisor = Decimal(b)
    return quotient(Decimal(a), divisor) if divisor else None


def _decimal_mod(a: str, b: str) -> str | None:
    divisor = Decimal(b)
    return format(_WIDE.remainder(Decimal(a), divisor), "f") if divisor else None


def _decimal_round(value: str, places: int) -> str:
    step = Decimal(1).scaleb(-int(places))
    rounded = Decimal(value).quantize(step, rounding=ROUND_HALF_EVEN, context=_WIDE)
    return format(rounded, "f")


def _decimal_compare(a: str, b: str) -> int:
    left, right = Decimal(a), Decimal(b)
    return (left > right) - (left < right)


def _mod(a: float, b: float) -> float | None:
    if not b:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return abs(a) % abs(b) * (-1 if a < 0 else 1)
    return float(_WIDE.remainder(Decimal(repr(a)), Decimal(repr(b))))


# ------------------------------------------------------------------------ times


@lru_cache(maxsize=64)
def _zone(name: str) -> zoneinfo.ZoneInfo:
    return zoneinfo.ZoneInfo(name)


def _stored(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat(" ", "microseconds")


def _truncate(unit: str, text: str, zone: str) -> str:
    """Return the beginning of the year, quarter, month, …, second of an instant in a zone."""
    instant = dt.datetime.fromisoformat(text).astimezone(_zone(zone))
    if unit == "quarter":
        instant = instant.replace(month=instant.month - (instant.month - 1) % 3, day=1)
        unit = "month"
    first = _UNITS.index(unit) + 1
    lowest = {"month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    later = (*_UNITS, "microsecond")[first:]
    changes: dict[str, Any] = {name: lowest[name] for name in later}
    return _stored(instant.replace(**changes))


def _truncate_week(text: str, zone: str, shift: int) -> str:
    """Return the beginning of the week, which begins `shift` days before Monday."""
    local = dt.datetime.fromisoformat(text).astimezone(_zone(zone))
    back = (local.weekday() + int(shift)) % 7
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return _stored((midnight.replace(tzinfo=None) - dt.timedelta(back)).replace(tzinfo=_zone(zone)))


FUNCTIONS: dict[str, tuple[int, Function]] = {
    "dataflow_decimal": (1, _null_safe(_decimal)),
    "dataflow_decimal_abs": (1, _null_safe(lambda value: format(abs(Decimal(value)), "f"))),
    "dataflow_decimal_add": (2, _on_decimals("add")),
    "dataflow_decimal_compare": (2, _null_safe(_decimal_compare)),
    "dataflow_decimal_divide": (2, _null_safe(_decimal_divide)),
    "dataflow_decimal_mod": (2, _null_safe(_decimal_mod)),
    "dataflow_decimal_multiply": (2, _on_decimals("multiply")),
    "dataflow_decimal_round": (2, _null_safe(_decimal_round)),
    "dataflow_decimal_subtract": (2, _on_decimals("subtract")),
    "dataflow_json_array": (-1, _json_array),
    "dataflow_json_compare": (4, _json_compare),
    "dataflow_json_contains": (2, _json_contains),
    "dataflow_json_keep": (2, _json_keep),
    "dataflow_json_key": (1, canonical),
    "dataflow_json_map": (2, _json_map),
    "dataflow_json_match": (2, matches_json),
    "dataflow_json_of_float": (1, _json_of_float),
    "dataflow_json_of_number": (1, _json_of_number),
    "dataflow_json_step": (2, _json_step),
    "dataflow_lower": (1, _null_safe(one_to_one)),
    "dataflow_mod": (2, _null_safe(_mod)),
    "dataflow_int_mod": (2, _null_safe(_mod)),
    "dataflow_object": (-1, _object),
    "dataflow_object_join": (2, _object_join),
    "dataflow_object_part": (2, _object_part),
    "dataflow_regexp": (3, regexp),
    "dataflow_truncate": (3, _null_safe(_truncate)),
    "dataflow_truncate_week": (3, _null_safe(_truncate_week)),
    "dataflow_unhex": (1, bytes.fromhex),
    "dataflow_upper": (1, _null_safe(_upper)),
}
