"""All cases, and how one is run in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.faults import (
    altered,
    audit,
    blackhole,
    bodies,
    cancel,
    conflicts,
    contention,
    cursors,
    depth,
    injection,
    inputs,
    load,
    loops,
    lost,
    migrations,
    mixing,
    nested,
    patterns,
    pooler,
    queries,
    restarts,
    state,
    tamper,
    tenants,
    walls,
)
from bench.faults.case import Case, Verdict
from bench.fresh import ROOT

CASES: tuple[Case, ...] = (
    *load.CASES,
    *nested.CASES,
    *loops.CASES,
    *cancel.CASES,
    *lost.CASES,
    *restarts.CASES,
    *blackhole.CASES,
    *pooler.CASES,
    *altered.CASES,
    *conflicts.CASES,
    *contention.CASES,
    *inputs.CASES,
    *queries.CASES,
    *cursors.CASES,
    *injection.CASES,
    *depth.CASES,
    *patterns.CASES,
    *migrations.CASES,
    *tenants.CASES,
    *walls.CASES,
    *mixing.CASES,
    *bodies.CASES,
    *state.CASES,
    *tamper.CASES,
    *audit.CASES,
)


def find_case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def run_case(case: Case, kind: str, share: float, server: str) -> Verdict:
    """Run a case in a fresh process in which warnings are errors."""
    command = [sys.executable, "-W", "error", "-m", "bench.faults.child"]
    command += [case.name, kind, str(share), server]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=case.limit_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Verdict({}, [f"hangs: no end after {case.limit_s} s"])
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return Verdict({}, [f"exit code {done.returncode}: {done.stderr.strip()[-1500:]}"])
    verdict = Verdict(**json.loads(lines[-1]))
    verdict.require(not done.stderr.strip(), f"on standard error: {done.stderr.strip()[-800:]}")
    return verdict
