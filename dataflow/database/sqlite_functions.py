"""The SQL functions that SQLite lacks, registered on every connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflow.database.sqlite_json import matches_json
from dataflow.database.sqlite_text import regexp

__all__ = ["FUNCTIONS"]

FUNCTIONS: dict[str, tuple[int, Callable[..., Any]]] = {
    "dataflow_json_match": (2, matches_json),
    "dataflow_regexp": (3, regexp),
    "dataflow_unhex": (1, bytes.fromhex),
}
