"""Generators that read the database while a bulk verb reads them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from dataflow import DataFlow
from dataflow.errors import LoopError


@pytest.fixture
def shop(db: DataFlow) -> DataFlow:
    @db.model(timestamps=False)
    class Cart:
        total: int

    @db.model(timestamps=False)
    class Bill:
        total: int

    db.bulk_create("Cart", [{"total": number} for number in range(5)])
    return db


def totals(db: DataFlow) -> Iterator[dict[str, Any]]:
    for cart in db.list("Cart")["records"]:
        yield {"total": cart["total"]}


async def totals_awaited(db: DataFlow) -> AsyncIterator[dict[str, Any]]:
    for cart in (await db.aio.list("Cart"))["records"]:
        yield {"total": cart["total"]}


@pytest.mark.parametrize("options", [{}, {"on_error": "collect"}], ids=str)
def test_a_generator_that_calls_the_sync_face_is_refused_at_its_line(
    shop: DataFlow, options: dict[str, Any]
):
    with pytest.raises(LoopError) as caught:
        shop.bulk_create("Bill", totals(shop), **options)

    assert str(caught.value) == (
        "a sync call on DataFlow's own event loop, which would wait for itself.\n"
        f"  at: {__file__}:{totals.__code__.co_firstlineno + 1}\n"
        "  help: in a coroutine, await the same method of db.aio; where a bulk call reads a "
        "generator, make it an async generator that does so, or read the data into a list first\n"
        "  code: DF115"
    )
    assert shop.count("Bill") == 0


@pytest.mark.parametrize("options", [{}, {"on_error": "collect"}], ids=str)
def test_both_ways_that_the_error_tells_work(shop: DataFlow, options: dict[str, Any]):
    shop.bulk_create("Bill", totals_awaited(shop), **options)
    shop.bulk_create("Bill", list(totals(shop)), **options)

    assert shop.count("Bill") == 10


@pytest.mark.filterwarnings("ignore:db.list blocks:RuntimeWarning")
def test_in_a_coroutine_such_a_generator_is_refused_with_the_ways_out(url: str):
    async def use() -> str:
        async with DataFlow(url) as db:

            @db.model
            class Cart:
                total: int

            with pytest.raises(LoopError) as caught:
                await db.aio.bulk_create("Cart", totals(db))
            return caught.value.advice() or ""

    assert "make it an async generator, or read the data into a list first" in asyncio.run(use())
