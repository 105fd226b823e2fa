"""The SQL on the page "From raw SQL" finds what its replacement prints."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg
import pytest
from page_run import IN_MEMORY, PageRun
from pages import DOCS, Block, blocks_of

PAGE = DOCS / "how-to" / "from-raw-sql.md"


class Pair(NamedTuple):
    """SQL and the Python block that follows it."""

    statements: list[str]
    replacement: Block


def pairs() -> Iterator[Pair | Block]:
    """Yield the page's Python blocks in order, with the SELECTs before them where there are."""
    blocks = [block for block in blocks_of(PAGE) if block.language in ("sql", "python")]
    for before, block in zip([None, *blocks], blocks, strict=False):
        if block.language == "python":
            text = before.text if before is not None and before.language == "sql" else ""
            parts = [part.strip() for part in text.split(";")]
            selects = [part for part in parts if part.startswith("SELECT") and "…" not in part]
            yield Pair(selects, block) if selects else block


def as_shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return f"{value:%Y-%m}" if isinstance(value, dt.datetime) else str(value)


async def select(url: str, statements: list[str]) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [row for text in statements for row in await connection.fetch(text)]
    finally:
        await connection.close()


def test_the_sql_of_the_page_finds_what_its_replacement_prints(
    postgres_databases: Any, capsys: pytest.CaptureFixture[str]
):
    url = postgres_databases.create()
    run = PageRun()
    rows_found = 0
    try:
        for found in pairs():
            block = found.replacement if isinstance(found, Pair) else found
            run.run(block._replace(text=block.text.replace(IN_MEMORY, url)), capsys)
            if isinstance(found, Pair):
                rows = asyncio.run(select(url, found.statements))
                rows_found += len(rows)

                values = {as_shown(value) for row in rows for value in row}
                assert {value for value in values if value not in (block.shows or "")} == set()
    finally:
        run.close()
    assert rows_found > 30
