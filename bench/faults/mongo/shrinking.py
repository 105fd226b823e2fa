"""Makes a query that goes wrong smaller while it goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

TRIES = 400


def smaller(value: Any) -> Iterator[Any]:
    """Yield every value that is one step smaller: a part left out, or taken alone."""
    if isinstance(value, dict):
        for key, item in value.items():
            if len(value) > 1:
                yield {other: kept for other, kept in value.items() if other != key}
            if key.startswith("$"):
                yield from (part for part in (item if isinstance(item, list) else [item])
                            if isinstance(part, dict))  # fmt: skip
            yield from ({**value, key: less} for less in smaller(item))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield [*value[:index], *value[index + 1 :]]
            yield from ([*value[:index], less, *value[index + 1 :]] for less in smaller(item))


def shrink(value: Any, still_wrong: Callable[[Any], bool]) -> Any:
    """Return the smallest value found that is still wrong."""
    tries = 0
    found = True
    while found:
        found = False
        for less in smaller(value):
            tries += 1
            if tries > TRIES:
                return value
            if still_wrong(less):
                value, found = less, True
                break
    return value


def shrink_list(items: list[Any], still_wrong: Callable[[list[Any]], bool]) -> list[Any]:
    """Return a list without the items that do not matter, leaving out many at a time."""
    size = len(items) // 2
    while size:
        start = 0
        while start < len(items):
            less = items[:start] + items[start + size :]
            if less and still_wrong(less):
                items = less
            else:
                start += size
        size //= 2
    return items
