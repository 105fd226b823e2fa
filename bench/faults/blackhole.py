"""F3: the network swallows everything for a while."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.ledger import Clients, Ledger, open_ledgered, stored_names
from bench.faults.models import shown
from bench.faults.proxy import Proxy
from bench.faults.world import Leaks, World, run
from dataflow.errors import (
    CannotConnectError,
    DeadlineExceededError,
    PoolExhaustedError,
    StatementTimeoutError,
)

DARK_S, CALM_S, LIMIT_S, LATEST_S, HEALTHY_S, POOL = 20.0, 1.0, 1.0, 3.5, 3.0, 10
KINDS = ("read", "change", "keyed", "unkeyed", "transaction")


class _Clients(Clients):
    async def repeat(self, kind: str, work: Any) -> None:
        async def bounded() -> None:
            async with self.db.deadline(LIMIT_S):
                await work()

        await super().repeat(kind, bounded)


EXPECTED = (DeadlineExceededError, StatementTimeoutError, CannotConnectError, PoolExhaustedError)
LIMITS = {"statement_timeout_s": LIMIT_S, "connect_timeout_s": LIMIT_S, "pool_timeout_s": LIMIT_S}


async def _main(
    url: str,
    dark_s: float,
    kind: type[Clients],
    settings: dict[str, float],
    verdict: Verdict,
) -> None:
    ledger = Ledger()
    port = int(re.findall(r":(\d+)/", url)[0])
    async with Proxy("127.0.0.1", port) as proxy:
        through = url.replace(f":{port}/", f":{proxy.port}/")
        async with open_ledgered(through, pool_size=POOL, max_overflow=0, **settings) as db:
            await db.aio.create("Keyed", id="steady")
            clients = kind(db, ledger)
            tasks = clients.start(4, *KINDS)
            await asyncio.sleep(CALM_S)
            proxy.darken()
            await asyncio.sleep(dark_s)
            proxy.lighten()
            light = time.monotonic()
            await asyncio.sleep(HEALTHY_S)
            before = sum(map(len, clients.errors.values()))
            await asyncio.sleep(CALM_S)
            late = sum(map(len, clients.errors.values())) - before
            await clients.stop(tasks)
            ledger.judge(verdict, await stored_names(db))
    _judge(verdict, clients, light, late)


def _judge(verdict: Verdict, clients: Clients, light: float, late: int) -> None:
    clients.judge(verdict)
    errors = [error for found in clients.errors.values() for error in found]
    strange = [error for error in errors if not isinstance(error, EXPECTED)]
    verdict.require(not strange, f"{len(strange)} other errors: {shown(strange)}")
    healthy = min((at for at in clients.successes if at > light), default=float("inf")) - light
    verdict.require(healthy < float("inf"), "never healthy again")
    verdict.require(bool(errors), "nothing was in the dark")
    verdict.require_time(late == 0, f"{late} errors later than {HEALTHY_S} s after the dark")
    verdict.require_time(healthy <= HEALTHY_S, f"healthy again after {healthy:.1f} s")
    longest = f"the longest call took {clients.longest_s:.1f} s > {LATEST_S}"
    verdict.require_time(clients.longest_s <= LATEST_S, longest)
    verdict.figures |= {
        "calls": clients.done.total(), "late": len(errors),
        "longest": f"{clients.longest_s:.2f} s", "healthy": f"{healthy:.2f} s",
    }  # fmt: skip


def swallowing_network(world: World) -> Verdict:
    return _dark(world, _Clients, {})


def swallowing_network_with_settings(world: World) -> Verdict:
    return _dark(world, Clients, LIMITS)


def _dark(world: World, kind: type[Clients], settings: dict[str, float]) -> Verdict:
    verdict, leaks, url = Verdict(), Leaks(), world.url()
    run(_main(url, max(3.0, DARK_S * world.share), kind, settings, verdict))
    with open_ledgered(url) as db:
        verdict.problems += leaks.after(world, db, url)
    return verdict


CASES = (
    Case("F3", "network swallows everything for 20 s, deadline 1 s", swallowing_network,
         kinds=("postgres",)),
    Case("F3b", "the same with time limits of 1 s as settings", swallowing_network_with_settings,
         kinds=("postgres",)),
)  # fmt: skip
