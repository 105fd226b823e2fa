"""Where a case works: databases of its own, its size, and what must not leak."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import asyncpg

from dataflow import DataFlow
from dataflow.portal import portal

T = TypeVar("T")


class World:
    """Makes databases of one kind, and removes them at the end.

    Args:
        kind: `"sqlite"` or `"postgres"`.
        server: URL of a maintenance database; unused for SQLite.
        share: Part of the full size, 1.0 or 0.1.
    """

    def __init__(self, kind: str, server: str, share: float) -> None:
        self.kind = kind
        self.share = share
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="dataflow-faults-")
        self._numbers = itertools.count(1)
        self._made: list[str] = []
        self._roles: list[str] = []

    def size(self, full: int) -> int:
        return max(1, round(full * self.share))

    def url(self) -> str:
        """Return the URL of a new, empty database."""
        number = next(self._numbers)
        if self.kind == "sqlite":
            return f"sqlite:///{self._folder.name}/{number}.db"
        name = f"faults_{os.getpid()}_{number}"
        self.admin(f'CREATE DATABASE "{name}" TEMPLATE template0 STRATEGY file_copy')
        self._made.append(name)
        return re.sub(r"/[^/]*$", f"/{name}", self._server)

    def plain_url(self) -> str:
        """Return the URL of a new, empty database whose owner is no superuser."""
        url = self.url()
        name = url.rpartition("/")[2]
        role = f"{name}_owner"
        self._roles.append(role)
        self.admin(
            f"CREATE ROLE {role} LOGIN PASSWORD '{role}'",
            f'ALTER DATABASE "{name}" OWNER TO {role}',
        )
        return re.sub(r"//([^@]*@)?", f"//{role}:{role}@", url, count=1)

    def admin(self, *statements: str) -> list[Any]:
        """Run statements in the maintenance database; return the rows of the last."""

        async def run() -> list[Any]:
            rows: list[Any] = []
            connection = await asyncpg.connect(self._server)
            for statement in statements:
                rows = await connection.fetch(statement)
            await connection.close()
            return rows

        return asyncio.run(run())

    def backends(self, url: str, state: str = "%") -> int:
        """Count the server's connections to a database in a state."""
        name = url.rpartition("/")[2]
        sql = (
            "SELECT count(*) FROM pg_stat_activity "
            f"WHERE datname = '{name}' AND state LIKE '{state}' AND application_name = 'dataflow'"
        )
        return int(self.admin(sql)[0][0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._made:
            self.admin(*(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in self._made))
        if self._roles:
            self.admin(*(f"DROP ROLE IF EXISTS {role}" for role in self._roles))
        self._folder.cleanup()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names alone


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024


class Leaks:
    """Remembers what is open, and tells afterwards what was not given back."""

    def __init__(self) -> None:
        portal.loop()
        self._descriptors = descriptors()

    def after(self, world: World, db: DataFlow, url: str) -> list[str]:
        """Close the DataFlow and name everything that is left.

        Statements that a cancelled call left behind may take a moment to end.
        """
        found = []
        status = db.database.pool_status()
        if status["in_use"] or status["waiting"]:
            found.append(f"pool after the work: {status}")
        if world.kind == "postgres":
            for state in ("idle in transaction%", "active"):
                count = _settled(lambda state=state: world.backends(url, state))
                if count:
                    found.append(f"{count} backends are {state.strip('%')}")
        db.close()
        left = _settled(lambda: descriptors() - self._descriptors)
        if left > 0:
            found.append(f"{left} file descriptors left after close")
        tasks = portal.call(_tasks())
        if tasks:
            found.append(f"{tasks} tasks left on the portal's loop")
        return found


def _settled(count: Any) -> int:
    pause = asyncio.Event()
    for _ in range(50):
        if count() <= 0:
            return 0

        async def wait() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(pause.wait(), 0.02)

        portal.call(wait())
    return int(count())


async def _tasks() -> int:
    return len(asyncio.all_tasks()) - 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new loop, and insist that it leaves no task behind.

    A connection that the pool has no place for may still be closing when the work ends.
    """

    async def checked() -> T:
        result = await main
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            _, left = await asyncio.wait(left, timeout=1.0)
        if left:
            raise AssertionError(f"{len(left)} tasks left: {list(left)[:3]}")
        return result

    return asyncio.run(checked())
