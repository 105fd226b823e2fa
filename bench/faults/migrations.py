"""Migrations: four processes at once, and processes that are killed after each statement."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from bench.faults.case import Case, Verdict
from bench.faults.models import shown
from bench.faults.world import World
from dataflow import DataFlow, Field

ROUNDS = 20
PROCESSES = 4
RECORDS = 50
WAIT_S = 120
RENAMES = {"users.name": "users.full_name"}
WAYS = ("apply", "upgrade")
STEPS = ("ALTER", "CREATE", "DROP", "INSERT", "UPDATE", "DELETE")

_spawn = multiprocessing.get_context("spawn")


def open_first(url: str, files: str) -> DataFlow:
    """Open the former version of a program."""
    db = DataFlow(url, migrations_path=files)

    @db.model
    class User:
        id: int
        name: str
        age: int | None = None
        code: str = Field(default="x", max_length=10)

    return db


def open_second(url: str, files: str) -> DataFlow:
    """Open the next one: a rename, a required column, a wider one, a table, indexes."""
    db = DataFlow(url, migrations_path=files, auto_migrate=False)

    @db.model
    class User:
        id: int
        full_name: str = Field(index=True)
        age: int = 7
        code: str = Field(default="x", max_length=40, unique=False)
        active: bool = True

    @db.model
    class Note:
        id: int
        text: str
        user_id: int = Field(foreign_key="users.id", index=True)

    return db


def prepare(url: str, files: str, way: str) -> None:
    """Make the former schema with its records, and the files where they are used."""
    with open_first(url, files) as db:
        if way == "upgrade":
            db.migrations.revision("first")
            db.migrations.upgrade()
        db.bulk_create("User", [{"name": f"u{n}", "age": n or None} for n in range(RECORDS)])
    if way == "upgrade":
        with open_second(url, files) as db:
            db.migrations.revision("second", renames=RENAMES)


def migrate(url: str, files: str, way: str) -> None:
    with open_second(url, files) as db:
        if way == "apply":
            db.migrations.apply(renames=RENAMES)
        else:
            db.migrations.upgrade()


def faults_after(url: str, files: str) -> list[str]:
    """Name what is not as it must be after a migration."""
    with open_second(url, files) as db:
        left = [str(change) for change in db.migrations.plan().changes]
        users = db.query("User").sort("id").all()
        expected = [(f"u{n}", n or 7, True) for n in range(RECORDS)]
        if [(user["full_name"], user["age"], user["active"]) for user in users] != expected:
            left.append(f"records are lost or changed: {len(users)} of {RECORDS}")
    return left


# ------------------------------------------------------------------------- race


def _migrator(places: list[tuple[str, str, str]], start: Barrier, answers: Any) -> None:
    for place in places:
        start.wait(WAIT_S)
        try:
            migrate(*place)
            answers.put(None)
        except Exception as error:  # noqa: BLE001 - told in the verdict
            answers.put(shown([error]))


def race(world: World) -> Verdict:
    """Let four processes change one schema at once."""
    verdict, rounds = Verdict(), world.size(ROUNDS)
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            places = [(world.url(), f"{folder}/{n}", way) for n in range(rounds)]
            for place in places:
                prepare(*place)
            start, answers = _spawn.Barrier(PROCESSES), _spawn.Queue()
            workers = [
                _spawn.Process(target=_migrator, args=(places, start, answers))
                for _ in range(PROCESSES)
            ]
            for worker in workers:
                worker.start()
            told = [answers.get(timeout=WAIT_S) for _ in range(rounds * PROCESSES)]
            for worker in workers:
                worker.join(WAIT_S)
            errors = [text for text in told if text is not None]
            wrong = [text for url, files, _ in places for text in faults_after(url, files)]
        verdict.figures[way] = f"{len(told) - len(errors)} of {len(told)}"
        verdict.require(not errors, f"{way}: {len(errors)} failed: {errors[:1]}")
        verdict.require(not wrong, f"{way}: {wrong[:1]}")
    return verdict


# ------------------------------------------------------------------------ kills


def _doomed(url: str, files: str, way: str, last: int, seen: Any) -> None:
    """Migrate, and die after a statement; `seen` counts the statements."""

    def after(*given: Any) -> None:
        if given[2].lstrip().upper().startswith(STEPS):
            seen.value += 1
            if seen.value == last:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(sa.Engine, "after_cursor_execute", after)
    migrate(url, files, way)
    if last == seen.value + 1:  # committed, and nobody was told
        os.kill(os.getpid(), signal.SIGKILL)


def _run_until(world: World, folder: Path, way: str, last: int) -> tuple[int, int, list[str]]:
    """Return the exit code of the killed process, its statements, and what was wrong then."""
    files, url, seen = str(folder / f"{way}{last}"), world.url(), _spawn.Value("i", 0)
    prepare(url, files, way)
    process = _spawn.Process(target=_doomed, args=(url, files, way, last, seen))
    process.start()
    process.join(WAIT_S)
    migrate(url, files, way)
    return process.exitcode or 0, int(seen.value), faults_after(url, files)


def kills(world: World) -> Verdict:
    """Kill a migration after each of its statements, and run it again."""
    verdict = Verdict()
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            _, total, _ = _run_until(world, Path(folder), way, -1)
            points = range(1, total + 2)[:: max(1, round(1 / world.share / 2))]
            ended = [_run_until(world, Path(folder), way, point) for point in points]
        killed = sum(code == -signal.SIGKILL for code, *_ in ended)
        wrong = [text for *_, problems in ended for text in problems]
        verdict.figures[f"{way}: kill points"] = f"{killed} of {total + 1}"
        verdict.require(killed == len(points), f"{way}: {killed} of {len(points)} were killed")
        verdict.require(not wrong, f"{way}: {wrong[:1]}")
    return verdict


CASES = (
    Case("S3", "4 processes change one schema at once, by apply and by files", race, limit_s=900),
    Case("S4", "kill -9 after each statement of a migration, then again", kills, limit_s=900),
)
