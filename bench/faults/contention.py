"""F5 and the race for the schema: several processes at one database."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from bench.faults.case import Case, Verdict
from bench.faults.models import foreign, open_shop, shown
from bench.faults.world import World, run
from dataflow import DataFlow

CHANGES = 400
PROCESSES = 4
WAIT_S = 120

_spawn = multiprocessing.get_context("spawn")


async def _add(db: DataFlow, count: int) -> list[BaseException]:
    async def one() -> None:
        async with db.transaction():
            record = await db.aio.read("User", 1)
            await db.aio.update("User", 1, {"score": record["score"] + 1})

    found = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    return [error for error in found if error is not None]


def _adder(url: str, count: int, start: Barrier, answers: Any) -> None:
    async def main() -> list[str]:
        async with open_shop(url) as db:
            await db.aio.count("User")
            await asyncio.to_thread(start.wait, WAIT_S)
            errors = await _add(db, count)
            status = db.database.pool_status()
        left = [] if status["in_use"] == 0 else [f"pool: {status}"]
        return [*left, *foreign(errors), *(shown([error]) for error in errors)]

    answers.put(run(main()))


def _race(verdict: Verdict, url: str, processes: int, count: int) -> float:
    with open_shop(url) as db:
        db.create("User", name="counter")
    start, answers = _spawn.Barrier(processes + 1), _spawn.Queue()
    workers = [
        _spawn.Process(target=_adder, args=(url, count // processes, start, answers))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    start.wait(WAIT_S)
    begun = time.perf_counter()
    errors = [text for _ in workers for text in answers.get(timeout=WAIT_S)]
    seconds = time.perf_counter() - begun
    for worker in workers:
        worker.join(WAIT_S)
    with open_shop(url) as db:
        total = db.read("User", 1)["score"]
    verdict.require(not errors, f"{processes} processes: {len(errors)} failed: {errors[:1]}")
    verdict.require(total == count, f"{processes} processes: the sum is {total}, not {count}")
    return seconds


def read_modify_write(world: World) -> Verdict:
    verdict, count = Verdict(), world.size(CHANGES)
    for processes in (1, 2):
        seconds = _race(verdict, world.url(), processes, count)
        verdict.figures[f"{processes} proc"] = f"{count} in {seconds:.2f} s"
    return verdict


def _creator(urls: list[str], start: Barrier, answers: Any) -> None:
    for url in urls:
        start.wait(WAIT_S)
        db = open_shop(url)
        try:
            db.create_tables()
            db.create("User", name="me")
            answers.put(None)
        except Exception as error:  # noqa: BLE001 - told in the verdict
            answers.put(shown([error]))
        db.close()


def schema_race(world: World) -> Verdict:
    verdict, rounds = Verdict(), world.size(20)
    urls = [world.url() for _ in range(rounds)]
    start, answers = _spawn.Barrier(PROCESSES), _spawn.Queue()
    workers = [_spawn.Process(target=_creator, args=(urls, start, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=WAIT_S) for _ in range(rounds * PROCESSES)]
    for worker in workers:
        worker.join(WAIT_S)
    errors = [text for text in found if text is not None]
    for url in urls:
        with open_shop(url) as db:
            counts = [db.count(model) for model in ("User", "Post", "Audit")]
        verdict.require(counts == [PROCESSES - len(errors), 0, 0] or bool(errors), f"{counts}")
    wanted = rounds * PROCESSES
    verdict.require(not errors, f"{len(errors)} of {wanted} failed: {errors[:1]}")
    verdict.figures = {"ok": f"{wanted - len(errors)} of {wanted}"}
    return verdict


CASES = (
    Case("F5", "400 concurrent read-modify-writes, 1 and 2 processes", read_modify_write,
         kinds=("sqlite",), limit_s=180),
    Case("schema", "4 processes create the schema at once x 20", schema_race, limit_s=180),
)  # fmt: skip
