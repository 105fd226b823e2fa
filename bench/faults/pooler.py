"""F8: PgBouncer between DataFlow and the server, which gives each transaction any session."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown, three_steps
from bench.faults.world import Leaks, World, run
from dataflow import DataFlow, LocalRuntime

WORKFLOWS, SESSIONS, POOL, AT_ONCE = 2_000, 5, 20, 50
USER = "postgres"


def _program() -> str | None:
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")


@contextlib.contextmanager
def _bouncer(program: str, url: str) -> Iterator[str]:
    """Run PgBouncer before a database; yield the URL through it."""
    host, port, name = re.findall(r"@([^:]+):(\d+)/(\w+)", url)[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="dataflow-pgbouncer-") as folder:
        path = Path(folder)
        (path / "users").write_text(f'"{USER}" ""\n')
        (path / "ini").write_text(
            f"[databases]\n{name} = host={host} port={port} dbname={name}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {own}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {path}/users\npool_mode = transaction\n"
            f"default_pool_size = {SESSIONS}\nmax_client_conn = 1000\n"
        )
        for item in (path, *path.iterdir()):
            shutil.chown(item, USER)
        with (path / "log").open("wb") as log:
            process = subprocess.Popen(
                [program, str(path / "ini")], user=USER, stdout=log, stderr=log
            )
        try:
            _await(own)
            yield f"postgresql://{USER}@127.0.0.1:{own}/{name}"
        finally:
            process.terminate()
            process.wait(10)


def _await(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise OSError("PgBouncer does not answer")


async def _workflows(db: DataFlow, count: int) -> list[BaseException]:
    runtime, workflow, gate = LocalRuntime(), three_steps(db), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            found, _ = await runtime.execute_async(
                workflow,
                parameters={"create": {"name": f"n{number}"}},
                transaction=number % 2 == 1,
            )
            assert found["update"]["name"] == f"n{number}"

    async def session(number: int) -> None:
        async with gate, db.aio.session() as opened:
            user = await opened.get(User, number)
            assert user is not None
            user.score = 2
            await opened.commit()

    found = await asyncio.gather(*map(one, range(count)), return_exceptions=True)
    User: Any = db.aio.query("User").parts.store.spec.model  # noqa: N806 - a class
    sessions = map(session, range(1, count + 1))
    found += await asyncio.gather(*sessions, return_exceptions=True)
    return [error for error in found if error is not None]


def pooled_transactions(world: World) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    program, count = _program(), world.size(WORKFLOWS)
    if program is None:
        verdict.figures = {"skipped": "pgbouncer is not installed"}
        return verdict

    async def main(through: str) -> None:
        async with open_shop(through, pool_size=POOL, max_overflow=0, statement_cache_size=0) as db:
            errors = await _workflows(db, count)
            await db.aio.bulk_create("Audit", [{"text": str(n)} for n in range(2_000)])
            verdict.require(not errors, f"{len(errors)} of {count} failed: {shown(errors)}")
            verdict.problems += foreign(errors)
            total = await db.aio.count("User", {"score": 2})
            verdict.require(total == count, f"{total} records as they should be, not {count}")
            verdict.figures = {"ok": f"{count - len(errors)} of {count}"}

    with _bouncer(program, url) as through:
        run(main(through))
        verdict.figures["sessions"] = world.backends(url)
        verdict.require(verdict.figures["sessions"] <= SESSIONS, "more sessions than PgBouncer's")
    with open_shop(url) as db:
        verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("F8", "2,000 workflows through PgBouncer, transactions on 5 sessions",
         pooled_transactions, kinds=("postgres",), limit_s=600),
)  # fmt: skip
