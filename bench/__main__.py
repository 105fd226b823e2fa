"""`python -m bench`: measure, print the table, write CSV and SVG."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from bench import (
    audit,
    postgres_bulk,
    postgres_queries,
    postgres_single,
    query_cases,
    repositories,
    runtime,
    sqlite_bulk,
    sqlite_queries,
    sqlite_single,
    walls,
)
from bench.chart import write_chart
from bench.data import QUICK, Sizes
from bench.fresh import ROOT
from bench.harness import Measure, Outcome, run_contest
from bench.machine import describe_machine
from bench.postgres import open_postgres
from bench.report import format_table, table_row, write_csv
from bench.sqlite import open_sqlite

sys.path.insert(0, str(ROOT / "tests"))

from servers import ServerUnavailableError, postgres_server

Open = Callable[[asyncio.Runner, Sizes], AbstractContextManager[Any]]
MEASURES: dict[str, tuple[Measure, ...]] = {
    "postgres": (*postgres_single.MEASURES, *postgres_bulk.MEASURES),
    "sqlite": (*sqlite_single.MEASURES, *sqlite_bulk.MEASURES),
    "runtime": runtime.MEASURES,
    "postgres queries": query_cases.MEASURES,
    "sqlite queries": query_cases.MEASURES,
    "postgres audit": audit.MEASURES,
    "sqlite audit": audit.MEASURES,
    "postgres repositories": repositories.MEASURES,
    "sqlite repositories": repositories.MEASURES,
    "postgres walls": walls.MEASURES,
}


@contextmanager
def _postgres(runner: asyncio.Runner, sizes: Sizes) -> Iterator[Any]:
    with postgres_server() as server, open_postgres(runner, server, sizes) as bench:
        yield bench


@contextmanager
def _postgres_queries(runner: asyncio.Runner, sizes: Sizes) -> Iterator[Any]:
    with (
        postgres_server() as server,
        postgres_queries.open_queries(runner, server, sizes) as bench,
    ):
        yield bench


@contextmanager
def _postgres_audit(runner: asyncio.Runner, sizes: Sizes) -> Iterator[Any]:
    with postgres_server() as server, audit.open_postgres(runner, server, sizes) as bench:
        yield bench


@contextmanager
def _postgres_repositories(runner: asyncio.Runner, sizes: Sizes) -> Iterator[Any]:
    with postgres_server() as server, repositories.open_postgres(runner, server, sizes) as bench:
        yield bench


@contextmanager
def _postgres_walls(runner: asyncio.Runner, sizes: Sizes) -> Iterator[Any]:
    with postgres_server() as server, walls.open_postgres(runner, server, sizes) as bench:
        yield bench


OPEN: dict[str, Open] = {
    "postgres": _postgres,
    "sqlite": open_sqlite,
    "runtime": runtime.open_runtime,
    "postgres queries": _postgres_queries,
    "sqlite queries": sqlite_queries.open_queries,
    "postgres audit": _postgres_audit,
    "sqlite audit": audit.open_sqlite,
    "postgres repositories": _postgres_repositories,
    "sqlite repositories": repositories.open_sqlite,
    "postgres walls": _postgres_walls,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres", "all"), default="all")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=[""], help="parts of names, as in --list"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    return parser.parse_args()


def _chosen(database: str, only: list[str]) -> dict[str, list[Measure]]:
    groups = [name for name in MEASURES if database in ("all", *name.split()) or name == "runtime"]
    return {
        group: [m for m in MEASURES[group] if any(part in f"{group}.{m.name}" for part in only)]
        for group in groups
    }


def _run_group(
    group: str, measures: list[Measure], sizes: Sizes, servers: list[str]
) -> Iterator[tuple[str, Outcome]]:
    with asyncio.Runner() as runner, OPEN[group](runner, sizes) as bench:
        servers += bench.versions()
        for measure in measures:
            outcome = run_contest(runner, measure, measure.build(bench))
            print(" | ".join(filter(None, (group, *table_row(outcome)))), flush=True)
            yield f"{group}.{measure.name}", outcome


def _measure(chosen: dict[str, list[Measure]], sizes: Sizes) -> tuple[dict[str, Outcome], str]:
    servers: list[str] = []
    outcomes: dict[str, Outcome] = {}
    for group, measures in chosen.items():
        if not measures:
            continue
        try:
            outcomes |= _run_group(group, measures, sizes, servers)
        except ServerUnavailableError as error:
            print(f"{group}: skipped, {error}")
    return outcomes, describe_machine(servers)


def main() -> None:
    options = _arguments()
    chosen = _chosen(options.database, options.only)
    if options.list:
        print("\n".join(f"{group}.{m.name}" for group in chosen for m in chosen[group]))
        return
    outcomes, machine = _measure(chosen, QUICK if options.quick else Sizes())
    if not outcomes:
        sys.exit("nothing was measured; --list prints the names")
    print(f"\n{format_table([table_row(outcome) for outcome in outcomes.values()])}\n\n{machine}")
    options.out.mkdir(parents=True, exist_ok=True)
    write_csv(options.out / "results.csv", outcomes, machine)
    write_chart(options.out / "results.svg", outcomes, machine)
    print(f"\nwritten: {options.out}/results.csv, {options.out}/results.svg")


if __name__ == "__main__":
    main()
