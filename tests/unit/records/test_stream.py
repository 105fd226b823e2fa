"""Input of the bulk verbs, cut into batches."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dataflow.errors import ParameterError
from dataflow.records.stream import batches


def collect(data: Any, size: int) -> list[list[Any]]:
    async def run() -> list[list[Any]]:
        return [batch async for batch in batches(data, size)]

    return asyncio.run(run())


async def some(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(0, 2, []), (1, 2, [1]), (2, 2, [2]), (5, 2, [2, 2, 1]), (3, 10, [3])],
)
def test_rows_come_in_batches_whatever_carries_them(count: int, size: int, lengths: list[int]):
    rows = list(range(count))

    for data in (rows, tuple(rows), iter(rows), (row for row in rows), range(count), some(count)):
        found = collect(data, size)

        assert [len(batch) for batch in found] == lengths
        assert [row for batch in found for row in batch] == rows


def test_no_more_than_a_batch_is_taken_ahead():
    taken = []

    def rows() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    async def first() -> list[Any]:
        async for batch in batches(rows(), 3):
            return batch
        return []

    assert asyncio.run(first()) == [0, 1, 2]
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("data", [None, 5, "text", b"bytes", {"a": 1}], ids=str)
def test_what_is_no_list_of_rows_is_refused(data: Any):
    with pytest.raises(ParameterError) as caught:
        collect(data, 2)

    assert str(caught.value) == (
        "data must be a list or another iterable of dicts, not "
        f"{type(data).__name__}.\n  code: DF103"
    )
