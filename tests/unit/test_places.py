"""The caller's file and line."""

import asyncio
import sys
from typing import Any

from dataflow.places import awaiting_place, caller_place


def here() -> str:
    frame = sys._getframe(1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def inside_the_package(source: str) -> dict[str, Any]:
    """Names of a module that is part of the package."""
    names = {
        "__name__": "dataflow.somewhere",
        "awaiting_place": awaiting_place,
        "caller_place": caller_place,
    }
    exec(source, names)
    return names


def test_the_place_is_the_nearest_line_outside_the_package():
    names = inside_the_package("def inner():\n  return caller_place()\ndef outer(): return inner()")

    assert names["outer"]() == here()


def test_the_place_of_a_coroutine_is_where_it_is_awaited():
    names = inside_the_package("async def inner():\n  return awaiting_place()")

    async def use() -> tuple[str | None, str]:
        return await names["inner"](), here()

    found, expected = asyncio.run(use())
    assert found == expected


def test_a_task_of_its_own_has_no_place():
    names = inside_the_package("async def inner():\n  return awaiting_place()")

    assert asyncio.run(names["inner"]()) is None
