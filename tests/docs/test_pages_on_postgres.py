"""The pages on queries run on PostgreSQL too, and print the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from page_run import IN_MEMORY, assert_page_runs
from pages import DOCS, name_of

OPENED = f'DataFlow("{IN_MEMORY}")'
ON_EVERY_DATABASE = [page for page in DOCS.rglob("*.md") if OPENED in page.read_text()]


@pytest.mark.parametrize("page", sorted(ON_EVERY_DATABASE), ids=name_of)
def test_a_page_prints_the_same_on_postgresql(
    page: Path, postgres_databases: Any, capsys: pytest.CaptureFixture[str]
):
    assert_page_runs(page, capsys, postgres_databases.create())
