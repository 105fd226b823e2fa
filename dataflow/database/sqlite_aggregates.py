"""The aggregate functions that SQLite lacks, registered on every connection."""

from __future__ import annotations

import json
import math
from decimal import Context, Decimal
from typing import Any

from dataflow.database.sqlite_json import compare_json

__all__ = ["AGGREGATES"]

_WIDE = Context(prec=150_000)
_QUOTIENT = Context(prec=28)


class _First:
    """The value with the lowest position."""

    sign = 1

    def __init__(self) -> None:
        self.position: Any = None
        self.value: Any = None

    def step(self, position: int, value: Any) -> None:
        if self.position is None or self.sign * position < self.position:
            self.position, self.value = self.sign * position, value

    def finalize(self) -> Any:
        return self.value


class _Last(_First):
    """The value with the highest position."""

    sign = -1


class _Push:
    """A JSON array of values in the order of their positions."""

    def __init__(self) -> None:
        self.items: list[tuple[int, str]] = []

    def step(self, position: int | None, value: str | None) -> None:
        if value is not None:
            self.items.append((position or 0, value))

    def finalize(self) -> str:
        self.items.sort(key=lambda item: item[0])
        return f"[{','.join(value for _, value in self.items)}]"


class _Collect:
    """A JSON array of distinct values."""

    def __init__(self) -> None:
        self.items: dict[str, str] = {}

    def step(self, value: str | None) -> None:
        if value is not None:
            self.items.setdefault(canonical(value), value)

    def finalize(self) -> str:
        return f"[{','.join(self.items.values())}]"


def canonical(text: Any) -> Any:
    """Return one text for all spellings of equal JSON."""
    if text is None or text[:1] not in "-0123456789{[":
        return text
    return json.dumps(_plain(json.loads(text)), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


class _Least:
    """The lowest JSON value that is not null, in MongoDB's order."""

    sign = 1

    def __init__(self) -> None:
        self.best: Any = None
        self.text: str | None = None

    def step(self, text: str | None, *_keys: Any) -> None:
        if text is None or text == "null":
            return
        value = json.loads(text)
        if self.text is None or self.sign * compare_json(value, self.best) < 0:
            self.best, self.text = value, text

    def finalize(self) -> str | None:
        return self.text


class _Greatest(_Least):
    """The highest JSON value that is not null."""

    sign = -1


class _SumDecimal:
    """An exact sum."""

    def __init__(self) -> None:
        self.total = Decimal(0)
        self.count = 0

    def step(self, value: str | None) -> None:
        if value is not None:
            self.total = _WIDE.add(self.total, Decimal(value))
            self.count += 1

    def finalize(self) -> str | None:
        return format(self.total, "f") if self.count else None


class _AverageDecimal(_SumDecimal):
    """A mean of 28 digits."""

    def finalize(self) -> str | None:
        if not self.count:
            return None
        return format(_QUOTIENT.divide(self.total, Decimal(self.count)), "f")


class _Deviation:
    """Standard deviation by Welford's method.

    Source: B. P. Welford, "Note on a method for calculating corrected sums of squares and
    products", Technometrics 4 (1962).
    """

    lost = 0

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.squares = 0.0

    def step(self, value: float | str | None) -> None:
        if value is not None:
            number = float(value)
            self.count += 1
            delta = number - self.mean
            self.mean += delta / self.count
            self.squares += delta * (number - self.mean)

    def finalize(self) -> float | None:
        number = self.count - self.lost
        return math.sqrt(self.squares / number) if number > 0 else None


class _SampleDeviation(_Deviation):
    """The same with one degree of freedom less."""

    lost = 1


AGGREGATES: dict[str, tuple[int, type[Any]]] = {
    "dataflow_avg_decimal": (1, _AverageDecimal),
    "dataflow_collect": (1, _Collect),
    "dataflow_deviation_of_all": (1, _Deviation),
    "dataflow_deviation_of_sample": (1, _SampleDeviation),
    "dataflow_first": (2, _First),
    "dataflow_json_greatest": (-1, _Greatest),
    "dataflow_json_least": (-1, _Least),
    "dataflow_last": (2, _Last),
    "dataflow_push": (2, _Push),
    "dataflow_sum_decimal": (1, _SumDecimal),
}
