"""Event loops that end while connections are closed."""

from __future__ import annotations

import asyncio
import logging

import pytest

from dataflow import DataFlow


def test_a_loop_that_ends_at_once_reports_no_errors_of_connections(
    url: str, caplog: pytest.LogCaptureFixture
):
    with DataFlow(url, pool_size=1, max_overflow=9) as db:

        @db.model
        class Note:
            text: str

        db.count("Note")

        async def main() -> None:
            await asyncio.gather(*(db.aio.create("Note", text=str(n)) for n in range(10)))
            await asyncio.gather(*(db.aio.count("Note") for _ in range(10)))

        for _ in range(3):
            asyncio.run(main())

        assert db.count("Note") == 30
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
