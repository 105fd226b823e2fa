"""Figures that only a fresh process can give."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_fresh(*arguments: str, bytecode: Path | None = None) -> float:
    """Run Python with arguments and return the number that it prints last.

    Args:
        bytecode: Folder for compiled modules, as an installed package has them; None:
            as the environment says.
    """
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    if bytecode is not None:
        settings["PYTHONPYCACHEPREFIX"] = str(bytecode)
        settings.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env=settings,
    )
    return float(done.stdout.split()[-1])
