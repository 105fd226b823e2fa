"""Every example runs as its README says and prints what its README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/main.py"))
COMPARED = "the other database gives the same result\n"
TIME_LIMIT_S = 120


def run_example(name: str, folder: Path, *args: str, **environment: str) -> str:
    """Run an example from another folder, without the caller's settings; return its output."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DATAFLOW_", "DATABASE_URL"))
    }
    package = (EXAMPLES / name / "__init__.py").exists()
    program = ["-m", f"{name}.main"] if package else [str(EXAMPLES / name / "main.py")]
    done = subprocess.run(
        [sys.executable, "-W", "error", *program, *args],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(EXAMPLES), **environment},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def shown_output(name: str) -> str:
    """Return the output block of an example's README."""
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return block


def without_instants(output: str) -> str:
    return re.sub(r"datetime\.datetime\([^)]*\)", "<instant>", output)


def test_every_folder_is_an_example_with_a_readme_and_is_listed():
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir())
    listed = re.findall(r"\]\((.*?)/README\.md\)", (EXAMPLES / "README.md").read_text())

    assert folders == NAMES == listed
    assert all((EXAMPLES / name / "README.md").exists() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_what_its_readme_shows_on_sqlite(name: str, tmp_path: Path):
    output = run_example(name, tmp_path)

    assert without_instants(output) == without_instants(shown_output(name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_example_prints_the_same_on_postgres(name: str, tmp_path: Path, postgres_databases):
    expected = shown_output(name) + (COMPARED if name == "05_real_data" else "")

    output = run_example(name, tmp_path, postgres_databases.create())

    assert without_instants(output) == without_instants(expected)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_an_example_takes_the_database_from_the_environment(name: str, tmp_path: Path):
    url = f"sqlite:///{tmp_path}/example.db"

    output = run_example(name, tmp_path, DATABASE_URL=url)

    assert without_instants(output).startswith(without_instants(shown_output(name)))
    assert (tmp_path / "example.db").exists()


@pytest.mark.parametrize("name", ["05_real_data"])
def test_real_data_is_loaded_once_and_gives_equal_results_again(
    name: str, tmp_path: Path, postgres_databases
):
    url = postgres_databases.create()

    outputs = [run_example(name, tmp_path, url) for _ in range(2)]

    assert outputs == [shown_output(name) + COMPARED] * 2


@pytest.mark.parametrize("name", ["ta_generator", "incident_response"])
def test_an_application_runs_again_on_its_database(name: str, url: str, tmp_path: Path):
    first, second = (run_example(name, tmp_path, url) for _ in range(2))

    assert first == shown_output(name)
    assert second.replace("{'COMPLETED': 2}", "{'COMPLETED': 1}") == first
