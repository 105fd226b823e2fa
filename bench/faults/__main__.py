"""`python -m bench.faults`: run the cases, print the table, exit 1 if something fails."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator

from bench.faults.case import Case, Verdict
from bench.faults.cases import CASES, run_case
from bench.fresh import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from servers import ServerUnavailableError, postgres_server

SHARES = {"full": 1.0, "tenth": 0.1}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--size", choices=SHARES, default="full")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="such as L1 F4")
    parser.add_argument("--database", choices=("sqlite", "postgres", "all"), default="all")
    return parser.parse_args()


def _wanted(case: Case, only: list[str] | None) -> bool:
    return only is None or any(case.name == name or name in case.name.split("+") for name in only)


@contextlib.contextmanager
def _server(database: str) -> Iterator[str | None]:
    if database == "sqlite":
        yield None
        return
    try:
        with postgres_server() as url:
            yield url
    except ServerUnavailableError as error:
        print(f"postgres: skipped, {error}")
        yield None


def _show(case: Case, kind: str, verdict: Verdict, seconds: float) -> None:
    figures = ", ".join(f"{name} {value}" for name, value in verdict.figures.items())
    state = "FAIL" if verdict.problems or verdict.slow else "pass"
    print(f"{case.name:<8} {kind:<9} {case.action:<64} {figures:<70} {state} {seconds:5.0f} s")
    for problem in (*verdict.problems, *verdict.slow):
        print("         - " + problem.replace("\n", "\n           "))
    sys.stdout.flush()


def main() -> int:
    options = _arguments()
    failed = 0
    with _server(options.database) as server:
        for case in CASES:
            for kind in case.kinds:
                chosen = options.database in ("all", kind) and _wanted(case, options.only)
                if not chosen or (kind == "postgres" and server is None):
                    continue
                begun = time.perf_counter()
                verdict = run_case(case, kind, SHARES[options.size], server or "")
                _show(case, kind, verdict, time.perf_counter() - begun)
                failed += bool(verdict.problems or verdict.slow)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
