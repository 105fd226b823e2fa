"""Fault and load cases at a tenth of their size; `make faults` runs them in full."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.faults.case import Case
from bench.faults.cases import CASES, run_case

RUNS = [pytest.param(case, kind, id=f"{case.name}-{kind}") for case in CASES for kind in case.kinds]


@pytest.mark.faults
@pytest.mark.parametrize(("case", "kind"), RUNS)
def test_what_must_hold_holds_at_a_tenth_of_the_size(
    case: Case, kind: str, request: pytest.FixtureRequest
):
    server = request.getfixturevalue("postgres_url") if kind == "postgres" else ""

    verdict = run_case(case, kind, 0.1, server)

    assert verdict.problems == []
