"""The SQLite that a Python brings must be recent enough."""

from __future__ import annotations

import sqlite3

import pytest

from dataflow import DataFlow
from dataflow.errors import ConfigurationError


def test_an_old_sqlite_is_refused_with_the_version_that_is_needed(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")

    with pytest.raises(ConfigurationError) as caught:
        DataFlow("sqlite:///:memory:")

    assert caught.value.problem_text() == (
        "SQLite 3.38 or later is needed, and this Python brings 3.37.2."
    )
