"""The fixture of the contract suites: a house of every kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from houses import HOUSES, House


@pytest.fixture(params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A house of each kind, with an empty database."""

    def new_url(database: str) -> str:
        if database == "postgres":
            url: str = request.getfixturevalue("postgres_databases").create()
            return url
        return f"sqlite:///{tmp_path}/test.db"

    made = HOUSES[request.param](new_url)
    yield made
    made.close()
