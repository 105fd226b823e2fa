"""The table that everything is measured on, and the records that go into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple

from dataflow import DataFlow

FIELDS = ("name", "email", "active", "age")
COLUMNS = (*FIELDS, "created_at", "updated_at")
ALL = ("id", *COLUMNS)
Record = dict[str, Any]


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        calls: Calls per timing of a single operation.
        single: Rounds of single operations.
        bulk: Records of a bulk call.
        rounds: Rounds of bulk calls.
        stream: Records of the memory measure.
        models: Classes of the declaration measure.
        fresh: Fresh processes per import measure.
        orders: Records that queries are measured on.
    """

    calls: int = 100
    single: int = 41
    bulk: int = 100_000
    rounds: int = 5
    stream: int = 1_000_000
    models: int = 500
    fresh: int = 7
    orders: int = 1_000_000


QUICK = Sizes(
    calls=30, single=3, bulk=2_000, rounds=2, stream=20_000, models=20, fresh=1, orders=20_000
)


def declare_user(db: DataFlow) -> None:
    """Declare the model `User` (table `users`)."""

    @db.model
    class User:
        name: str
        email: str
        active: bool = True
        age: int = 0


def record(number: int) -> Record:
    """Return the fields of one user."""
    return {
        "name": f"user {number}",
        "email": f"user{number}@example.com",
        "active": number % 3 > 0,
        "age": number % 90,
    }


def records(size: int) -> list[Record]:
    """Return users without keys."""
    return [record(number) for number in range(size)]


def stream(size: int) -> Iterator[Record]:
    """Yield users one by one."""
    return map(record, range(size))


def keyed(size: int, shift: int = 0) -> list[Record]:
    """Return users with keys from 1 and ages moved by `shift`."""
    return [{"id": n + 1, **record(n), "age": n % 90 + shift} for n in range(size)]


def rows(given: list[Record], now: Any, names: tuple[str, ...] = FIELDS) -> list[tuple[Any, ...]]:
    """Return what the raw driver takes: a tuple per record, both timestamps last."""
    return [(*(item[name] for name in names), now, now) for item in given]


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def cycle_keys(size: int) -> Callable[[], int]:
    """Return a function that gives keys from 1 to `size`, again and again."""
    numbers = count()
    return lambda: next(numbers) % size + 1
