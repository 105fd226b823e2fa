"""The line that describes where figures come from."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("dataflow-nodes", "asyncpg", "aiosqlite", "sqlalchemy", "pydantic")


def describe_machine(servers: list[str]) -> str:
    parts = [
        f"{_processor()}, {os.cpu_count()} cores",
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        *servers,
        f"SQLite {sqlite3.sqlite_version}",
        *(f"{name} {version(name)}" for name in PACKAGES),
    ]
    return "; ".join(parts)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
